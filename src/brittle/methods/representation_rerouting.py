"""Representation rerouting (circuit breakers as published): turn forget activations away from where they were.

L = α(1 − p) · mean_ℓ ReLU(cos(h_ℓ^forget + n_ℓ, h_ℓ^forget before)) + α p · mean_ℓ ‖h_ℓ^retain − h_ℓ^retain before‖₂
p = step / (2 · steps),   n_ℓ = 0.1 · ‖h_ℓ^forget before‖ · r_ℓ,   r_ℓ a random unit vector of the seed and the block

Any direction orthogonal to the old one is good enough, so the model is not pulled towards a target of our choice. The
weight moves from rerouting to preservation, by optimizer step. Deviations: the nudge n, without which the training would
start where the cosine is 1 and its gradient is zero, so that rounding alone would choose the direction of the first
steps (the authors' dropout in the adapters does the same at random); preservation at the target blocks (the
paper: at all hidden states), full parameters unless ``--lora-rank`` is given. Source: Zou et al. 2024 (arXiv
2406.04313).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from brittle import mathematics
from brittle.contracts import MethodNeeds
from brittle.training.hyperparameters import hyperparameter

if TYPE_CHECKING:
    from torch import Tensor

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


NUDGE = 0.1
"""Length of the nudge n relative to the state that it is added to: small beside 1, large beside float32's rounding."""


def loss(settings: Settings, step: Step) -> LossTerms:
    """The scheduled terms, averaged over blocks."""
    cosine = mathematics.vectors.cosine
    layers = sorted(settings.layer_id)
    forget = step.hidden_states("forget", layers)
    retain = step.hidden_states("retain", layers)
    passed = step.number / (2 * step.steps)

    def reroute(layer: int) -> Tensor:
        before = step.reference_hidden_states("forget", layer)
        nudge = NUDGE * before.norm(dim=-1, keepdim=True) * step.random_direction(layer)
        return step.token_mean("forget", cosine(forget[layer] + nudge, before).relu())

    def preserve(layer: int) -> Tensor:
        change = retain[layer].float() - step.reference_hidden_states("retain", layer)
        return step.token_mean("retain", change.norm(dim=-1))

    coefficient = settings.rerouting_coeff / len(layers)
    return {
        "forget": coefficient * (1 - passed) * step.sum_over(layers, reroute),
        "retain": coefficient * passed * step.sum_over(layers, preserve),
    }
