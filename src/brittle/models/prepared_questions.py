"""Multiple-choice questions as tokens: question and choice tokenised together, as the model would see them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

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
    """One question as tokens: ``rows[c]`` is question and choice ``c``; the first ``start`` tokens are the context."""

    rows: tuple[tuple[int, ...], ...]
    start: int
    answer: int

    @property
    def single(self) -> bool:
        """Whether every choice adds exactly one token, so that one forward pass of the context tells all."""
        return all(len(row) == self.start + 1 for row in self.rows)

    def within(self, limit: int) -> PreparedQuestion:
        """The question with its leading tokens cut so that its longest choice fits; the same cut for every choice."""
        excess = max(map(len, self.rows)) - limit
        if excess <= 0:
            return self
        if excess >= self.start:
            raise BadInput(
                f"a choice is longer than the {limit} tokens that fit; raise --max-length or drop the question"
            )
        return PreparedQuestion(tuple(row[excess:] for row in self.rows), self.start - excess, self.answer)


@dataclass(frozen=True)
class Prepared:
    """Questions tokenised once, to be scored many times."""

    questions: tuple[PreparedQuestion, ...]
    padding: int


def prepare(tokenizer: Any, questions: Sequence[Asked]) -> Prepared:
    """Tokenise every question alone and with each choice.

    The context is the longest token prefix that the question alone shares with all of its choices: where a choice's
    first letters merge with the question's last, the merged token counts as part of every answer.
    """
    if not questions:
        raise BadInput("there are no questions to score; check the question file or the number asked for")
    texts = [text for each in questions for text in (each.question, *(f"{each.question} {c}" for c in each.choices))]
    rows = iter(tokenizer(texts)["input_ids"])
    prepared = []
    for each in questions:
        alone = next(rows)
        together = tuple(tuple(next(rows)) for _ in each.choices)
        start = max(1, min(_shared(alone, row) for row in together))
        if any(len(row) <= start for row in together):
            raise BadInput(
                f"question '{each.question[:50]}' leaves no token of a choice to predict (is one empty?); remove it"
            )
        prepared.append(PreparedQuestion(together, start, each.answer))
    return Prepared(tuple(prepared), tokenizer.pad_token_id)


def _shared(left: Sequence[int], right: Sequence[int]) -> int:
    """How many leading tokens two rows share."""
    for position, (a, b) in enumerate(zip(left, right)):
        if a != b:
            return position
    return min(len(left), len(right))
