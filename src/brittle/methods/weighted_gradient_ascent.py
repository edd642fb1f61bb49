"""Weighted gradient ascent: ascend on tokens in proportion to how likely they still are.

L = −mean_t[ p_t^b · NLL_t ]_forget + w · NLL_retain

p_t is the model's probability of the token, without gradient. Plain ascent spends itself on tokens that are already
impossible; here a forgotten token stops counting. Source: Wang et al. 2025 ("Rethinking LLM unlearning objectives",
arXiv 2502.19301); b = 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from brittle import training
from brittle.contracts import MethodNeeds
from brittle.training.hyperparameters import hyperparameter

if TYPE_CHECKING:
    from brittle.training.step import LossTerms, Step

NAME = "wga"
NEEDS = MethodNeeds(together=True)
PRESETS: dict[str, dict[str, Any]] = {
    "laboratory": {"lr": 0.001, "max_steps": 100, "wga_exponent": 0.2, "batch_size": 8, "loss_tokens": "answer"}
}
TUNING = {
    "collapses": "raise --retain-weight",
    "too weak": "lower --wga-exponent: at 1 a token stops counting as soon as it is unlikely",
}


@dataclass(frozen=True)
class Settings:
    """The exponent b and the retain weight w."""

    wga_exponent: float = hyperparameter("wga_exponent")
    retain_weight: float = hyperparameter("retain_weight")


def loss(settings: Settings, step: Step) -> LossTerms:
    """The weighted ascent and the retain likelihood."""
    weighted = training.terms.weighted_likelihood(step, "forget", lambda p: p**settings.wga_exponent)
    return {"forget": -weighted, "retain": settings.retain_weight * step.negative_log_likelihood("retain")}
