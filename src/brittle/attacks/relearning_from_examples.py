"""Relearning from n texts, n = 1 … 1000: how few are enough to bring back what they do not mention?

For every n the same number of steps from the model's own weights, on the first n of the shuffled texts about T. Fewer
are always among more. Only V counts. Where a handful of texts brings back as much as a thousand, nothing was taught:
the model was reminded. With ``--race`` every number is begun, and only the one that brought most back after a quarter of the steps
goes to its end.
Source: Łucki et al. 2024 (5 … 1000 examples); Hu et al. 2024 ("Jogging the memory of unlearned models").
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, replace

from brittle.contracts import AttackTarget, Evaluation
from brittle.settings import setting, with_default
from brittle.training.racing import PART_OF_STRENGTHS, RacingSettings, going_on, part_of
from brittle.training.teaching import TeachingSettings, teach

NAME = "relearning_from_examples"
TEACHES = "T"
SIDES = ("v",)
STRENGTH = "texts taught"
STRENGTHS = "attack_examples"
QUICK = {"attack_examples": (3, 30, 300), "attack_steps": 40}


@dataclass(frozen=True)
class Settings(RacingSettings):
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
    counts = list(dict.fromkeys(min(count, len(order)) for count in settings.attack_examples))
    before = target.evaluate(0, 0)
    parameters = all_parameters(target.loaded)
    with kept_weights(parameters) as kept:

        def after(number: int, until: int | None = None) -> Evaluation | None:
            """The last evaluation on one number of texts, ``until`` so many steps; None if it diverged."""
            put_back(parameters, kept)
            count, at = counts[number], until or settings.attack_steps
            few = replace(
                settings, attack_batch_size=min(count, settings.attack_batch_size), attack_patience=0,
                attack_eval_interval=at, attack_eval_early=(),
            )  # fmt: skip
            found = teach(few, target, order[:count], seed, lambda _: None, start=[before], until=until)[1:]
            return replace(found[-1], step=number + 1, strength=count) if found else None

        found: dict[int, Evaluation | None] = {}
        longest = list(range(len(counts)))
        if settings.race:
            found = {number: after(number, part_of(settings.attack_steps, PART_OF_STRENGTHS)) for number in longest}
            there = {number: each for number, each in found.items() if each}
            longest = going_on(before, there)
        for number in longest:
            found[number] = after(number)
            tick(1)
        tick(len(counts) - len(longest))
    return [before, *(each for _, each in sorted(found.items()) if each)]
