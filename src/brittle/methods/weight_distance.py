"""Weight distance: learn the retain texts while moving as far from the pretrained weights as possible.

L = NLL_retain − λ · ‖θ − θ_pretrained‖²

The distance is summed over all weights, so what λ does depends on their number, and its gradient grows with the
distance: nothing bounds it but clipping and the learning rate. At the start its gradient is zero. The source's own
form, the root mean square, is ``wt_dist_reg_rms``. Source: Siddiqui et al. 2025 ("From Dormant to Deleted", image
classifiers), section 4.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from brittle.contracts import MethodNeeds
from brittle.training.hyperparameters import hyperparameter

if TYPE_CHECKING:
    from brittle.training.step import LossTerms, Step

NAME = "wt_dist_reg"
NEEDS = MethodNeeds(adapters=False, initial_weights=True, splits=("retain",))
PRESETS: dict[str, dict[str, Any]] = {
    "laboratory": {"lr": 0.0015, "max_steps": 300, "batch_size": 16, "wt_reg_lambda": 1e-05}
}
TUNING = {
    "collapses": "lower --wt-reg-lambda (less push)",
    "too weak": "raise --wt-reg-lambda (more distance)",
    "laboratory": " Damaged: the distance is rewarded without bound, and the run ends before language is back.",
}


@dataclass(frozen=True)
class Settings:
    """The weight λ of the squared distance."""

    wt_reg_lambda: float = hyperparameter("wt_reg_lambda")


def loss(settings: Settings, step: Step) -> LossTerms:
    """The retain likelihood and the distance, rewarded."""
    return {
        "retain": step.negative_log_likelihood("retain"),
        "distance": -settings.wt_reg_lambda * step.initial_distance_squared(),
    }
