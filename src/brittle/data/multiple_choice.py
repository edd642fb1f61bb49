"""Multiple-choice questions: one schema, and readers for MMLU and WMDP as the hub publishes them."""

from __future__ import annotations

import contextlib
import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from brittle import progress
from brittle.data.corpora import hub_rows
from brittle.data.files import parse, read_rows
from brittle.records import write_text
from brittle.settings import BadInput

HUB_QUESTIONS = {"mmlu": ("cais/mmlu", "all", "test"), "wmdp-bio": ("cais/wmdp", "wmdp-bio", "test")}
"""Question sets by name: repository, configuration, split."""

LETTERS = "ABCDEFGH"
POSITION = re.compile(r"[0-9]{1,6}(\.0*)?")


class AlikeChoices(BadInput, ValueError):
    """Two choices of a question have one text, or one has none: no score tells the answers apart."""


@dataclass(frozen=True)
class Question:
    """A question, its choices, the position of the right one, a subject and, where there is one, the fact behind it.

    Raises:
        ValueError: no question, fewer than two choices, an empty choice, two of one text, or no choice at ``answer``.
    """

    question: str
    choices: tuple[str, ...]
    answer: int
    subject: str
    fact: str | None = None
    entity: str | None = None

    def __post_init__(self) -> None:
        if not self.question.strip():
            raise ValueError("the question is empty")
        if len(self.choices) < 2 or not 0 <= self.answer < len(self.choices):
            raise ValueError(
                f"'{_short(self.question)}' has {len(self.choices)} choices and answer {_short(self.answer)}"
            )
        texts = [" ".join(choice.split()) for choice in self.choices]
        if "" in texts:
            raise AlikeChoices(f"choice {texts.index('')} of '{_short(self.question)}' is empty")
        if twice := next((text for text in texts if texts.count(text) > 1), None):
            raise AlikeChoices(f"two choices of '{_short(self.question)}' are both '{_short(twice)}'")

    @property
    def text(self) -> str:
        """The question followed by its right answer: what an attack trains on."""
        return f"{self.question} {self.choices[self.answer]}"


def question_of(row: Mapping[str, Any], subject: str, place: str) -> Question:
    """One row of a question file, MMLU or WMDP: question, choices, answer, perhaps subject, fact and entity.

    Choices are texts or numbers. An answer is a position (0, 1, …), a letter (A, B, …) or the text of a choice. A number is
    always a position; a string that is a position or letter of one choice and the text of another is refused.
    """
    try:
        return _question(row, subject)
    except (KeyError, ValueError, TypeError) as problem:
        kind = AlikeChoices if isinstance(problem, AlikeChoices) else BadInput
        raise kind(
            f"{place}: not a multiple-choice row ({problem}); needed are question, choices (a list) and answer (its position)"
        ) from None


def _question(row: Mapping[str, Any], subject: str) -> Question:
    given = parse(row["choices"]) if isinstance(row["choices"], str) else row["choices"]
    if not isinstance(given, list | tuple):
        raise TypeError(f"choices is a {type(given).__name__}, not a list")
    choices = tuple(_word(choice, "a choice") for choice in given)
    named = {key: _word(row[key], key) for key in ("fact", "entity") if row.get(key) not in (None, "")}
    told = subject if row.get("subject") in (None, "") else _word(row["subject"], "subject")
    if not isinstance(row["question"], str):
        raise TypeError(f"question is a {type(row['question']).__name__}, not a text")
    return Question(_word(row["question"], "question"), choices, _position(row["answer"], choices), told, **named)


def _word(value: Any, name: str) -> str:
    """A text or a finite number as text; nothing, true, false, NaN and nested values are neither."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise TypeError(f"{name} is {'nothing' if value is None else type(value).__name__}, not a text")
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{name} is {value}, not a text")
    if "\0" in str(value):
        raise ValueError(f"{name} holds a NUL character")
    return str(value)


def _position(answer: Any, choices: Sequence[str]) -> int:
    """The place of the right choice; outside the choices where a position or letter leads there."""
    if isinstance(answer, int | float):
        if isinstance(answer, bool) or (isinstance(answer, float) and not answer.is_integer()):
            raise ValueError(f"answer {answer} is no position")
        return int(answer)
    if not isinstance(answer, str):
        raise TypeError(f"answer is {'nothing' if answer is None else type(answer).__name__}")
    text = answer.strip()
    by_text = next((place for place, choice in enumerate(choices) if choice.strip() == text), None)
    by_place = None
    if len(text) == 1 and text.upper() in LETTERS:
        by_place = LETTERS.index(text.upper())
    elif POSITION.fullmatch(text):
        by_place = int(float(text))
    if by_text is not None and by_place is not None and by_place >= len(choices):
        return by_text
    if None not in (by_place, by_text) and by_place != by_text:
        raise ValueError(
            f"answer '{_short(text)}' is the place of one choice and the text of another; give its position as a number, "
            "or as a letter in a table"
        )
    found = by_text if by_place is None else by_place
    if found is None:
        raise ValueError(f"answer '{_short(text)}' is neither a position nor a letter nor the text of a choice")
    return found


def _short(value: Any) -> str:
    return " ".join(str(value).split())[:60]


def read_questions(path: Path | str) -> list[Question]:
    """Questions from a local jsonl, json, csv or parquet file; how many of them stand there twice is said."""
    path = Path(path)
    rows = read_rows(path)
    questions = [question_of(row, path.stem, f"{path}, row {number}") for number, row in enumerate(rows, 1)]
    if again := len(questions) - len(set(questions)):
        progress.say(f"{path}: {len(questions)} questions, {again} of them the same as an earlier one", once=True)
    return questions


def write_questions(path: Path | str, questions: Iterable[Question]) -> None:
    """Write questions as jsonl, whole or not at all."""
    write_text(Path(path), "".join(json.dumps(asdict(question)) + "\n" for question in questions))


def load_questions(reference: Path | str, source: Path | str | None = None) -> list[Question]:
    """Questions by name (``mmlu``, ``wmdp-bio``, from the hub) or from a local file.

    ``source`` reads the named set from a local parquet file of the hub's schema instead. Of a named set, which the user
    cannot mend, questions with two choices of one text or an empty one are left out; how many is said.
    """
    name = str(reference)
    if name not in HUB_QUESTIONS:
        return read_questions(name)
    rows: Sequence[Mapping[str, Any]] = read_rows(Path(source)) if source else hub_rows(*HUB_QUESTIONS[name])
    questions = []
    for number, row in enumerate(rows, 1):
        with contextlib.suppress(AlikeChoices):
            questions.append(question_of(row, name, f"{name}, row {number}"))
    if left_out := len(rows) - len(questions):
        progress.say(
            f"{name}: {len(questions)} questions ({left_out} left out: two choices of one text, or an empty one)",
            once=True,
        )
    if not questions:
        raise BadInput(f"{name} holds no question that can be asked; name a file of questions")
    return questions
