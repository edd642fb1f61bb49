"""Circuit breakers as specified: turn forget activations towards a fixed random direction.

L = Σ_ℓ  −cos(h_ℓ^forget, c · r̂_ℓ) + α · (1 − cos(h_ℓ^retain, h_ℓ^retain before training))

h_ℓ is the output of block ℓ, r̂_ℓ a random unit vector drawn from the seed; means over real tokens. A positive c
cancels inside the cosine and changes nothing but the run's name; a negative one turns the target round. The published loss, which this is not, is ``rr``. Source of the
idea: Zou et al. 2024.
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

NAME = "cb"
NEEDS = MethodNeeds(reference_hidden_states=("retain",), layers=True, logits=False, together=True)
PRESETS: dict[str, dict[str, Any]] = {
    "laboratory": {"lr": 3e-3, "max_steps": 120, "batch_size": 8, "layer_id": (1, 2), "alpha": 1.0}
}
TUNING = {
    "collapses": "raise --alpha",
    "too weak": "lower --alpha; a positive --steering-coeff has no effect",
}


@dataclass(frozen=True)
class Settings:
    """Retain weight α, target length c (without effect) and the blocks ℓ."""

    alpha: float = hyperparameter("alpha")
    steering_coeff: float = hyperparameter("steering_coeff")
    layer_id: tuple[int, ...] = hyperparameter("layer_id")


def loss(settings: Settings, step: Step) -> LossTerms:
    """Rerouting and preservation, summed over blocks."""
    cosine = mathematics.vectors.cosine
    layers = sorted(settings.layer_id)
    forget, retain = step.hidden_states("forget", layers), step.hidden_states("retain", layers)

    def reroute(layer: int) -> Tensor:
        target = settings.steering_coeff * step.random_direction(layer)
        return -step.token_mean("forget", cosine(forget[layer], target))

    preserve = step.sum_over(layers, lambda at: training.before.turn(step, "retain", at, retain[at]))
    return {"forget": step.sum_over(layers, reroute), "retain": settings.alpha * preserve}
