"""Maximal update: learn the retain texts and push the weights away with a force of constant size.

L = NLL_retain − c · ‖θ − θ_pretrained‖₂

The gradient of the norm is a unit vector, so the push neither grows with the distance (as in ``wt_dist_reg``) nor
shrinks with the number of weights (as in ``wt_dist_reg_rms``). Source: EleutherAI's unlearning code, "max update";
the constant-magnitude form.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from brittle.contracts import MethodNeeds
from brittle.training.hyperparameters import hyperparameter

if TYPE_CHECKING:
    from brittle.training.step import LossTerms, Step

NAME = "max_update"
NEEDS = MethodNeeds(adapters=False, initial_weights=True, splits=("retain",))
PRESETS: dict[str, dict[str, Any]] = {
    "laboratory": {"lr": 0.0015, "max_steps": 300, "batch_size": 16, "update_coeff": 0.001}
}
TUNING = {
    "collapses": "lower --update-coeff or train longer",
    "too weak": "raise --update-coeff",
    "laboratory": " Damaged: the push never ends, and language goes with it, also where the questions that retain texts tell are still answered.",
}


@dataclass(frozen=True)
class Settings:
    """The force c."""

    update_coeff: float = hyperparameter("update_coeff")


def loss(settings: Settings, step: Step) -> LossTerms:
    """The retain likelihood and the distance, rewarded."""
    distance = (step.initial_distance_squared() / step.share + 1e-12).sqrt()
    return {
        "retain": step.negative_log_likelihood("retain"),
        "distance": -settings.update_coeff * step.share * distance,
    }
