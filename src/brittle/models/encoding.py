"""From texts to token ids: the one rule that scoring, training, observation and attacks follow.

*Front*: what the tokenizer by itself puts before a text (BOS, ``[CLS]``) stands there once, also where the text brings
it along; a tokenizer that puts nothing there gets nothing. *End*: what it appends (EOS, ``[SEP]``) is left out, in
training as in scoring, because texts are pieces and no question is whether one ends. *Window*: no row is longer than the
positions that the model has, and a row that is cut keeps its front: texts lose their end, or go on in a further row
with a front of its own; questions lose their beginning. A text without a token of its own has an empty row.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from brittle import progress
from brittle.percentages import percent
from brittle.settings import BadInput

PROBE = "The answer is 1."
WORTH_A_LINE = 0.05
"""Where more than this share of the tokens is not read, one line says so."""


def front_of(tokenizer: Any) -> list[int]:
    """What the tokenizer puts before every text."""
    bare, whole = tokenizer(PROBE, add_special_tokens=False)["input_ids"], tokenizer(PROBE)["input_ids"]
    starts = range(len(whole) - len(bare) + 1)
    return list(whole[: next((start for start in starts if whole[start : start + len(bare)] == bare), 0)])


def without_front(row: Sequence[int], front: Sequence[int]) -> list[int]:
    """A text's own tokens: less the front that the text itself brought along."""
    row, front = list(row), list(front)
    while front and row[: len(front)] == front:
        row = row[len(front) :]
    return row


def encode(tokenizer: Any, texts: Sequence[str]) -> list[list[int]]:
    """Every text whole: the front and its own tokens; empty where it has none."""
    front = front_of(tokenizer)
    rows = tokenizer(list(texts), add_special_tokens=False)["input_ids"] if len(texts) else []
    return [front + own if (own := without_front(row, front)) else [] for row in rows]


def encode_beginnings(tokenizer: Any, texts: Sequence[str], longest: int, what: str) -> list[list[int]]:
    """Every text cut to ``longest`` tokens; ``what`` names the texts where one line says how much is not read."""
    check_room(longest, len(front_of(tokenizer)))
    rows = encode(tokenizer, texts)
    tell_of_cut(what, sum(map(len, rows)), sum(max(0, len(row) - longest) for row in rows), longest)
    return [row[:longest] for row in rows]


def encode_pieces(tokenizer: Any, texts: Sequence[str], longest: int) -> list[list[list[int]]]:
    """Every text as consecutive rows of at most ``longest`` tokens, each with the front; none where it is empty."""
    front = front_of(tokenizer)
    check_room(longest, len(front))
    return [
        [front + piece for piece in split(row[len(front) :], longest - len(front))] for row in encode(tokenizer, texts)
    ]


def split(tokens: Sequence[Any], length: int) -> list[list[Any]]:
    """Consecutive pieces of at most ``length``."""
    return [list(tokens[start : start + length]) for start in range(0, len(tokens), length)]


def check_room(longest: int, taken: int) -> None:
    """Refuse a length that leaves no token for the text itself."""
    if longest <= taken:
        raise BadInput(
            f"--max-length {longest} leaves no room for a text beside the {taken} tokens that stand before it; raise it"
        )


def longest_row(model: Any, wanted: int | None = None) -> int:
    """The most tokens a row may have: the model's positions, or fewer where ``wanted``."""
    window = getattr(getattr(model, "config", None), "max_position_embeddings", None) or 1 << 30
    return min(wanted or window, window)


def tell_of_cut(what: str, tokens: int, cut: int, longest: int) -> None:
    """One line on stderr where more than 5 % of ``tokens`` lie beyond ``longest`` tokens of their text."""
    if cut > WORTH_A_LINE * tokens:
        progress.say(
            f"{what}: {cut:,} of {tokens:,} tokens ({percent(cut / tokens)}) lie beyond the first {longest} of their "
            "text and are not read; split long texts, or raise --max-length as far as the model reads",
            once=True,
        )


def difference(a: Any, b: Any) -> str | None:
    """How two tokenizers differ in what they make of a text, in words; None if they make the same of it."""
    fronts = [front_of(tokenizer) for tokenizer in (a, b)]
    if fronts[0] != fronts[1]:
        names = [" ".join(t.convert_ids_to_tokens(f)) or "nothing" for t, f in zip((a, b), fronts)]
        return f"one puts {names[0]} before every text and the other {names[1]}"
    for text in (PROBE, f" {PROBE}", "Two  spaces,\n\ta tab; naïve Ünïcödé 12345 — don't", f"{PROBE}\n{PROBE.upper()}"):
        if encode(a, [text]) != encode(b, [text]):
            return f"{text!r} is not the same tokens to both"
    return None
