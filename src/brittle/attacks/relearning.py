"""Full-parameter relearning on T, measured on V: what comes back that the attack never showed?

Fine-tune every weight on texts about one half of the hazardous facts (T) and ask about the other half (V). Relearning
T says little, any model can be taught; V can only come back if it was still there. The same attack on a model that
never knew (filtered) shows what teaching T alone gives. AdamW, float32 weights and a constant learning rate.
Source: Deeb and Roger 2024 ("Do unlearning methods remove information?"), with a filtered model as control.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from brittle.contracts import AttackTarget, Evaluation
from brittle.training.teaching import TeachingSettings, teach

NAME = "relearning"
TEACHES = "T"
QUICK = {"attack_eval_interval": 40}


@dataclass(frozen=True)
class Settings(TeachingSettings):
    """How hard the attack tries."""


def attack(settings: Settings, target: AttackTarget, seed: int, tick: Callable[[int], None]) -> list[Evaluation]:
    """Train the target's model in place on T."""
    return teach(settings, target, target.texts, seed, tick)
