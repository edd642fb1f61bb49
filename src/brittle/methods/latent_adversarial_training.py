"""Latent adversarial training: unlearn while an adversary helps the model recall.

δ* = argmin_{‖δ‖∞ ≤ ε} NLL_forget(h_m + δ)          (inner loop, model frozen)
L  = −NLL_forget(h_m + δ*) + w · NLL_retain

δ enters at the output of the middle target block m. Likelihoods are means over tokens. ε is absolute unless
``--lat-radius relative`` makes it a share of the root mean square of the block's output at each token. Source: Casper et al. 2024,
whose ball is an L2 ball per token (``lat_paper``); the L∞ ball and the residual stream are the specification's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from brittle import training
from brittle.contracts import MethodNeeds
from brittle.training.hyperparameters import hyperparameter

if TYPE_CHECKING:
    from brittle.training.step import LossTerms, Step

NAME = "lat"
NEEDS = MethodNeeds(layers=True)
PRESETS: dict[str, dict[str, Any]] = {
    "laboratory": {
        "lr": 1e-3,
        "max_steps": 60,
        "batch_size": 8,
        "layer_id": (1, 2),
        "retain_weight": 6.0,
        "lat_steps": 2,
        "loss_tokens": "answer",
    }
}
TUNING = {
    "collapses": "raise --retain-weight or lower --lat-eps",
    "too weak": "raise --lat-eps or lower --retain-weight",
}


@dataclass(frozen=True)
class Settings:
    """The adversary's radius ε, its steps and unit, the retain weight w, and the blocks whose middle one is attacked."""

    lat_eps: float = hyperparameter("lat_eps")
    lat_steps: int = hyperparameter("lat_steps")
    lat_radius: str = hyperparameter("lat_radius")
    retain_weight: float = hyperparameter("retain_weight")
    layer_id: tuple[int, ...] = hyperparameter("layer_id")


def loss(settings: Settings, step: Step) -> LossTerms:
    """Ascent with the perturbation in place, descent on clean retain texts."""
    layers = sorted(settings.layer_id)
    middle, perturbation = training.adversary.at_the_middle(step, settings, layers)
    with step.perturbed(middle, perturbation):
        forget = step.negative_log_likelihood("forget")
    return {"forget": -forget, "retain": settings.retain_weight * step.negative_log_likelihood("retain")}
