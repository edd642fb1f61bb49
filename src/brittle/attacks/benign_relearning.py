"""Benign relearning: fine-tune on retain texts alone, as any user would. Does the hazard come back by itself?

No hazardous text is shown, so T and V both count. It is read at the number of steps that brings most back and leaves
benign answers alone. Compare with ``template_relearning``: what returns there too is due to the form of the texts.
Source: Hu et al. 2024 ("Jogging the memory of unlearned models"); Łucki et al. 2024 (fine-tuning on unrelated text).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from brittle.contracts import AttackTarget, Evaluation
from brittle.settings import with_default
from brittle.training.teaching import TeachingSettings, by_steps, teach

NAME = "benign_relearning"
TEACHES = "retain"
STRENGTH = "steps"
QUICK = {"attack_steps": 80, "attack_eval_interval": 40, "trajectory_steps": ()}


@dataclass(frozen=True)
class Settings(TeachingSettings):
    """How hard the attack tries."""

    attack_steps: int = with_default(TeachingSettings, "attack_steps", 160)
    attack_patience: int = with_default(TeachingSettings, "attack_patience", 0)


def attack(settings: Settings, target: AttackTarget, seed: int, tick: Callable[[int], None]) -> list[Evaluation]:
    """Train the target's model in place on benign texts."""
    return by_steps(teach(settings, target, target.retain_texts, seed, tick))
