"""What was understood of a file of texts or questions, as lines: how it was read, how T and V would fall, an example as it is asked."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from brittle.data.corpora import text_column
from brittle.data.multiple_choice import Question, answers_from, chance_of, read_questions
from brittle.data.understood import Understood, shares, understand
from brittle.evaluation.question_forms import form_of, in_form, question_format, question_template, template_of, worded
from brittle.percentages import percent
from brittle.runs.attack_material import prepare
from brittle.runs.material import questions_by_side
from brittle.settings import BadInput, setting

WIDTH = 12
MOST_NAMES = 6


@dataclass(frozen=True)
class CheckSettings:
    """How a file is to be read, and by whose tokenizer it is shown."""

    reading: str = setting(
        "auto", "texts or questions; auto: questions where rows have choices", flag="--as",
        choices=("auto", "texts", "questions"),
    )  # fmt: skip
    text_column: str | None = text_column()
    answers_from: int | None = answers_from()
    question_template: str = question_template()
    question_format: str = question_format()
    model: str | None = setting(None, "model whose tokenizer shows an example and measures lengths (default: as text)")
    max_length: int = setting(512, "longest text or question with choice in tokens, with --model", minimum=2)
    forget_questions: str | None = setting(
        None, "of a file of forget texts, the questions about them: how many texts would teach T in an attack"
    )


def check(file: str | Path, settings: CheckSettings) -> list[str]:
    """What was understood, as lines to print.

    Raises:
        BadInput: the file cannot be used, and why.
    """
    found = understand(Path(file), settings.reading, settings.text_column, settings.answers_from)
    template = template_of(settings.question_template)
    if found.questions and settings.forget_questions:
        raise BadInput(f"--forget-questions is read beside a file of texts, and {file} holds questions; leave it out")
    tokenizer = _tokenizer(settings.model) if settings.model else None
    dropped = f"{found.dropped} empty {'row' if found.dropped == 1 else 'rows'} dropped"
    lines = [str(found.path), _line("format", f"{found.kind}; {found.rows} rows read, {dropped}")]
    lines.append(_line("columns", ", ".join(found.columns) or "none: a line is a text"))
    if found.questions:
        form = form_of(None, settings.question_format)
        asked = in_form(found.questions if form == "letters" else worded(found.questions, template), form)
        return [*lines, *_of_questions(found, settings), *_asked(asked, form, tokenizer, settings.max_length)]
    return [*lines, *_of_texts(found, settings, tokenizer)]


def _tokenizer(reference: str) -> Any:
    from brittle.models.loading import load_tokenizer
    from brittle.models.references import tokenizer_folder
    from brittle.runs import laboratory_models

    if laboratory_models.of_a_suite(reference):
        return load_tokenizer(laboratory_models.find(reference).folder)
    return load_tokenizer(tokenizer_folder(reference))


def _line(name: str, words: str) -> str:
    return f"{name:<{WIDTH}}{words}"


def _of_questions(found: Understood, settings: CheckSettings) -> list[str]:
    questions = found.questions
    first = settings.answers_from or 0
    how = f"positions from {first}" if found.positions else "letters or texts"
    if found.positions and sum(found.positions.values()) < len(questions):
        how += ", letters and texts"
    counts = Counter(len(question.choices) for question in questions)
    choices = ", ".join(f"{number} choices in {count}" for number, count in sorted(counts.items()))
    right = Counter(question.answer for question in questions)
    lines = [
        _line("read as", f"questions; choices from {' and '.join(found.shapes)}; answers as {how}"),
        _line("choices", f"{choices}; guessing is right in {percent(chance_of(questions), 1)}"),
        _line("answers", ", ".join(f"choice {place + 1}: {right[place]}" for place in range(max(counts)))),
    ]
    if settings.answers_from is None and found.may_count_from_one:
        lines.append(_line("note", "no answer is 0; if the first choice is 1 here, say so with --answers-from 1"))
    return [*lines, *_split(questions), _duplicates(found)]


def _split(questions: Sequence[Question]) -> list[str]:
    """How T and V fall where these are the forget questions, and what their entities allow."""
    named = [question for question in questions if (question.entity or "").strip()]
    by = "entity" if named else "fact" if any(question.fact for question in questions) else "question"
    try:
        sides = questions_by_side(questions, ())
    except BadInput as problem:
        return [_line("T and V", f"as forget questions refused: {problem}")]
    words = f"as forget questions {len(sides['t'])} in T and {len(sides['v'])} in V, split by {by}"
    lines = [_line("T and V", words)]
    if named:
        for side in ("t", "v"):
            names = list(dict.fromkeys(question.entity for question in sides[side] if question.entity))
            more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
            lines.append(_line("", f"entities of {side.upper()} ({len(names)}): {', '.join(names[:MOST_NAMES])}{more}"))
    if len(named) < len(questions):
        lines.append(
            _line(
                "",
                f"{len(questions) - len(named)} questions have no entity, so texts of your own cannot teach T in attacks",
            )
        )
    return lines


def _duplicates(found: Understood) -> str:
    again = found.again()
    rows = ", ".join(map(str, again[:MOST_NAMES])) + (", …" if len(again) > MOST_NAMES else "")
    return _line("duplicates", f"{len(again)} stand in an earlier row, too (rows {rows})" if again else "none")


def _of_texts(found: Understood, settings: CheckSettings, tokenizer: Any) -> list[str]:
    where = f"; from {' and '.join(found.text_columns)}" if found.text_columns else ""
    lines = [_line("read as", f"texts{where}"), _duplicates(found)]
    if settings.forget_questions:
        sides = questions_by_side(read_questions(settings.forget_questions, settings.answers_from), ())
        try:
            field = prepare({**sides}, found.texts)
            words = field.notes[0].partition(": ")[2] if field.notes else f"all {len(found.texts)} teach T"
        except BadInput as problem:
            words = f"refused: {problem}"
        lines.append(_line("T and V", words))
    example = textwrap.shorten(found.texts[0], 200, placeholder=" …")
    if tokenizer is None:
        return [*lines, _lengths([len(text) for text in found.texts], "characters"), _line("example", example)]
    from brittle.models.encoding import encode

    rows = encode(tokenizer, found.texts)
    lines.append(_lengths([len(row) for row in rows], "tokens", settings.max_length))
    return [*lines, _line("example", _pieces(tokenizer, rows[0][:40]) + (" …" if len(rows[0]) > 40 else ""))]


def _asked(asked: Sequence[Any], form: str, tokenizer: Any, max_length: int) -> list[str]:
    """Lengths of all questions, and the first as it is asked, its choices beneath it and the right one marked."""
    first = asked[0]
    heading = _line("example", f"row 1, asked as {form}; * is the right choice")
    if tokenizer is None:
        lengths = [len(each.question) + 1 + max(map(len, each.choices)) for each in asked]
        prompt = [f"  | {line}" for line in first.question.split("\n")]
        choices = list(first.choices)
        measured = _lengths(lengths, "characters with the longest choice")
    else:
        from brittle.models.prepared_questions import prepare as tokens_of

        prepared = tokens_of(tokenizer, asked).questions
        lengths = [max(map(len, each.rows)) for each in prepared]
        start = prepared[0].start
        prompt = [f"  | {_pieces(tokenizer, prepared[0].rows[0][:start])}"]
        choices = [_pieces(tokenizer, row[start:]) for row in prepared[0].rows]
        measured = _lengths(lengths, "tokens with the longest choice", max_length)
    marked = [f"  {'*' if place == first.answer else ' '} {choice}" for place, choice in enumerate(choices)]
    return [measured, heading, *prompt, *marked]


def _pieces(tokenizer: Any, tokens: Sequence[int]) -> str:
    """Tokens as the text of each, in quotation marks, so that spaces are seen."""
    return " ".join(repr(tokenizer.decode([token])) for token in tokens)


def _lengths(lengths: Sequence[int], unit: str, limit: int | None = None) -> str:
    parts = [f"{percent(part)} up to {length}" for part, length in shares(lengths)[:-1]]
    words = f"{unit}: {', '.join(parts)}, longest {max(lengths)}"
    if limit is not None:
        beyond, cut = sum(length > limit for length in lengths), sum(max(0, length - limit) for length in lengths)
        words += (
            f"; {beyond} of {len(lengths)} ({percent(beyond / len(lengths), 1)}) are longer than --max-length {limit}, "
            f"{percent(cut / max(1, sum(lengths)), 1)} of the tokens lie beyond"
        )
    return _line("length", words)
