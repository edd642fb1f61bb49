"""Multiple-choice questions: one schema, and readers for MMLU and WMDP as the hub publishes them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from brittle.data.corpora import hub_rows, read_rows
from brittle.records import write_text
from brittle.settings import BadInput

HUB_QUESTIONS = {"mmlu": ("cais/mmlu", "all", "test"), "wmdp-bio": ("cais/wmdp", "wmdp-bio", "test")}
"""Question sets by name: repository, configuration, split."""

LETTERS = "ABCDEFGH"


@dataclass(frozen=True)
class Question:
    """A question, its choices, the position of the right one, a subject and, where there is one, the fact behind it."""

    question: str
    choices: tuple[str, ...]
    answer: int
    subject: str
    fact: str | None = None
    entity: str | None = None

    def __post_init__(self) -> None:
        if len(self.choices) < 2 or not 0 <= self.answer < len(self.choices):
            raise ValueError(
                f"'{' '.join(self.question.split())[:60]}' has {len(self.choices)} choices and answer {self.answer}"
            )

    @property
    def text(self) -> str:
        """The question followed by its right answer: what an attack trains on."""
        return f"{self.question} {self.choices[self.answer]}"


def question_of(row: Mapping[str, Any], subject: str, place: str) -> Question:
    """One row of a question file, MMLU or WMDP: question, choices, answer (position or letter), perhaps a subject."""
    try:
        position = _position(row["answer"])
        choices = json.loads(row["choices"]) if isinstance(row["choices"], str) else row["choices"]
        named = {key: str(row[key]) for key in ("fact", "entity") if row.get(key)}
        return Question(
            str(row["question"]), tuple(map(str, choices)), position, str(row.get("subject") or subject), **named
        )
    except (KeyError, ValueError, TypeError) as problem:
        raise BadInput(
            f"{place}: not a multiple-choice row ({problem}); needed are question, choices (a list) and answer (its position)"
        ) from None


def _position(answer: Any) -> int:
    """The place of the right choice: 0, 1, … or A, B, …"""
    text = str(answer).strip().upper()
    if len(text) == 1 and text in LETTERS:
        return LETTERS.index(text)
    if not text or float(text) != int(float(text)):
        raise ValueError(f"answer '{answer}' is neither a position nor a letter")
    return int(float(text))


def read_questions(path: Path | str) -> list[Question]:
    """Questions from a local jsonl, json, csv or parquet file."""
    path = Path(path)
    rows = read_rows(path)
    return [question_of(row, path.stem, f"{path}, row {number}") for number, row in enumerate(rows, 1)]


def write_questions(path: Path | str, questions: Iterable[Question]) -> None:
    """Write questions as jsonl, whole or not at all."""
    write_text(Path(path), "".join(json.dumps(asdict(question)) + "\n" for question in questions))


def load_questions(reference: str, source: Path | str | None = None) -> list[Question]:
    """Questions by name (``mmlu``, ``wmdp-bio``, from the hub) or from a local file.

    ``source`` reads the named set from a local parquet file of the hub's schema instead.
    """
    if reference not in HUB_QUESTIONS:
        return read_questions(reference)
    rows: Sequence[Mapping[str, Any]] = read_rows(Path(source)) if source else hub_rows(*HUB_QUESTIONS[reference])
    return [question_of(row, reference, f"{reference}, row {number}") for number, row in enumerate(rows, 1)]
