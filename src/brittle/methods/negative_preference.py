"""Negative preference optimisation: make forget texts less likely than they were, ever more gently.

L = −(2/β) · E[ log σ(−β · (log π(y) − log π_before(y))) ]_forget + w · NLL_retain

The gradient is that of ascent times W = 2σ(β · (log π − log π_before)), which falls from 1 towards 0 as the text
becomes unlikely: β → 0 is plain ascent, a large β stops early. log π(y) is the sum over tokens, as in the paper and
by default; with ``--log-probability mean`` and β = 0.1, half a nat per token leaves W at 0.98, so nothing brakes.
Source: Zhang et al. 2024 (arXiv 2404.05868); retain term as in their NPO+RT.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from brittle import training
from brittle.contracts import MethodNeeds
from brittle.training.hyperparameters import hyperparameter

if TYPE_CHECKING:
    from brittle.training.step import LossTerms, Step

NAME = "npo"
NEEDS = MethodNeeds(reference_log_probabilities=("forget",), together=True)
PRESETS: dict[str, dict[str, Any]] = {
    "laboratory": {"lr": 1e-3, "max_steps": 60, "retain_weight": 2.0, "batch_size": 8, "loss_tokens": "answer"}
}
TUNING = {
    "collapses": "raise --retain-weight or lower --lr",
    "too weak": "lower --beta (the brake) or --retain-weight; --log-probability mean takes the brake off",
}


@dataclass(frozen=True)
class Settings:
    """Inverse temperature β, the weight w of the retain likelihood, and what log π aggregates."""

    beta: float = hyperparameter("beta")
    retain_weight: float = hyperparameter("retain_weight")
    log_probability: str = hyperparameter("log_probability")


def loss(settings: Settings, step: Step) -> LossTerms:
    """The bounded ascent and the retain likelihood."""
    now = training.terms.sequence_log_probability(step, "forget", settings.log_probability)
    before = training.terms.reference_log_probability(step, "forget", settings.log_probability)
    preference = training.terms.negative_preference(now - before, settings.beta)
    return {
        "forget": training.terms.sequence_mean(step, "forget", preference),
        "retain": settings.retain_weight * step.negative_log_likelihood("retain"),
    }
