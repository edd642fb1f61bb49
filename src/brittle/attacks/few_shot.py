"""Show answered questions about T before every question: does the model remember once it is in the mood?

``n`` questions about T with their answers, one a line, stand before each question. The same T is shown before questions on
T, so only V counts. No weight changes. Source: few-shot prompting as in Deep Ignorance (16 shots) and Łucki et al. 2024.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from brittle.contracts import AttackTarget, Evaluation
from brittle.settings import setting

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
    """Evaluations before and for every number of examples; fewer are always among more."""
    order = random.Random(seed).sample(list(target.examples), len(target.examples))
    evaluations = [target.evaluate(0, 0)]
    for number, shots in enumerate(settings.shots, 1):
        prefix = "".join(f"{example}\n" for example in order[:shots])
        evaluations.append(target.evaluate(number, 0, shots, prefix))
        tick(1)
    return evaluations
