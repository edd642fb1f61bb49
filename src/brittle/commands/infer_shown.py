"""Answers as they come: on a terminal, several side by side; elsewhere one after the other; or as JSON lines."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.table import Table

    from brittle.models.generation import Prompt, Token

KEPT = "\n\t\N{ZERO WIDTH JOINER}\N{ZERO WIDTH NON-JOINER}"
"""Signs that are shown as they are, beside spaces, although Python does not call them printable."""


@dataclass(frozen=True)
class Answer:
    """What one model says to one prompt."""

    model: str
    asked: str
    prompt: Prompt
    tokens: Iterator[Token]
    """Generated while they are read."""


def printable(text: str) -> str:
    """Text for a terminal: what could move its cursor, colour it or turn its writing around is written as in Python."""
    shown = (sign in KEPT or sign.isprintable() or unicodedata.category(sign) == "Zs" for sign in text)
    return "".join(sign if as_it_is else sign.encode("unicode_escape").decode() for sign, as_it_is in zip(text, shown))


def show_json(answers: Sequence[Answer]) -> None:
    """One line each; log-probabilities in nats."""
    for answer in answers:
        tokens = list(answer.tokens)
        content: dict[str, Any] = {
            "model": answer.model,
            "prompt": answer.asked,
            "text": "".join(token.text for token in tokens),
            "ended": tokens[-1].ended,
            "cut": {"tokens": answer.prompt.cut, "text": answer.prompt.cut_text},
            "tokens": [{"id": t.token_id, "text": t.text, "log_probability": t.log_probability} for t in tokens],
        }
        print(json.dumps(content), flush=True)


def show_in_turn(answers: Sequence[Answer], labelled: bool, echoed: bool) -> None:
    """Every answer behind its prompt (if ``echoed``), below its model's name (if ``labelled``)."""
    for answer in answers:
        if labelled:
            print(f"{printable(answer.model)}:")
        if echoed:
            print(printable(answer.asked), end="", flush=True)
        for token in answer.tokens:
            print(printable(token.text), end="", flush=True)
        print(flush=True)


def show_side_by_side(answers: Sequence[Answer], echoed: bool) -> None:
    """A column each, which grow together."""
    from rich.live import Live

    if echoed:
        print(printable(answers[0].asked))
    texts = ["" for _ in answers]
    with Live(refresh_per_second=12) as live:
        going = list(enumerate(answers))
        while going:
            for place, answer in list(going):
                token = next(answer.tokens, None)
                if token is None:
                    going.remove((place, answer))
                else:
                    texts[place] += printable(token.text)
            live.update(columns([answer.model for answer in answers], texts))


def columns(models: Sequence[str], texts: Sequence[str]) -> Table:
    """The answers so far beside each other."""
    from rich.table import Table
    from rich.text import Text

    made = Table(expand=True, show_lines=False)
    for model in models:
        made.add_column(Text(printable(model)), ratio=1, overflow="fold")
    made.add_row(*(Text(text.lstrip(" ")) for text in texts))
    return made
