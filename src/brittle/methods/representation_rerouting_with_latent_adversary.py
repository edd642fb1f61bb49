"""Representation rerouting under a latent adversary.

δ* = argmin_{‖δ‖∞ ≤ ε} NLL_forget(h_m + δ)          (inner loop, model frozen)
L  = α(1 − p) · mean_ℓ ReLU(cos(h_ℓ^forget(δ*), h_ℓ^forget before)) + α p · mean_ℓ ‖h_ℓ^retain − h_ℓ^retain before‖₂,   p = step / (2 · steps)

The old states are those without δ. Sources: Zou et al. 2024; Casper et al. 2024; combined by O'Brien et al. 2025
("Deep ignorance").
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from brittle import mathematics, training
from brittle.contracts import MethodNeeds
from brittle.training.hyperparameters import hyperparameter

if TYPE_CHECKING:
    from torch import Tensor

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
    """The coefficient α, the adversary's radius ε and steps, and the blocks ℓ."""

    rerouting_coeff: float = hyperparameter("rerouting_coeff")
    lat_eps: float = hyperparameter("lat_eps")
    lat_steps: int = hyperparameter("lat_steps")
    layer_id: tuple[int, ...] = hyperparameter("layer_id")


def loss(settings: Settings, step: Step) -> LossTerms:
    """The scheduled terms, averaged over blocks, with the perturbation in place on forget texts."""
    cosine = mathematics.vectors.cosine
    layers = sorted(settings.layer_id)
    middle = layers[len(layers) // 2]
    perturbation = training.adversary.helpful_perturbation(step, middle, settings.lat_eps, settings.lat_steps)
    with step.perturbed(middle, perturbation):
        forget = step.hidden_states("forget", layers)
    retain = step.hidden_states("retain", layers)
    passed = step.number / (2 * step.steps)

    def reroute(layer: int) -> Tensor:
        before = step.reference_hidden_states("forget", layer)
        return step.token_mean("forget", cosine(forget[layer], before).relu())

    def preserve(layer: int) -> Tensor:
        change = retain[layer].float() - step.reference_hidden_states("retain", layer)
        return step.token_mean("retain", change.norm(dim=-1))

    coefficient = settings.rerouting_coeff / len(layers)
    return {
        "forget": coefficient * (1 - passed) * step.sum_over(layers, reroute),
        "retain": coefficient * passed * step.sum_over(layers, preserve),
    }
