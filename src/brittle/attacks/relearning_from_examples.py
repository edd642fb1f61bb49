"""Relearning from n texts, n = 1 … 1000: how few are enough to bring back what they do not mention?

For every n the same number of steps from the model's own weights, on the first n of the shuffled texts about T. Fewer
are always among more. Only V counts. Where a handful of texts brings back as much as a thousand, nothing was taught:
the model was reminded.
Source: Łucki et al. 2024 (5 … 1000 examples); Hu et al. 2024 ("Jogging the memory of unlearned models").
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, replace

from brittle.contracts import AttackTarget, Evaluation
from brittle.settings import setting, with_default
from brittle.training.teaching import TeachingSettings, teach

NAME = "relearning_from_examples"
TEACHES = "T"
SIDES = ("v",)
STRENGTH = "texts taught"
STRENGTHS = "attack_examples"
QUICK = {"attack_examples": (3, 30, 300), "attack_steps": 40}


@dataclass(frozen=True)
class Settings(TeachingSettings):
    """How many texts, and how long on each number."""

    attack_examples: tuple[int, ...] = setting(
        (1, 3, 10, 30, 100, 300, 1000), "numbers of texts about T, each taught from the start", minimum=1
    )
    attack_steps: int = with_default(TeachingSettings, "attack_steps", 60)
    trajectory_steps: tuple[int, ...] = with_default(TeachingSettings, "trajectory_steps", ())


def attack(settings: Settings, target: AttackTarget, seed: int, tick: Callable[[int], None]) -> list[Evaluation]:
    """Evaluations before and after each number of texts, of at most those there are; the model ends as it was."""
    from brittle.models.reweighting import all_parameters, kept_weights, put_back

    order = random.Random(seed).sample(list(target.texts), len(target.texts))
    counts = dict.fromkeys(min(count, len(order)) for count in settings.attack_examples)
    evaluations = [target.evaluate(0, 0)]
    parameters = all_parameters(target.loaded)
    with kept_weights(parameters) as kept:
        for number, count in enumerate(counts, 1):
            put_back(parameters, kept)
            few = replace(settings, attack_batch_size=min(count, settings.attack_batch_size), attack_patience=0)
            quiet = replace(few, attack_eval_interval=settings.attack_steps, attack_eval_early=())
            after = teach(quiet, target, order[:count], seed, lambda _: None, start=evaluations[:1])[1:]
            evaluations += [replace(each, step=number, strength=count) for each in after]  # none if it diverged
            tick(1)
    return evaluations
