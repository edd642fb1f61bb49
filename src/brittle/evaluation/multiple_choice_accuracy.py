"""Does the model still have general capabilities? Accuracy on multiple-choice questions, overall and by subject.

MMLU and WMDP are asked zero-shot by letters, as lm-evaluation-harness asks them; other questions as continuations (see
:mod:`brittle.evaluation.question_forms`). The prediction is the choice with the highest mean log-probability per token
(:mod:`brittle.models.likelihood`); a collapsed model scores near chance.
Intervals are Wilson's at 95 %: which questions were drawn is the only uncertainty they cover.  Wilson 1927.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from brittle.data.multiple_choice import chance_of
from brittle.evaluation.question_forms import in_form
from brittle.percentages import percent, points
from brittle.settings import BadInput

if TYPE_CHECKING:
    from brittle.data.multiple_choice import Question
    from brittle.models.loading import LoadedModel

NAME = "evals"
STEP = 0
PROGRAM = "eval_mmlu"
WORDS = {
    "letters": "Asked zero-shot by letters: options in the prompt, the letters scored.",
    "continuation": "Asked as continuations: each answer scored after the bare question.",
}


def evaluate(
    loaded: LoadedModel, questions: Sequence[Question], batch_size: int = 32, form: str = "continuation"
) -> dict[str, Any]:
    """Ask the model; the content of ``evals/summary.json``.

    Keys: model, format (``letters`` or ``continuation``), accuracy, correct, questions, interval_low, interval_high (Wilson, 95 %), chance (the mean of one over
    the number of choices) and subjects, which has the same five numbers for each subject.
    """
    return summary_of(loaded.name, questions, answered(loaded, questions, batch_size, form), form)


def answered(
    loaded: LoadedModel, questions: Sequence[Question], batch_size: int = 32, form: str = "continuation"
) -> list[bool]:
    """Whether the model picks the right choice of each question."""
    from brittle.models import likelihood

    scores = likelihood.score(loaded, in_form(questions, form), batch_size=batch_size, normalise=False)
    right: list[bool] = scores.correct[-1].tolist()
    return right


def summary_of(model: str, questions: Sequence[Question], correct: Sequence[bool], form: str) -> dict[str, Any]:
    """What :func:`evaluate` returns, from the answers."""
    overall = accuracy_with_interval(sum(correct), len(questions))
    subjects = accuracy_by_subject(correct, questions)
    return {"model": model, "format": form, **overall, "chance": chance_of(questions), "subjects": subjects}


def accuracy_by_subject(correct: Sequence[bool], questions: Sequence[Question]) -> dict[str, dict[str, float]]:
    """Accuracy with its interval by subject, in alphabetical order."""
    answers: dict[str, list[bool]] = defaultdict(list)
    for question, right in zip(questions, correct, strict=True):
        answers[question.subject].append(bool(right))
    return {
        subject: accuracy_with_interval(sum(answers[subject]), len(answers[subject])) for subject in sorted(answers)
    }


def accuracy_with_interval(correct: int, questions: int) -> dict[str, float]:
    """Accuracy, its counts and its 95 % Wilson interval as a dictionary; ``questions`` must be at least 1."""
    from scipy.stats import binomtest

    interval = binomtest(correct, questions).proportion_ci(0.95, method="wilson")
    return {
        "accuracy": correct / questions, "correct": correct, "questions": questions,
        "interval_low": float(interval.low), "interval_high": float(interval.high),
    }  # fmt: skip


def sample_uniformly(questions: Sequence[Question], number: int = 1000, seed: int = 42) -> list[Question]:
    """Draw ``number`` questions spread evenly over subjects, in their original order.

    Subjects take turns in giving one random question; a subject that has none left drops out. Subjects' counts
    therefore differ by at most one unless a subject is exhausted. All questions, if there are no more than ``number``.
    """
    if number < 1:
        raise BadInput(f"cannot draw {number} questions; ask for at least 1")
    by_subject: dict[str, list[int]] = defaultdict(list)
    for index, question in enumerate(questions):
        by_subject[question.subject].append(index)
    for subject, indices in by_subject.items():
        random.Random(f"{seed} {subject}").shuffle(indices)
    order = sorted(by_subject)
    random.Random(seed).shuffle(order)  # who gives one more, when the number does not divide
    turns = sorted((turn, place, index) for place, s in enumerate(order) for turn, index in enumerate(by_subject[s]))
    return [questions[index] for index in sorted(index for _, _, index in turns[:number])]


def summary_markdown(summary: Mapping[str, Any], title: str = "MMLU") -> str:
    """The content of ``evals/high_level_summary.md`` from :func:`evaluate`'s result."""
    accuracy, chance = _percent(summary), percent(summary["chance"], 1)
    lines = [
        f"# {title}: {summary['model']}", "",
        f"Accuracy {accuracy} on {summary['questions']} questions; chance is {chance}.", "",
        WORDS[summary["format"]], "",
        "| subject | accuracy (95 % interval) | questions |", "|---|---|---|",
        *(f"| {name} | {_percent(part)} | {part['questions']} |" for name, part in summary["subjects"].items()),
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


def _percent(part: Mapping[str, Any]) -> str:
    return f"{percent(part['accuracy'], 1)} ({points(part['interval_low'], 1)} to {points(part['interval_high'], 1)})"
