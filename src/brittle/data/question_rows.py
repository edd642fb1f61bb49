"""Rows of question files: where their choices stand, and which of them the answer means.

Three shapes are read: ``choices`` (a list), columns ``A``, ``B``, … with a choice each, and TOFU's ``perturbed_answer``
(the wrong answers beside the right one). A row with a question and an answer alone, as MUSE has them, offers no choice.
"""

from __future__ import annotations

import math
import random
import re
from collections.abc import Mapping, Sequence
from typing import Any

from brittle.data.files import parse
from brittle.settings import BadInput

LETTERS = "ABCDEFGH"
OTHER_NAMES = ("prompt", "query", "input", "stem", "question_stem", "Question", "problem", "text")
"""What other tools call the column of the question; such a column is named in the refusal, never guessed."""
POSITION = re.compile(r"[0-9]{1,6}(\.0*)?")
WRONG_ANSWERS = "perturbed_answer"


def check_columns(path: object, row: Mapping[str, Any]) -> None:
    """Refuse a file whose first row asks nothing, with the columns that it has and the one that seems to be meant.

    Raises:
        BadInput: there is no column ``question``.
    """
    if "question" in row:
        return
    near = [name for name in row if name in OTHER_NAMES]
    hint = f"rename '{near[0]}' to 'question'" if near else "call the column of the question 'question'"
    raise BadInput(
        f"{path} has no column 'question'; its columns are {', '.join(str(name)[:40] for name in list(row)[:12])}; {hint} "
        "(needed are question, choices and answer)"
    )


def shape_of(row: Mapping[str, Any]) -> str | None:
    """How a row holds its choices: ``choices``, ``letters`` (columns A, B, …) or ``perturbed_answer``; None: not at all."""
    if "choices" in row:
        return "choices"
    if "A" in row and "B" in row:
        return "letters"
    return WRONG_ANSWERS if WRONG_ANSWERS in row and "answer" in row else None


def choices_and_answer(row: Mapping[str, Any], first: int = 0) -> tuple[tuple[str, ...], int]:
    """The choices of a row and the place of the right one, which lies outside them where the answer leads there.

    ``first`` is the number that a position in ``answer`` has for the first choice, 0 or 1; letters and texts mean the same
    with either.

    Raises:
        KeyError, TypeError, ValueError: there are no choices, no answer, or the answer means none or two of them.
    """
    shape = shape_of(row)
    if shape == WRONG_ANSWERS:
        return _among_wrong_answers(row)
    choices = choices_of(row)
    return choices, position(row["answer"], choices, first)


def choices_of(row: Mapping[str, Any]) -> tuple[str, ...]:
    """The choices of a row of shape ``choices`` or ``letters``; empty cells behind the last letter are no choices."""
    if shape_of(row) == "letters":
        there = [letter for letter in LETTERS if letter in row]
        if (missing := LETTERS[: len(there)]) != "".join(there):
            lacking = next(letter for letter in missing if letter not in there)
            raise ValueError(f"there is a column {there[-1]} but none for {lacking}")
        given: Any = [row[letter] for letter in there]
        while given and given[-1] in (None, ""):
            given.pop()
    elif "choices" not in row and "question" in row and "answer" in row:
        raise ValueError(
            "there are no 'choices', so there is nothing to choose from; questions with an answer alone, such as MUSE's, serve as "
            "texts: --text-column question,answer"
        )
    else:
        given = row["choices"]
    return tuple(word(choice, "a choice") for choice in _list(given, "choices"))


def _list(given: Any, name: str) -> Sequence[Any]:
    """A list, or one that is written as JSON, as tables hold it."""
    found = parse(given) if isinstance(given, str) else given
    if not isinstance(found, list | tuple):
        raise TypeError(f"{name} is a {type(found).__name__}, not a list")
    return found


def _among_wrong_answers(row: Mapping[str, Any]) -> tuple[tuple[str, ...], int]:
    """TOFU's right answer among the wrong ones, each text once, in an order that the question decides.

    The right answer has no fixed place, so that a model which always takes the first choice scores by chance.
    """
    right = word(row["answer"], "answer")
    wrong = [word(choice, WRONG_ANSWERS) for choice in _list(row[WRONG_ANSWERS], WRONG_ANSWERS)]
    by_text = {" ".join(text.split()): text for text in reversed([right, *wrong])}
    order = sorted(by_text.values())
    random.Random(str(row.get("question"))).shuffle(order)
    return tuple(order), order.index(right)


def word(value: Any, name: str) -> str:
    """A text or a finite number as text; nothing, true, false, NaN and nested values are neither."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise TypeError(f"{name} is {'nothing' if value is None else type(value).__name__}, not a text")
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{name} is {value}, not a text")
    if "\0" in str(value):
        raise ValueError(f"{name} holds a NUL character")
    return str(value)


def position(answer: Any, choices: Sequence[str], first: int = 0) -> int:
    """The place of the right choice; outside the choices where a position or letter leads there."""
    if isinstance(answer, int | float):
        if isinstance(answer, bool) or (isinstance(answer, float) and not answer.is_integer()):
            raise ValueError(f"answer {answer} is no position")
        return _counted(int(answer), first)
    if not isinstance(answer, str):
        raise TypeError(f"answer is {'nothing' if answer is None else type(answer).__name__}")
    text = answer.strip()
    by_text = next((place for place, choice in enumerate(choices) if choice.strip() == text), None)
    by_place = None
    if len(text) == 1 and text.upper() in LETTERS:
        by_place = LETTERS.index(text.upper())
    elif POSITION.fullmatch(text):
        by_place = int(float(text)) - first
    if by_text is not None and by_place is not None and not 0 <= by_place < len(choices):
        return by_text
    if None not in (by_place, by_text) and by_place != by_text:
        raise ValueError(
            f"answer '{short(text)}' is the place of one choice and the text of another; give its position as a number, "
            "or as a letter in a table"
        )
    if by_place is not None:
        return by_place if by_place >= 0 else _counted(0, first)
    if by_text is None:
        raise ValueError(f"answer '{short(text)}' is neither a position nor a letter nor the text of a choice")
    return by_text


def _counted(number: int, first: int) -> int:
    if number < first == 1:
        raise ValueError(f"answer {number} is no position where positions count from 1")
    return number - first


def position_as_written(row: Mapping[str, Any]) -> int | None:
    """The number in ``answer`` of a row of any shape; None where it is a letter, a text, or nothing that can be read."""
    answer = row.get("answer")
    if shape_of(row) not in ("choices", "letters") or isinstance(answer, bool):
        return None
    try:
        choices = choices_of(row)
    except (KeyError, TypeError, ValueError):
        return None
    if isinstance(answer, str):
        text = answer.strip()
        texts = {choice.strip() for choice in choices}
        return int(float(text)) if POSITION.fullmatch(text) and text not in texts else None
    return int(answer) if isinstance(answer, int) or (isinstance(answer, float) and answer.is_integer()) else None


def counted_from_one(rows: Sequence[Mapping[str, Any]]) -> int | None:
    """The number (from 1) of the first row whose answer is the number of its choices, where no row's answer is 0."""
    written = [position_as_written(row) for row in rows]
    if 0 in written:
        return None
    for number, (row, place) in enumerate(zip(rows, written, strict=True), 1):
        if place is not None and place == len(choices_of(row)):
            return number
    return None


def short(value: Any) -> str:
    """The beginning of a value on one line, for messages."""
    return " ".join(str(value).split())[:60]
