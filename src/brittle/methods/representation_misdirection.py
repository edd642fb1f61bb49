"""Representation misdirection (RMU): push forget activations to a random vector, hold retain activations in place.

L = Σ_ℓ  MSE(h_ℓ^forget, c · r̂_ℓ) + α · MSE(h_ℓ^retain, h_ℓ^retain before training)

h_ℓ is the output of block ℓ, r̂_ℓ a fixed random unit vector, MSE the mean over tokens and entries (padding masked).
The forward pass ends at the deepest target block. Source: Li et al. 2024 (WMDP), section 4. Deviations from the paper,
kept because they are the specification: several layers are summed, each with its own Gaussian direction (the paper
measures one layer, with one uniform direction per topic), and all weights train (the paper trains three
down-projections).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from brittle import mathematics, training
from brittle.contracts import MethodNeeds
from brittle.training.hyperparameters import hyperparameter

if TYPE_CHECKING:
    from brittle.training.step import LossTerms, Step

NAME = "rmu"
NEEDS = MethodNeeds(reference_hidden_states=("retain",), logits=False, layers=True, together=True)
PRESETS: dict[str, dict[str, Any]] = {
    "laboratory": {
        "lr": 3e-3,
        "max_steps": 100,
        "batch_size": 8,
        "layer_id": (1, 2),
        "steering_coeff": 100.0,
        "alpha": 4.0,
    }
}
TUNING = {
    "length": "steering_coeff",
    "collapses": "raise --alpha or lower --steering-coeff",
    "too weak": "lower --alpha or raise --steering-coeff towards several times the activations' norm",
}


@dataclass(frozen=True)
class Settings:
    """Retain weight α, target length c, and the blocks ℓ."""

    alpha: float = hyperparameter("alpha")
    steering_coeff: float = hyperparameter("steering_coeff")
    layer_id: tuple[int, ...] = hyperparameter("layer_id")


def loss(settings: Settings, step: Step) -> LossTerms:
    """Misdirection on forget texts, preservation on retain texts, summed over layers."""
    distance = mathematics.vectors.mean_squared_distance
    forget = step.hidden_states("forget", settings.layer_id)
    retain = step.hidden_states("retain", settings.layer_id)
    misdirect = step.sum_over(
        settings.layer_id,
        lambda layer: step.token_mean(
            "forget", distance(forget[layer], settings.steering_coeff * step.random_direction(layer))
        ),
    )
    preserve = step.sum_over(
        settings.layer_id, lambda at: training.before.squared_change(step, "retain", at, retain[at])
    )
    return {"forget": misdirect, "retain": settings.alpha * preserve}
