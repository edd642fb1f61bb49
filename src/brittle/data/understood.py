"""What was understood of a file of texts or questions: how it was read, what was dropped, what stands there twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from brittle.data.corpora import columns_of_texts, texts_in
from brittle.data.files import kind_of, lines_of, read_rows, text_of
from brittle.data.multiple_choice import Question, questions_in
from brittle.data.question_rows import OTHER_NAMES, position_as_written, shape_of
from brittle.settings import BadInput

SHAPES = {
    "choices": "the list 'choices'",
    "letters": "the columns A, B, …",
    "perturbed_answer": "'answer' and the wrong ones in 'perturbed_answer'",
}
ENOUGH_ANSWERS = 8
"""With so many positions of which none is 0, a file may count from 1."""


@dataclass(frozen=True)
class Understood:
    """A file as it was read. Either ``texts`` or ``questions`` is there; ``numbers`` are their rows, counted from 1."""

    path: Path
    kind: str
    rows: int
    columns: tuple[str, ...]
    numbers: tuple[int, ...]
    texts: tuple[str, ...] = ()
    text_columns: tuple[str, ...] = ()
    questions: tuple[Question, ...] = ()
    shapes: tuple[str, ...] = ()
    positions: Mapping[int, int] = field(default_factory=dict)
    """How many answers are written as each number; empty where answers are letters or texts."""

    @property
    def dropped(self) -> int:
        """Rows without a text."""
        return self.rows - len(self.numbers)

    @property
    def may_count_from_one(self) -> bool:
        """Whether there are many positions and none is 0."""
        return bool(self.positions) and 0 not in self.positions and sum(self.positions.values()) >= ENOUGH_ANSWERS

    def again(self) -> list[int]:
        """The rows whose text or question, whatever its space, stands in an earlier row."""
        items: Sequence[Hashable] = [_key(item) for item in self.questions or self.texts]
        seen: set[Hashable] = set()
        found = []
        for number, item in zip(self.numbers, items, strict=True):
            if item in seen:
                found.append(number)
            seen.add(item)
        return found


def understand(
    path: Path, reading: str = "auto", column: str | None = None, answers_from: int | None = None
) -> Understood:
    """Read a file as ``texts`` or ``questions``; ``auto``: as questions where its first row has choices and no column is named.

    Raises:
        BadInput: it cannot be read so.
    """
    kind = kind_of(path).removeprefix(".") or "?"
    if kind == "txt":
        if reading == "questions":
            read_rows(path)  # which refuses it
        lines = lines_of(text_of(path))
        return _texts(path, kind, [line.strip() for line in lines], (), ())
    rows = read_rows(path)
    columns = tuple(dict.fromkeys(str(name) for row in rows for name in row))
    if reading == "questions" or (reading == "auto" and not column and _asks(rows[0])):
        return _questions(path, kind, rows, columns, answers_from)
    return _texts(path, kind, texts_in(path, rows, column), columns, tuple(columns_of_texts(path, rows, column)))


def _asks(row: Mapping[str, Any]) -> bool:
    """Whether a row is a question: it has choices, or a question and an answer, of which a reader says what is missing."""
    if "question" in row:
        return shape_of(row) is not None or "answer" in row
    return shape_of(row) is not None and any(name in row for name in OTHER_NAMES)


def _texts(
    path: Path, kind: str, found: Sequence[str], columns: tuple[str, ...], chosen: tuple[str, ...]
) -> Understood:
    kept = [(number, text) for number, text in enumerate(found, 1) if text]
    if not kept:
        raise BadInput(f"{path} holds no text: all of its {len(found)} rows are empty; name another file")
    numbers, texts = zip(*kept, strict=True)
    return Understood(path, kind, len(found), columns, numbers, texts, chosen)


def _questions(
    path: Path, kind: str, rows: Sequence[Mapping[str, Any]], columns: tuple[str, ...], answers_from: int | None
) -> Understood:
    questions = tuple(questions_in(path, rows, answers_from))
    shapes = tuple(dict.fromkeys(SHAPES[shape] for row in rows if (shape := shape_of(row))))
    written = Counter(place for row in rows if (place := position_as_written(row)) is not None)
    return Understood(
        path, kind, len(rows), columns, tuple(range(1, len(rows) + 1)), questions=questions, shapes=shapes,
        positions=dict(sorted(written.items())),
    )  # fmt: skip


def _key(item: str | Question) -> Hashable:
    if isinstance(item, str):
        return " ".join(item.split())
    return " ".join(item.question.split()), frozenset(item.choices)


def shares(lengths: Sequence[int], parts: Sequence[float] = (0.1, 0.5, 0.9, 1.0)) -> list[tuple[float, int]]:
    """For each part (above 0, at most 1) the smallest length that so large a share of at least one length does not exceed."""
    ordered = sorted(lengths)
    return [(part, ordered[max(0, -int(-part * len(ordered) // 1) - 1)]) for part in parts]
