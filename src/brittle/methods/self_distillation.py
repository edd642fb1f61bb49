"""Self-distillation with the right token's logit lowered.

L = CE(softmax(z_before − s · onehot(y)), π)_forget + w · NLL_retain

The student copies what the model said before, except that the true next token has lost s logits: bounded, and the
alternatives keep their order. Source: Dong et al. 2024 (UNDIAL) (arXiv 2402.10052); they use s = 10 and no retain
term (w = 0).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from brittle import training
from brittle.contracts import MethodNeeds
from brittle.training.hyperparameters import hyperparameter

if TYPE_CHECKING:
    from torch import Tensor

    from brittle.training.step import LossTerms, Step

NAME = "undial"
NEEDS = MethodNeeds(reference_logits=("forget",))
PRESETS: dict[str, dict[str, Any]] = {
    "laboratory": {
        "lr": 0.003,
        "max_steps": 120,
        "undial_strength": 30.0,
        "retain_weight": 0.1,
        "batch_size": 8,
        "loss_tokens": "answer",
    }
}
TUNING = {
    "collapses": "raise --retain-weight or lower --undial-strength",
    "too weak": "raise --undial-strength or --lr; the target keeps the order of all other tokens, so a right answer may stay the likeliest of four",
    "laboratory": " Short of the mark: the target lowers the right token and keeps the order of all others, so that what is learned is a small dent; the strength that would do costs nothing more but does not reach unseen forms of the questions.",
}


@dataclass(frozen=True)
class Settings:
    """The logits s taken from the true token and the retain weight w."""

    undial_strength: float = hyperparameter("undial_strength")
    retain_weight: float = hyperparameter("retain_weight")


def loss(settings: Settings, step: Step) -> LossTerms:
    """The distillation and the retain likelihood."""
    before = step.reference_logits("forget")[:, :-1]

    def lowered(_logits: Tensor, tokens: Tensor) -> Tensor:
        cut = before.new_full((*tokens.shape, 1), -settings.undial_strength)
        return before.scatter_add(-1, tokens[..., None], cut).softmax(-1)

    return {
        "forget": training.terms.cross_entropy_to(step, "forget", lowered),
        "retain": settings.retain_weight * step.negative_log_likelihood("retain"),
    }
