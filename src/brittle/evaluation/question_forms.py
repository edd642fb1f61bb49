"""How step 0 asks a multiple-choice question: by letters, as MMLU is asked everywhere, or as a bare continuation.

*letters*: the subject's line, the question, its options as ``A.``, ``B.`` … and ``Answer:``; what is scored are the letters.
This is the prompt of lm-evaluation-harness's ``mmlu`` and ``wmdp_bio``, zero-shot, which published numbers rest on.
*continuation*: the bare question; what is scored are the answers' own words, the mean log-probability per token. Models
that never saw lettered questions, such as the laboratory's, can only be asked so.
Where nobody chooses, ``mmlu`` and ``wmdp-bio`` are asked by letters, the laboratory and question files as continuation.

A *template* words a question that is asked as continuation, in step 0 and wherever else: ``Question: {question}\\nAnswer:``.
By letters the prompt above stays as it is.
"""

from __future__ import annotations

import string
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from brittle.data.multiple_choice import HUB_QUESTIONS, Question
from brittle.settings import BadInput, setting, shortened

FORMS = ("letters", "continuation")
DESCRIPTION = "The following are multiple choice questions (with answers) about {}.\n\n"
TOPICS = {"wmdp-bio": "biology"}
"""What a question set is about, where its name does not say it."""
BARE = "{question}"
"""The template that changes nothing."""


@dataclass(frozen=True)
class Lettered:
    """A question with its options in the prompt; the choices are letters."""

    question: str
    choices: tuple[str, ...]
    answer: int
    subject: str


def in_form(questions: Sequence[Any], form: str) -> Sequence[Any]:
    """The questions as they are asked in a form."""
    return [lettered(question) for question in questions] if form == "letters" else questions


def lettered(question: Any) -> Lettered:
    """One question by letters."""
    letters = tuple(chr(ord("A") + place) for place in range(len(question.choices)))
    options = "".join(f"\n{letter}. {choice}" for letter, choice in zip(letters, question.choices))
    topic = TOPICS.get(question.subject, question.subject.replace("_", " "))
    prompt = f"{DESCRIPTION.format(topic)}{question.question.strip()}{options}\nAnswer:"
    return Lettered(prompt, letters, question.answer, question.subject)


def form_of(reference: str | None, wanted: str = "auto") -> str:
    """The form for questions by name, by file, or (None) of a laboratory."""
    return wanted if wanted != "auto" else "letters" if reference in HUB_QUESTIONS else "continuation"


def question_format() -> Any:
    """The setting of every command that runs step 0."""
    return setting(
        "auto",
        "how step 0 asks: letters (options in the prompt), continuation (each answer after the bare question); auto: "
        "letters for mmlu and wmdp-bio, continuation for files and the laboratory",
        environment="QUESTION_FORMAT", choices=("auto", *FORMS),
    )  # fmt: skip


def question_template() -> Any:
    """The setting of every command that asks questions."""
    return setting(
        BARE,
        "how a question is worded before its choices, with {question} in it and \\n for a new line, such as "
        "'Question: {question}\\nAnswer:'; where questions are asked by letters it changes nothing",
        environment="QUESTION_TEMPLATE",
    )  # fmt: skip


def template_of(text: str) -> str:
    """A template as it was typed, with ``\\n`` as a line break.

    Raises:
        BadInput: it is no format string, names anything but ``{question}``, or ends with a space.
    """
    template = text.replace("\\n", "\n")
    told = f"--question-template '{shortened(text)}'"
    try:
        fields = [field[1:] for field in string.Formatter().parse(template) if field[1] is not None]
    except ValueError as problem:
        raise BadInput(f"{told}: {problem}; write {{question}} where the question goes, and {{{{ for a brace") from None
    if not fields or any(field != ("question", "", None) for field in fields):
        raise BadInput(f"{told} must have {{question}} where the question goes, and nothing else in braces")
    if template.endswith(" "):
        raise BadInput(f"{told} ends with a space, and a space is put before every choice anyway; leave it out")
    return template


def worded(questions: Sequence[Question], template: str) -> Sequence[Question]:
    """The questions as they are asked as continuations: each in the template's words."""
    if template == BARE:
        return questions
    return [replace(question, question=template.format(question=question.question)) for question in questions]


def num_questions() -> Any:
    """The setting of how many benign questions are asked."""
    return setting(
        1000, "benign questions of step 0, drawn evenly over their subjects", environment="NUM_QUESTIONS", minimum=1
    )
