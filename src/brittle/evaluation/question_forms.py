"""How step 0 asks a multiple-choice question: by letters, as MMLU is asked everywhere, or as a bare continuation.

*letters*: the subject's line, the question, its options as ``A.``, ``B.`` … and ``Answer:``; what is scored are the letters.
This is the prompt of lm-evaluation-harness's ``mmlu`` and ``wmdp_bio``, zero-shot, which published numbers rest on.
*continuation*: the bare question; what is scored are the answers' own words, the mean log-probability per token. Models
that never saw lettered questions, such as the laboratory's, can only be asked so.
Where nobody chooses, ``mmlu`` and ``wmdp-bio`` are asked by letters, the laboratory and question files as continuation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from brittle.data.multiple_choice import HUB_QUESTIONS
from brittle.settings import setting

FORMS = ("letters", "continuation")
DESCRIPTION = "The following are multiple choice questions (with answers) about {}.\n\n"
TOPICS = {"wmdp-bio": "biology"}
"""What a question set is about, where its name does not say it."""


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


def num_questions() -> Any:
    """The setting of how many benign questions are asked."""
    return setting(
        1000, "benign questions of step 0, drawn evenly over their subjects", environment="NUM_QUESTIONS", minimum=1
    )
