"""Passages as rows of tokens, and where in each the text begins that counts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from brittle.data.measuring_set import Passage
from brittle.settings import BadInput

if TYPE_CHECKING:
    from brittle.models.loading import LoadedModel


@dataclass(frozen=True)
class _Asked:
    """A prompt whose only choice is what follows it."""

    question: str
    choices: tuple[str, ...]
    answer: int = 0


def passage_rows(
    loaded: LoadedModel, passages: Sequence[Passage], max_length: int | None = None
) -> tuple[list[list[int]], list[int]]:
    """Each passage's tokens, cut behind ``max_length`` (at most and by default the model's positions), and its text's start.

    Text stands behind its prompt with a space between; what the tokenizer puts in front and a text's first token, which
    nothing predicts, do not count.

    Raises:
        BadInput: a prompt leaves no room for its text, or a text has nothing to predict.
    """
    from brittle.models.encoding import encode, front_of, longest_row
    from brittle.models.prepared_questions import prepare

    tokenizer, longest = loaded.tokenizer, longest_row(loaded.model, max_length)
    prompted = [_Asked(each.prompt, (each.text,)) for each in passages if each.prompt]
    prepared = iter(prepare(tokenizer, prompted).questions if prompted else ())
    bare = iter(encode(tokenizer, [each.text for each in passages if not each.prompt]))
    first = max(1, len(front_of(tokenizer)))
    rows, starts = [], []
    for number, each in enumerate(passages, 1):
        if each.prompt:
            question = next(prepared)
            row, start = list(question.rows[0]), question.start
        else:
            row, start = next(bare), first
        if min(len(row), longest) <= start:
            raise BadInput(
                f"passage {number} ('{(each.prompt or each.text)[:40]}') has no token to predict within {longest} tokens; "
                "remove it, or raise --max-length as far as the model reads"
            )
        rows.append(row[:longest])
        starts.append(start)
    return rows, starts


def prompt_rows(
    loaded: LoadedModel, prompts: Sequence[str], lengths: Sequence[int], max_length: int | None = None
) -> list[list[int]]:
    """Each prompt's tokens; where prompt and what it may add do not fit, the prompt's beginning is cut behind the front."""
    from brittle.models.encoding import encode, front_of, longest_row

    front, longest = len(front_of(loaded.tokenizer)), longest_row(loaded.model, max_length)
    rows = []
    for row, more in zip(encode(loaded.tokenizer, prompts), lengths, strict=True):
        if longest - more <= front:
            raise BadInput(
                f"{more} tokens of an answer leave no room for its prompt within {longest}; lower --answer-tokens or --verbatim-tokens"
            )
        excess = max(0, len(row) + more - longest)
        rows.append(row[:front] + row[front + excess :])
    return rows
