"""Multiple-choice questions: one schema, and readers for MMLU and WMDP as the hub publishes them."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from brittle import progress
from brittle.data.corpora import hub_rows
from brittle.data.files import read_rows
from brittle.data.question_rows import check_columns, choices_and_answer, counted_from_one, short, word
from brittle.records import write_text
from brittle.settings import BadInput, setting, suggestion

HUB_QUESTIONS = {"mmlu": ("cais/mmlu", "all", "test"), "wmdp-bio": ("cais/wmdp", "wmdp-bio", "test")}
"""Question sets by name: repository, configuration, split."""


class AlikeChoices(BadInput, ValueError):
    """Two choices of a question have one text, or one has none: no score tells the answers apart."""


@dataclass(frozen=True)
class Question:
    """A question, its choices, the position of the right one, a subject and, where there is one, the fact behind it.

    Questions of one ``group`` stay on one side when questions are split by entity, whatever their entities.

    Raises:
        ValueError: no question, fewer than two choices, an empty choice, two of one text, or no choice at ``answer``.
    """

    question: str
    choices: tuple[str, ...]
    answer: int
    subject: str
    fact: str | None = None
    entity: str | None = None
    group: str | None = None

    def __post_init__(self) -> None:
        if not self.question.strip():
            raise ValueError("the question is empty")
        if len(self.choices) < 2 or not 0 <= self.answer < len(self.choices):
            raise ValueError(
                f"'{short(self.question)}' has {len(self.choices)} choices and answer {short(self.answer)}"
            )
        texts = [" ".join(choice.split()) for choice in self.choices]
        if "" in texts:
            raise AlikeChoices(f"choice {texts.index('')} of '{short(self.question)}' is empty")
        if twice := next((text for text in texts if texts.count(text) > 1), None):
            raise AlikeChoices(f"two choices of '{short(self.question)}' are both '{short(twice)}'")

    @property
    def text(self) -> str:
        """The question followed by its right answer: what an attack trains on."""
        return f"{self.question} {self.choices[self.answer]}"


def question_of(row: Mapping[str, Any], subject: str, place: str, first: int = 0) -> Question:
    """One row of a question file, MMLU, WMDP or TOFU: question, choices, answer, perhaps subject, fact and entity.

    Choices are texts or numbers (:mod:`brittle.data.question_rows` has the shapes). An answer is a position (``first``,
    ``first`` + 1, …), a letter (A, B, …) or the text of a choice. A number is always a position; a string that is a position
    or letter of one choice and the text of another is refused.
    """
    try:
        return _question(row, subject, first)
    except (KeyError, ValueError, TypeError) as problem:
        kind = AlikeChoices if isinstance(problem, AlikeChoices) else BadInput
        raise kind(
            f"{place}: not a multiple-choice row ({problem}); needed are question, choices (a list, or "
            "columns A, B, …) and answer (position, letter or text)"
        ) from None


def _question(row: Mapping[str, Any], subject: str, first: int) -> Question:
    choices, answer = choices_and_answer(row, first)
    named = {key: word(row[key], key) for key in ("fact", "entity", "group") if row.get(key) not in (None, "")}
    told = subject if row.get("subject") in (None, "") else word(row["subject"], "subject")
    if not isinstance(row["question"], str):
        raise TypeError(f"question is a {type(row['question']).__name__}, not a text")
    return Question(word(row["question"], "question"), choices, answer, told, **named)


def chance_of(questions: Sequence[Any]) -> float:
    """The accuracy of guessing (0 to 1): the mean, over at least one question, of one over its number of choices."""
    if not questions:
        raise ValueError("without questions there is no chance")
    return sum(1 / len(question.choices) for question in questions) / len(questions)


def answers_from() -> Any:
    """The setting ``answers_from``, the same for every command that reads question files."""
    return setting(
        None,
        "number of the first choice where a question file gives answers as positions: 0 or 1 (default: 0; a file that "
        "looks counted from 1 is refused)",
        environment="ANSWERS_FROM", choices=(0, 1),
    )  # fmt: skip


def read_questions(path: Path | str, answers_from: int | None = None) -> list[Question]:
    """Questions from a local jsonl, json, csv or parquet file; how many of them stand there twice is said.

    ``answers_from`` is the number of the first choice where answers are positions, 0 or 1; where it is None it is 0, and a
    file that shows that it counts from 1 (an answer is the number of choices, and none is 0) is refused.
    """
    path = Path(path)
    return questions_in(path, read_rows(path), answers_from)


def questions_in(path: Path, rows: Sequence[Mapping[str, Any]], answers_from: int | None = None) -> list[Question]:
    """The questions in the rows of a file, as :func:`read_questions` has them."""
    check_columns(path, rows[0])
    if answers_from is None and (number := counted_from_one(rows)):
        raise BadInput(
            f"{path}, row {number}: answer {short(rows[number - 1]['answer'])} is the number of choices and no answer is 0, so "
            "answers seem to count from 1; say so with --answers-from 1, or --answers-from 0 if this row is wrong"
        )
    first = answers_from or 0
    questions = [question_of(row, path.stem, f"{path}, row {number}", first) for number, row in enumerate(rows, 1)]
    if again := len(questions) - len(set(questions)):
        progress.say(f"{path}: {len(questions)} questions, {again} of them the same as an earlier one", once=True)
    return questions


def write_questions(path: Path | str, questions: Iterable[Question]) -> None:
    """Write questions as jsonl, whole or not at all."""
    write_text(Path(path), "".join(json.dumps(asdict(question)) + "\n" for question in questions))


def load_questions(
    reference: Path | str, source: Path | str | None = None, answers_from: int | None = None
) -> list[Question]:
    """Questions by name (``mmlu``, ``wmdp-bio``, from the hub) or from a local file.

    ``answers_from`` is that of :func:`read_questions`, for files. ``source`` reads the named set from a local parquet file of the hub's schema instead. Of a named set, which the user
    cannot mend, questions with two choices of one text or an empty one are left out; how many is said.
    """
    name = str(reference)
    if name not in HUB_QUESTIONS:
        if not Path(name).suffix and not os.path.lexists(name) and (hint := suggestion(name, HUB_QUESTIONS)):
            raise BadInput(f"{name} is neither a file nor one of {', '.join(HUB_QUESTIONS)}{hint}")
        return read_questions(name, answers_from)
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
