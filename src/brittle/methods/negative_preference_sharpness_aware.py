"""Negative preference at the worst weights nearby, so that a small step back does not undo it.

L = L_NPO(θ + ρ · g / ‖g‖) + w · NLL_retain(θ),   g = ∇ L_NPO(θ)          (g of the whole optimizer step)

Sharpness-aware minimisation of the forget term alone: the perturbed weights are where a relearning attack would go
first. First order: g is held fixed. Two forward and backward passes on forget texts per step; a single process
without adapters, which may accumulate. Sources: Fan et al. 2025 ("Towards LLM unlearning resilient to relearning attacks"); Foret et al.
2021.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from brittle import training
from brittle.contracts import MethodNeeds
from brittle.training.hyperparameters import hyperparameter

if TYPE_CHECKING:
    from torch import Tensor

    from brittle.training.step import LossTerms, Step

NAME = "npo_sam"
NEEDS = MethodNeeds(reference_log_probabilities=("forget",), adapters=False, whole_model=True)
PRESETS: dict[str, dict[str, Any]] = {
    "laboratory": {"lr": 1e-3, "max_steps": 60, "retain_weight": 3.0, "batch_size": 8, "loss_tokens": "answer"}
}
TUNING = {
    "collapses": "raise --retain-weight or lower --sam-radius",
    "too weak": "lower --beta or --retain-weight",
}


@dataclass(frozen=True)
class Settings:
    """Those of ``npo``, and the radius ρ."""

    beta: float = hyperparameter("beta")
    retain_weight: float = hyperparameter("retain_weight")
    log_probability: str = hyperparameter("log_probability")
    sam_radius: float = hyperparameter("sam_radius")


def loss(settings: Settings, step: Step) -> LossTerms:
    """The forget term at the perturbed weights, the retain likelihood at the weights themselves."""
    with step.moved(step.once("sharpness", lambda: _uphill(settings, step))):
        forget = _forget(settings, step)
    return {"forget": forget, "retain": settings.retain_weight * step.negative_log_likelihood("retain")}


def _uphill(settings: Settings, step: Step) -> dict[str, Tensor]:
    """ρ · g / ‖g‖ by parameter."""
    gradient = training.terms.whole_gradient(step, lambda part: _forget(settings, part))
    norm = sum(g.square().sum() for g in gradient.values()) ** 0.5 + 1e-12
    return {name: settings.sam_radius * g / norm for name, g in gradient.items()}


def _forget(settings: Settings, step: Step) -> Tensor:
    now = training.terms.sequence_log_probability(step, "forget", settings.log_probability)
    before = training.terms.reference_log_probability(step, "forget", settings.log_probability)
    preference = training.terms.negative_preference(now - before, settings.beta)
    return training.terms.sequence_mean(step, "forget", preference)
