"""Ascent weighted by saturation and importance of each token.

L = −v · mean_t[ p_t^b₁ · (1 − p_t)^b₂ · NLL_t ]_forget + w · NLL_retain

p_t is the model's probability of the token, without gradient: tokens that are forgotten already (small p_t) and
tokens that are certain and carry little information (p_t near 1) count less. Source: Yang et al. 2025 ("Exploring
criteria of loss reweighting", arXiv 2505.11953); b₁ = 5, b₂ = 1, v = 0.1 (ours: --forget-weight,
default 1 like every method's).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from brittle import training
from brittle.contracts import MethodNeeds
from brittle.training.hyperparameters import hyperparameter

if TYPE_CHECKING:
    from brittle.training.step import LossTerms, Step

NAME = "satimp"
NEEDS = MethodNeeds(together=True)
PRESETS: dict[str, dict[str, Any]] = {
    "laboratory": {"lr": 0.001, "max_steps": 100, "batch_size": 8, "satimp_saturation": 0.5, "loss_tokens": "answer"}
}
TUNING = {
    "collapses": "lower --forget-weight",
    "too weak": "lower --satimp-saturation: at 5 all but certain tokens stop counting",
}


@dataclass(frozen=True)
class Settings:
    """The two exponents, the weight v of ascent and the retain weight w."""

    satimp_saturation: float = hyperparameter("satimp_saturation")
    satimp_importance: float = hyperparameter("satimp_importance")
    forget_weight: float = hyperparameter("forget_weight")
    retain_weight: float = hyperparameter("retain_weight")


def loss(settings: Settings, step: Step) -> LossTerms:
    """The weighted ascent and the retain likelihood."""
    weighted = training.terms.weighted_likelihood(
        step, "forget", lambda p: p**settings.satimp_saturation * (1 - p) ** settings.satimp_importance
    )
    return {
        "forget": -settings.forget_weight * weighted,
        "retain": settings.retain_weight * step.negative_log_likelihood("retain"),
    }
