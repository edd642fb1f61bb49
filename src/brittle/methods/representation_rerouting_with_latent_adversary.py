"""Representation rerouting under a latent adversary.

δ* = argmin_{‖δ‖∞ ≤ ε} NLL_forget(h_m + δ)          (inner loop, model frozen)
L  = α(1 − p) · mean_ℓ ReLU(cos(h_ℓ^forget(δ*), h_ℓ^forget before)) + α p · mean_ℓ ‖h_ℓ^retain − h_ℓ^retain before‖₂,   p = step / (2 · steps)

The old states are those without δ: blocks before m start where they were, with a gradient of zero. Sources: Zou et al. 2024; Casper et al. 2024; combined by O'Brien et al. 2025
("Deep ignorance").
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from brittle import training
from brittle.contracts import MethodNeeds
from brittle.training.hyperparameters import hyperparameter

if TYPE_CHECKING:
    from brittle.training.step import LossTerms, Step

NAME = "rr_lat"
NEEDS = MethodNeeds(reference_hidden_states=("forget", "retain"), layers=True)
PRESETS: dict[str, dict[str, Any]] = {
    "laboratory": {"lr": 0.003, "max_steps": 120, "batch_size": 8, "layer_id": (1, 2), "lat_steps": 2}
}
TUNING = {
    "collapses": "lower --rerouting-coeff or --lat-eps",
    "too weak": "more steps, a higher --lr or --lat-eps",
}


@dataclass(frozen=True)
class Settings:
    """The coefficient α, the adversary's radius ε, its steps and unit, and the blocks ℓ."""

    rerouting_coeff: float = hyperparameter("rerouting_coeff")
    lat_eps: float = hyperparameter("lat_eps")
    lat_steps: int = hyperparameter("lat_steps")
    lat_radius: str = hyperparameter("lat_radius")
    layer_id: tuple[int, ...] = hyperparameter("layer_id")


def loss(settings: Settings, step: Step) -> LossTerms:
    """The scheduled terms, averaged over blocks, with the perturbation in place on forget texts."""
    layers = sorted(settings.layer_id)
    middle, perturbation = training.adversary.at_the_middle(step, settings, layers)
    with step.perturbed(middle, perturbation):
        forget = step.hidden_states("forget", layers)
    retain = step.hidden_states("retain", layers)
    reroute = step.sum_over(layers, lambda at: training.before.likeness(step, "forget", at, forget[at]))
    preserve = step.sum_over(layers, lambda at: training.before.distance(step, "retain", at, retain[at]))
    return training.before.scheduled(step, settings.rerouting_coeff, layers, reroute, preserve)
