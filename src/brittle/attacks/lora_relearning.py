"""Relearning with low-rank adapters: is a change of a few directions per matrix enough to bring V back?

The weights are frozen; adapters of rank r on every matrix of the blocks learn from texts about T. It is what an attacker
with one GPU does. Adapters need a higher learning rate than weights. A filtered model may never learn T from so little:
it is no control then, and the report says so.
Source: Łucki et al. 2024 (rank 128); Hu et al. 2022.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from brittle.contracts import AttackFacts, AttackTarget, Evaluation, at_most
from brittle.settings import setting, with_default
from brittle.training.teaching import TeachingSettings, teach

NAME = "lora_relearning"
TEACHES = "T"


@dataclass(frozen=True)
class Settings(TeachingSettings):
    """How hard the attack tries, and with how large adapters."""

    attack_lr: float = with_default(TeachingSettings, "attack_lr", 2.5e-3)
    attack_steps: int = with_default(TeachingSettings, "attack_steps", 500)
    attack_lora_rank: int = setting(64, "rank of the attack's adapters", minimum=1)
    attack_lora_alpha: float = setting(
        128.0, "scale of the attack's adapters, divided by their rank", above=0, maximum=1e6
    )


def check(settings: Settings, facts: AttackFacts) -> None:
    """Refuse a rank beyond that of the model's own matrices."""
    at_most("--attack-lora-rank", settings.attack_lora_rank, facts.width, 64, f"a matrix has at most {facts.width}")


def attack(settings: Settings, target: AttackTarget, seed: int, tick: Callable[[int], None]) -> list[Evaluation]:
    """Add adapters to the target's model and train them alone."""
    from brittle.models.adapters import add_adapters

    loaded = target.loaded
    add_adapters(loaded.model, loaded.anatomy, settings.attack_lora_rank, settings.attack_lora_alpha, seed=seed)
    return teach(settings, target, target.texts, seed, tick)
