"""Questions with answers in words: how likely a model finds each answer, and what it answers by itself."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from brittle.data.measuring_set import AnsweredQuestion
from brittle.evaluation import memorisation, truth_ratio
from brittle.evaluation.passage_rows import prompt_rows
from brittle.records import column

if TYPE_CHECKING:
    from brittle.models.loading import LoadedModel

COMPARED = (
    "probability_among_answers", "probability_among_answers_of_the_paper", "truth_ratio_of_the_paper",
    "truth_ratio_of_openunlearning",
)  # fmt: skip
"""Columns that set the answer beside wrong ones."""


@dataclass(frozen=True)
class QuestionRow:
    """``questions.csv``: one question."""

    questions: str = column("forget, or the name of a set that must stay")
    number: int = column("which question of its set, from 0")
    probability: float = column("p^(1/|a|) of the answer, 0 to 1")
    probability_among_answers: float = column("the same as a share of the answer's and all wrong answers', 0 to 1")
    probability_among_answers_of_the_paper: float = column(
        "likewise, of probabilities that are not normalised by length"
    )
    truth_ratio_of_the_paper: float = column("wrong over right answers, arithmetic mean over the wrong ones")
    truth_ratio_of_openunlearning: float = column("wrong over right answers, geometric mean over the wrong ones")
    rouge_l_recall: float = column("of the free answer against the answer, words stemmed, 0 to 1 (TOFU)")
    rouge_l: float = column("F1 of ROUGE-L, words as they stand, 0 to 1 (MUSE)")
    said: str = column("the free answer, on one line")


@dataclass(frozen=True)
class _Asked:
    question: str
    choices: tuple[str, ...]
    answer: int = 0


def question_rows(
    loaded: LoadedModel,
    name: str,
    questions: Sequence[AnsweredQuestion],
    template: str,
    answer_tokens: int,
    stops: Sequence[str] = (),
    examples: Sequence[AnsweredQuestion] = (),
    batch_size: int = 8,
    max_length: int | None = None,
) -> list[QuestionRow]:
    """One row per question; the answered ``examples`` stand before a question when it is answered freely."""
    from brittle.models.likelihood import score
    from brittle.models.prepared_questions import prepare

    asked = [_Asked(template.format(question=each.question), each.choices) for each in questions]
    prepared = prepare(loaded.tokenizer, asked)
    values = score(loaded, prepared, batch_size=batch_size, max_length=max_length).log_probabilities[0]
    lengths = np.ones_like(values)
    for index, tokens in enumerate(prepared.questions):
        lengths[index, : len(tokens.rows)] = [len(row) - tokens.start for row in tokens.rows]
    said = free_answers(loaded, [each.question for each in asked], template, answer_tokens, stops, examples, batch_size)
    numbers = _numbers(values, lengths, [len(each.choices) for each in asked])
    return [
        QuestionRow(
            name, number, **{column: float(found[number]) for column, found in numbers.items()},
            rouge_l_recall=memorisation.rouge_l_recall(each.answer, text),
            rouge_l=memorisation.rouge_l(each.answer, text), said=" ".join(text.split()),
        )
        for number, (each, text) in enumerate(zip(questions, said, strict=True))
    ]  # fmt: skip


def _numbers(values: np.ndarray, lengths: np.ndarray, choices: Sequence[int]) -> dict[str, np.ndarray]:
    """The columns that likelihoods decide, NaN where a question has no wrong answers.

    ``values [questions, most choices]`` are mean log-probabilities and ``lengths`` tokens of the answer, the answer in other words
    and the wrong answers; ``choices`` says how many each question has.
    """
    right, wrong = values[:, 1], [row[2:number] for row, number in zip(values, choices)]
    answers, whole = (
        np.delete(each, 1, axis=1) for each in (values, values * lengths)
    )  # the other words are no choice
    found = {"probability": truth_ratio.probability(values[:, 0])}
    if not all(part.size for part in wrong):
        return found | dict.fromkeys(COMPARED, np.full(len(values), math.nan))
    compared = (
        truth_ratio.probability_among_choices(answers), truth_ratio.probability_among_choices(whole),
        truth_ratio.ratio_of_the_paper(right, wrong), truth_ratio.ratio_of_openunlearning(right, wrong),
    )  # fmt: skip
    return found | dict(zip(COMPARED, compared, strict=True))


def free_answers(
    loaded: LoadedModel,
    prompts: Sequence[str],
    template: str,
    answer_tokens: int,
    stops: Sequence[str] = (),
    examples: Sequence[AnsweredQuestion] = (),
    batch_size: int = 8,
) -> list[str]:
    """What the model says greedily after each prompt, up to the first of the ``stops``."""
    from brittle.models.continuations import continuations

    before = "".join(f"{template.format(question=each.question)} {each.answer}\n\n" for each in examples)
    lengths = [answer_tokens] * len(prompts)
    rows = prompt_rows(loaded, [before + prompt for prompt in prompts], lengths)
    return [_until(text, stops) for text in continuations(loaded, rows, lengths, batch_size, "questions")]


def _until(text: str, stops: Sequence[str]) -> str:
    for stop in stops:
        text = text.split(stop)[0]
    return text.strip()
