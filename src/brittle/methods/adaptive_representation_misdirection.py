"""Representation misdirection with a target as long as the activation was.

L = Σ_ℓ  MSE(h_ℓ^forget, s · ‖h_ℓ^forget before‖₂ · r̂_ℓ) + α · MSE(h_ℓ^retain, h_ℓ^retain before)

Like ``rmu``, but each token's target is s times the norm that the token's activation had, so one setting suits every layer: norms
grow with depth and a constant length is too short late and too long early. Source: Dang et al. 2024 ("On effects of steering latent
representation for LLM unlearning").
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

NAME = "adaptive_rmu"
NEEDS = MethodNeeds(reference_hidden_states=("forget", "retain"), layers=True, logits=False, together=True)
PRESETS: dict[str, dict[str, Any]] = {
    "laboratory": {
        "lr": 3e-3,
        "max_steps": 120,
        "batch_size": 8,
        "layer_id": (1, 2),
        "alpha": 6.0,
        "steering_scale": 5.0,
    }
}
TUNING = {
    "collapses": "raise --alpha or lower --steering-scale",
    "too weak": "lower --alpha or raise --steering-scale",
}


@dataclass(frozen=True)
class Settings:
    """Retain weight α, the target's length s relative to the activation's, and the blocks ℓ."""

    alpha: float = hyperparameter("alpha")
    steering_scale: float = hyperparameter("steering_scale")
    layer_id: tuple[int, ...] = hyperparameter("layer_id")


def loss(settings: Settings, step: Step) -> LossTerms:
    """Misdirection and preservation, summed over blocks."""
    distance = mathematics.vectors.mean_squared_distance
    layers = sorted(settings.layer_id)
    forget, retain = step.hidden_states("forget", layers), step.hidden_states("retain", layers)

    def misdirect(layer: int) -> Tensor:
        length = step.reference_hidden_states("forget", layer).norm(dim=-1, keepdim=True)
        target = settings.steering_scale * length * step.random_direction(layer)
        return step.token_mean("forget", distance(forget[layer], target))

    preserve = step.sum_over(layers, lambda at: training.before.squared_change(step, "retain", at, retain[at]))
    return {"forget": step.sum_over(layers, misdirect), "retain": settings.alpha * preserve}
