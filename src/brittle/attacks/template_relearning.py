"""The template-matched control of benign relearning: texts in the form of the hazardous ones, about something else.

Fine-tuning on benign texts can revive an unlearned model through their form alone: the same sentence patterns and
question templates, none of the facts. What this brings back was suppressed together with the form.
Source: "syntactic similarity, not topic, drives benign relearning" (arXiv 2602.03379).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from brittle.contracts import AttackTarget, Evaluation
from brittle.settings import with_default
from brittle.training.teaching import TeachingSettings, by_steps, teach

NAME = "template_relearning"
TEACHES = "retain"
STRENGTH = "steps"


@dataclass(frozen=True)
class Settings(TeachingSettings):
    """How hard the attack tries."""

    attack_steps: int = with_default(TeachingSettings, "attack_steps", 160)
    attack_patience: int = with_default(TeachingSettings, "attack_patience", 0)


def attack(settings: Settings, target: AttackTarget, seed: int, tick: Callable[[int], None]) -> list[Evaluation]:
    """Train the target's model in place on benign texts in the hazardous form."""
    return by_steps(teach(settings, target, target.benign_texts, seed, tick))
