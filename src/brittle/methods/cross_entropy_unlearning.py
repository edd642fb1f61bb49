"""Cross-entropy unlearning: imitate yourself with the right answer ruled out.

L = CE(softmax(z with z_y = −∞, no gradient), π)_forget + w · NLL_retain

The target is the model's own distribution over all other tokens, so the loss is bounded and its gradient vanishes
once y is impossible. Source: CE-U (arXiv 2503.01224); it has no retain term (w = 0) and leaves out
the first answer token, which ours counts.
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

NAME = "ce_u"
NEEDS = MethodNeeds()
PRESETS: dict[str, dict[str, Any]] = {
    "laboratory": {"lr": 0.003, "max_steps": 60, "retain_weight": 0.2, "batch_size": 8, "loss_tokens": "answer"}
}
TUNING = {
    "collapses": "raise --retain-weight",
    "too weak": "lower --retain-weight or raise --lr",
}


@dataclass(frozen=True)
class Settings:
    """The retain weight w."""

    retain_weight: float = hyperparameter("retain_weight")


def loss(settings: Settings, step: Step) -> LossTerms:
    """The imitation and the retain likelihood."""

    def without_answer(logits: Tensor, tokens: Tensor) -> Tensor:
        return logits.scatter(-1, tokens[..., None], float("-inf")).softmax(-1)

    return {
        "forget": training.terms.cross_entropy_to(step, "forget", without_answer),
        "retain": settings.retain_weight * step.negative_log_likelihood("retain"),
    }
