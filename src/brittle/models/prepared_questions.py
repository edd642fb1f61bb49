"""Multiple-choice questions as tokens: question and choice tokenised together (:mod:`brittle.models.encoding`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from brittle.models.encoding import encode, front_of
from brittle.settings import BadInput


class Asked(Protocol):
    """What is read of a question (:class:`brittle.data.multiple_choice.Question` has it)."""

    @property
    def question(self) -> str: ...
    @property
    def choices(self) -> Sequence[str]: ...
    @property
    def answer(self) -> int: ...


@dataclass(frozen=True)
class PreparedQuestion:
    """One question as tokens: ``rows[c]`` is question and choice ``c``; the first ``start`` tokens are the context.

    The first ``kept`` tokens are never cut: what the tokenizer puts in front, and a learned prompt.
    """

    rows: tuple[tuple[int, ...], ...]
    start: int
    answer: int
    kept: int = 0

    @property
    def single(self) -> bool:
        """Whether every choice adds exactly one token, so that one forward pass of the context tells all."""
        return all(len(row) == self.start + 1 for row in self.rows)

    @property
    def longest(self) -> int:
        """How many tokens the question has with its longest choice."""
        return max(map(len, self.rows))

    def within(self, limit: int) -> PreparedQuestion:
        """The question without its beginning, so that its longest choice fits; the same cut for every choice."""
        excess = self.longest - limit
        if excess <= 0:
            return self
        if self.start - excess < max(1, self.kept):
            raise BadInput(
                f"a choice is longer than the {limit} tokens that fit; raise --max-length or drop the question"
            )
        rows = tuple(row[: self.kept] + row[self.kept + excess :] for row in self.rows)
        return PreparedQuestion(rows, self.start - excess, self.answer, self.kept)


@dataclass(frozen=True)
class Prepared:
    """Questions tokenised once, to be scored many times."""

    questions: tuple[PreparedQuestion, ...]
    padding: int


def prepare(tokenizer: Any, questions: Sequence[Asked], prefix: str = "") -> Prepared:
    """Tokenise every question alone and with each choice; ``prefix`` stands before every question and is never cut.

    The context is the longest token prefix that the question alone shares with all of its choices: where a choice's
    first letters merge with the question's last, the merged token counts as part of every answer.
    """
    if not questions:
        raise BadInput("there are no questions to score; check the question file or the number asked for")
    texts = [
        prefix + text for each in questions for text in (each.question, *(f"{each.question} {c}" for c in each.choices))
    ]
    rows = iter(encode(tokenizer, texts))
    (before,) = encode(tokenizer, [prefix]) if prefix else (front_of(tokenizer),)
    prepared = []
    for each in questions:
        alone = next(rows)
        together = tuple(tuple(next(rows)) for _ in each.choices)
        kept = min(_shared(before, row) for row in together)
        start = max(1, kept, min(_shared(alone, row) for row in together))
        if any(len(row) <= start for row in together):
            raise BadInput(
                f"question '{each.question[:50]}' leaves no token of a choice to predict (is one empty?); remove it"
            )
        prepared.append(PreparedQuestion(together, start, each.answer, kept))
    return Prepared(tuple(prepared), tokenizer.pad_token_id)


def _shared(left: Sequence[int], right: Sequence[int]) -> int:
    """How many leading tokens two rows share."""
    for position, (a, b) in enumerate(zip(left, right)):
        if a != b:
            return position
    return min(len(left), len(right))
