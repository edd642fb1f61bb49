"""Simple negative preference as published: with a reward margin, and an inverse temperature that brakes.

L = −(2/β) · E[ log σ(−(β / |y|) · log π(y) − γ) ]_forget + w · NLL_retain

The weight on ascent is 2σ(γ − β · NLL): one half of its largest at γ/β nats per token, so a larger margin γ goes on for longer. The
paper tunes β between 2.5 and 4.5 (2.5 here) and ends at γ = 0, the default. With ``--reward-margin 0`` this is ``simnpo`` at the same
β; what differs is the margin and the default β (the specification's 0.1 hardly brakes at all). The authors weigh the forget term
against the retain term by 0.1375; here raise ``--retain-weight``. Source: Fan et al. 2024 ("Simplicity prevails", arXiv 2410.07163).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from brittle import training
from brittle.contracts import MethodNeeds
from brittle.training.hyperparameters import hyperparameter

if TYPE_CHECKING:
    from brittle.training.step import LossTerms, Step

NAME = "simnpo_paper"
NEEDS = MethodNeeds(together=True)
PRESETS: dict[str, dict[str, Any]] = {
    "laboratory": {"lr": 1e-3, "max_steps": 60, "batch_size": 8, "reward_margin": 2.5, "loss_tokens": "answer"}
}
SAME_AS = {
    "method": "simnpo",
    "here": {"simnpo_beta": 2.5, "reward_margin": 0.0},
    "there": {"beta": 2.5},
    "words": "without a margin and at the same β the updates are the same",
}
TUNING = {
    "collapses": "raise --retain-weight or lower --reward-margin",
    "too weak": "raise --reward-margin or lower --simnpo-beta: ascent ends near γ/β nats per token",
}


@dataclass(frozen=True)
class Settings:
    """Inverse temperature β, margin γ and the weight w of the retain likelihood."""

    simnpo_beta: float = hyperparameter("simnpo_beta")
    reward_margin: float = hyperparameter("reward_margin")
    retain_weight: float = hyperparameter("retain_weight")


def loss(settings: Settings, step: Step) -> LossTerms:
    """The length-normalised bounded ascent with its margin, and the retain likelihood."""
    beta = settings.simnpo_beta
    now = training.terms.sequence_log_probability(step, "forget", "mean")
    preference = training.terms.negative_preference(now + settings.reward_margin / beta, beta)
    return {
        "forget": training.terms.sequence_mean(step, "forget", preference),
        "retain": settings.retain_weight * step.negative_log_likelihood("retain"),
    }
