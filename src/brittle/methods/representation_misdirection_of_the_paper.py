"""Representation misdirection as published: one layer is measured, three down-projections train.

L = MSE(h_ℓ^forget, c · u) + α · MSE(h_ℓ^retain, h_ℓ^retain before training),   ℓ the deepest of ``--layer-id``

u is a unit vector whose entries were drawn uniformly from [0, 1): all positive, one for the forget topic. Only the MLPs'
down-projections of the blocks named by ``--layer-id`` train (the paper: ℓ − 2, ℓ − 1 and ℓ, here the default); other weights
where ``--train-only`` or ``--train-layers`` name them. What differs from ``rmu``: that sums over all named blocks, draws a
Gaussian direction for each, and trains every weight. The authors count padding as tokens, which is left out here. Their
Zephyr has c = 6.5 and α = 1200. Source: Li et al. 2024 (WMDP, arXiv 2403.03218), section 4 and their code.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from brittle import mathematics, training
from brittle.contracts import MethodNeeds
from brittle.training.hyperparameters import hyperparameter

if TYPE_CHECKING:
    from brittle.training.step import LossTerms, Step

NAME = "rmu_paper"
NEEDS = MethodNeeds(
    reference_hidden_states=("retain",), logits=False, layers=True, together=True, trains=("mlp_contract",),
    trains_target_layers=True,
)  # fmt: skip
PRESETS: dict[str, dict[str, Any]] = {
    "laboratory": {
        "lr": 3e-3,
        "max_steps": 100,
        "batch_size": 8,
        "layer_id": (0, 1, 2),
        "steering_coeff": 100.0,
        "alpha": 2.0,
    }
}
TUNING = {
    "length": "steering_coeff",
    "collapses": "raise --alpha or lower --steering-coeff",
    "too weak": "lower --alpha or raise --steering-coeff towards several times the activations' norm",
}


@dataclass(frozen=True)
class Settings:
    """Retain weight α, target length c, and the blocks that train, of which the deepest is measured."""

    alpha: float = hyperparameter("alpha")
    steering_coeff: float = hyperparameter("steering_coeff")
    layer_id: tuple[int, ...] = hyperparameter("layer_id")


def loss(settings: Settings, step: Step) -> LossTerms:
    """Misdirection on forget texts, preservation on retain texts, at the deepest block."""
    layer = max(settings.layer_id)
    forget, retain = (step.hidden_states(split, [layer])[layer] for split in ("forget", "retain"))
    target = settings.steering_coeff * step.positive_direction(layer)
    return {
        "forget": step.token_mean("forget", mathematics.vectors.mean_squared_distance(forget, target)),
        "retain": settings.alpha * training.before.squared_change(step, "retain", layer, retain),
    }
