"""Representation rerouting (circuit breakers as published): turn forget activations away from where they were.

L = α(1 − p) · mean_ℓ ReLU(cos(h_ℓ^forget + n_ℓ, h_ℓ^forget before)) + α p · mean_ℓ ‖h_ℓ^retain − h_ℓ^retain before‖₂
p = step / (2 · steps),   n_ℓ = 0.1 · ‖h_ℓ^forget before‖ · r_ℓ,   r_ℓ a random unit vector of the seed and the block

Any direction orthogonal to the old one is good enough, so the model is not pulled towards a target of our choice. The
weight moves from rerouting to preservation, by optimizer step. Deviations: the nudge n, without which the training would
start where the cosine is 1 and its gradient is zero, so that rounding alone would choose the direction of the first
steps (the authors' adapters start at zero, and it does); preservation at the target blocks (the
paper: at all hidden states), full parameters unless ``--lora-rank`` is given. Layers are counted as everywhere here; by
the authors' numbers it is ``rr_paper``. Source: Zou et al. 2024 (arXiv
2406.04313).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from brittle import training
from brittle.contracts import MethodNeeds
from brittle.training.hyperparameters import hyperparameter

if TYPE_CHECKING:
    from brittle.training.step import LossTerms, Step

NAME = "rr"
NEEDS = MethodNeeds(reference_hidden_states=("forget", "retain"), layers=True, logits=False, together=True)
PRESETS: dict[str, dict[str, Any]] = {
    "laboratory": {"lr": 0.003, "max_steps": 120, "batch_size": 8, "layer_id": (1, 2)}
}
TUNING = {
    "collapses": "lower --rerouting-coeff or --lr",
    "too weak": "more steps or a higher --lr: the schedule gives rerouting the first half",
}


@dataclass(frozen=True)
class Settings:
    """The coefficient α and the blocks ℓ."""

    rerouting_coeff: float = hyperparameter("rerouting_coeff")
    layer_id: tuple[int, ...] = hyperparameter("layer_id")


def loss(settings: Settings, step: Step) -> LossTerms:
    """The scheduled terms, averaged over blocks."""
    return training.before.rerouting(step, settings.rerouting_coeff, sorted(settings.layer_id))
