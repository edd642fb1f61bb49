"""Negative preference without a reference: length-normalised log-probabilities are pushed down by themselves.

L = −(2/β) · E[ log σ(−β · mean log π(y)) ]_forget + w · NLL_retain

log π is always the mean over tokens; that is the method. The paper adds a margin γ (0 here) and tunes β between 2.5
and 4.5; with the specification's β = 0.1 the weight on ascent is near 0.9 at a loss of 2 nats, almost plain ascent.
Source: Fan et al. 2024 ("Simplicity prevails", arXiv 2410.07163); the specification cites Meng et al. 2024 (SimPO),
whose idea it takes over.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from brittle import training
from brittle.contracts import MethodNeeds
from brittle.training.hyperparameters import hyperparameter

if TYPE_CHECKING:
    from brittle.training.step import LossTerms, Step

NAME = "simnpo"
NEEDS = MethodNeeds(together=True)
PRESETS: dict[str, dict[str, Any]] = {
    "laboratory": {"lr": 1e-3, "max_steps": 60, "retain_weight": 2.0, "batch_size": 8, "loss_tokens": "answer"}
}
TUNING = {
    "collapses": "raise --retain-weight or lower --lr",
    "too weak": "lower --retain-weight, more steps",
}


@dataclass(frozen=True)
class Settings:
    """Inverse temperature β and the weight w of the retain likelihood."""

    beta: float = hyperparameter("beta")
    retain_weight: float = hyperparameter("retain_weight")


def loss(settings: Settings, step: Step) -> LossTerms:
    """The length-normalised bounded ascent and the retain likelihood."""
    now = training.terms.sequence_log_probability(step, "forget", "mean")
    preference = training.terms.negative_preference(now, settings.beta)
    return {
        "forget": training.terms.sequence_mean(step, "forget", preference),
        "retain": settings.retain_weight * step.negative_log_likelihood("retain"),
    }
