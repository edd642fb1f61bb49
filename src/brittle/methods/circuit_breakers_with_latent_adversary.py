"""Circuit breakers under a latent adversary: reroute forget activations while an adversary helps the model recall.

δ* = argmin_{‖δ‖∞ ≤ ε} NLL_forget(h_m + δ)                                     (inner loop, model frozen)
L  = Σ_ℓ  −cos(h_ℓ^forget(δ*), c · r̂_ℓ) + α · (1 − cos(h_ℓ^retain, h_ℓ^retain before training))

h_ℓ is the output of block ℓ, m the middle target block where δ enters, r̂_ℓ a fixed random unit vector; means are over
tokens, padding masked. Sources: Zou et al. 2024 (circuit breakers), Casper et al. 2024 (latent adversarial training).
Deviations from the papers, kept because they are the specification: the target is random (the paper's loss is the
ReLU of the cosine to the model's own states), and c cancels inside the cosine, so ``--steering-coeff`` changes nothing
but the run's name.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from brittle import mathematics, training
from brittle.contracts import MethodNeeds
from brittle.training.hyperparameters import hyperparameter

if TYPE_CHECKING:
    from brittle.training.step import LossTerms, Step

NAME = "cb_lat"
NEEDS = MethodNeeds(reference_hidden_states=("retain",), layers=True)
PRESETS: dict[str, dict[str, Any]] = {
    "laboratory": {"lr": 3e-3, "max_steps": 120, "batch_size": 8, "layer_id": (1, 2), "alpha": 1.0, "lat_steps": 2}
}
TUNING = {
    "collapses": "raise --alpha or lower --lat-eps",
    "too weak": "lower --alpha or raise --lat-eps",
}


@dataclass(frozen=True)
class Settings:
    """Retain weight α, target length c (without effect), the adversary's radius ε, its steps and unit, and the blocks ℓ."""

    alpha: float = hyperparameter("alpha")
    steering_coeff: float = hyperparameter("steering_coeff")
    lat_eps: float = hyperparameter("lat_eps")
    lat_steps: int = hyperparameter("lat_steps")
    lat_radius: str = hyperparameter("lat_radius")
    layer_id: tuple[int, ...] = hyperparameter("layer_id")


def loss(settings: Settings, step: Step) -> LossTerms:
    """Rerouting with the adversary's perturbation in place, preservation on clean retain texts."""
    cosine = mathematics.vectors.cosine
    layers = sorted(settings.layer_id)
    middle, perturbation = training.adversary.at_the_middle(step, settings, layers)
    with step.perturbed(middle, perturbation):
        forget = step.hidden_states("forget", layers)
    retain = step.hidden_states("retain", layers)
    reroute = step.sum_over(
        layers,
        lambda layer: (
            -step.token_mean("forget", cosine(forget[layer], settings.steering_coeff * step.random_direction(layer)))
        ),
    )
    preserve = step.sum_over(layers, lambda at: training.before.turn(step, "retain", at, retain[at]))
    return {"forget": reroute, "retain": settings.alpha * preserve}
