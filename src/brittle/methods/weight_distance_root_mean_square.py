"""Weight distance in the source's form: the root mean square of the change, rewarded.

L = NLL_retain − λ · √(mean_i (θ_i − θ_pretrained,i)² + 10⁻⁸)

A push of constant size whatever the number of weights and however far they have come. Source: Siddiqui et al. 2025,
their code's loss.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from brittle.contracts import MethodNeeds
from brittle.training.hyperparameters import hyperparameter

if TYPE_CHECKING:
    from brittle.training.step import LossTerms, Step

NAME = "wt_dist_reg_rms"
NEEDS = MethodNeeds(adapters=False, initial_weights=True, splits=("retain",))
PRESETS: dict[str, dict[str, Any]] = {
    "laboratory": {"lr": 0.003, "max_steps": 500, "batch_size": 16, "rms_lambda": 0.5}
}
SAME_AS = {
    "method": "max_update",
    "here": {"rms_lambda": 100.0},
    "words": "λ here is c · √N there for N weights; until their root mean square change is well above 10⁻⁴ the push is weaker here",
}
TUNING = {
    "collapses": "lower --rms-lambda or train longer",
    "too weak": "raise --rms-lambda",
    "laboratory": " Damaged, as `wt_dist_reg`, with a push that grows weaker as the distance grows.",
}


@dataclass(frozen=True)
class Settings:
    """The weight λ of the root mean square distance."""

    rms_lambda: float = hyperparameter("rms_lambda")


def loss(settings: Settings, step: Step) -> LossTerms:
    """The retain likelihood and the distance, rewarded."""
    weights = sum(parameter.numel() for parameter in step.trained().values())
    mean = step.initial_distance_squared() / step.share / weights
    return {
        "retain": step.negative_log_likelihood("retain"),
        "distance": -settings.rms_lambda * step.share * (mean + 1e-8).sqrt(),
    }
