"""Repair, then attack: first fine-tune on benign texts until the model is whole again, then relearn T.

A model whose abilities were destroyed looks tamper-resistant, because it can hardly be taught anything. After a repair
it is as teachable as the others, and V is compared at matched T as after relearning. Steps count both phases.
Source: EleutherAI's repair-then-attack protocol (200 steps on WikiText, then 500 on biology).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from brittle.contracts import AttackTarget, Evaluation
from brittle.settings import setting
from brittle.training.teaching import TeachingSettings, teach

NAME = "repair_then_attack"
TEACHES = "T"


@dataclass(frozen=True)
class Settings(TeachingSettings):
    """How hard the attack tries, and how long it repairs."""

    repair_steps: int = setting(100, "steps on benign texts before the attack", minimum=1)


def attack(settings: Settings, target: AttackTarget, seed: int, tick: Callable[[int], None]) -> list[Evaluation]:
    """Train the target's model in place, on benign texts and then on T."""
    repair = replace(settings, attack_patience=0, attack_eval_interval=settings.repair_steps, attack_eval_early=())
    repaired = teach(repair, target, target.retain_texts, seed, tick, settings.repair_steps)
    if len(repaired) < 2:  # the repair diverged
        return repaired
    return teach(settings, target, target.texts, seed, tick, start=repaired)
