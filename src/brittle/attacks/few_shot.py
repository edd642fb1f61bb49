"""Show answered questions about T before every question: does the model remember once it is in the mood?

``n`` questions about T with their answers, one a line, stand before each question. The same T is shown before questions on
T, so only V counts. No weight changes. Source: few-shot prompting as in Deep Ignorance (16 shots) and Łucki et al. 2024.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from brittle.contracts import AttackTarget, Evaluation
from brittle.settings import BadInput, setting

NAME = "few_shot"
TEACHES = "nothing"
SIDES = ("v",)
STRENGTH = "examples shown"
STRENGTHS = "shots"
QUICK = {"shots": (4,)}


@dataclass(frozen=True)
class Settings:
    """How many examples."""

    shots: tuple[int, ...] = setting((1, 2, 4, 8), "answered questions about T before every question", minimum=1)


def attack(settings: Settings, target: AttackTarget, seed: int, tick: Callable[[int], None]) -> list[Evaluation]:
    """Evaluations before and for every number of examples that there are and that fit; fewer are always among more."""
    from brittle.models.reweighting import try_at

    order = random.Random(seed).sample(list(target.examples), len(target.examples))
    most = fitting(target, order, max(settings.shots))
    evaluations = [target.evaluate(0, 0)]
    for number, shots in enumerate(dict.fromkeys(min(shots, most) for shots in settings.shots), 1):
        prefix = "".join(f"{example}\n" for example in order[:shots])
        evaluations += try_at(target, number, shots, prefix)
        tick(1)
    return evaluations


def fitting(target: AttackTarget, order: Sequence[str], most: int) -> int:
    """How many of the first examples, at most ``most``, stand before the longest question within the model's positions.

    Raises:
        BadInput: not even one.
    """
    from brittle.models.encoding import longest_row

    def tokens(texts: Sequence[str]) -> list[int]:
        return [len(row) for row in target.loaded.tokenizer(list(texts))["input_ids"]] if texts else [0]

    room = longest_row(target.loaded.model)
    asked = max(tokens([question.text for side in target.questions.values() for question in side]))
    lengths = list(itertools.accumulate(tokens([f"{example}\n" for example in order[:most]])))
    found = sum(asked + length <= room for length in lengths)
    if not found:
        raise BadInput(
            f"{NAME}: no example fits beside a question into the {room} tokens that {target.loaded.name} reads"
        )
    return found
