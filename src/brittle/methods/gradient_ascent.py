"""Gradient ascent on forget texts with descent on retain texts.

L = −NLL_forget + w · NLL_retain

Means over tokens, in nats per token. With w = 1 this is gradient difference; the weight stands on the other term.
Source: the regularised form of Jang et al. 2023; Maini et al. 2024 (TOFU).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from brittle.contracts import MethodNeeds
from brittle.training.hyperparameters import hyperparameter

if TYPE_CHECKING:
    from brittle.training.step import LossTerms, Step

NAME = "ga"
NEEDS = MethodNeeds(together=True)
PRESETS: dict[str, dict[str, Any]] = {
    "laboratory": {"lr": 1e-3, "max_steps": 60, "retain_weight": 6.0, "batch_size": 8, "loss_tokens": "answer"}
}
SAME_AS = {
    "method": "grad_diff",
    "here": {"retain_weight": 1.0},
    "there": {"forget_weight": 1.0},
    "words": "with both weights at 1 the updates are the same; elsewhere w here is 1/w there, up to the loss's overall factor",
}
TUNING = {
    "collapses": "raise --retain-weight to 2-10",
    "too weak": "lower --retain-weight below 1",
}


@dataclass(frozen=True)
class Settings:
    """The weight w of the retain likelihood."""

    retain_weight: float = hyperparameter("retain_weight")


def loss(settings: Settings, step: Step) -> LossTerms:
    """The two likelihoods."""
    return {
        "forget": -step.negative_log_likelihood("forget"),
        "retain": settings.retain_weight * step.negative_log_likelihood("retain"),
    }
