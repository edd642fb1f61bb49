"""SCRUB: step away from the old model on forget texts, then back to it on retain texts, in turns.

even steps: L = −KL(π_before ‖ π)_forget          odd steps: L = KL(π_before ‖ π)_retain + w · NLL_retain

Means over counted tokens, in nats. The first term is unbounded; the turns and the number of steps hold it. Source:
Kurmanji et al. 2023 (arXiv 2302.09880), with turns of one step instead of one epoch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from brittle import training
from brittle.contracts import MethodNeeds
from brittle.training.hyperparameters import hyperparameter

if TYPE_CHECKING:
    from brittle.training.step import LossTerms, Step

NAME = "scrub"
NEEDS = MethodNeeds(reference_logits=("forget", "retain"))
PRESETS: dict[str, dict[str, Any]] = {
    "laboratory": {"lr": 0.001, "max_steps": 60, "batch_size": 8, "loss_tokens": "answer"}
}
TUNING = {
    "collapses": "raise --retain-weight, fewer steps",
    "too weak": "more steps; the turns cancel when the retain weight is high",
}


@dataclass(frozen=True)
class Settings:
    """The weight w of the retain likelihood."""

    retain_weight: float = hyperparameter("retain_weight")


def loss(settings: Settings, step: Step) -> LossTerms:
    """The terms of this turn."""
    if step.number % 2 == 0:
        return {"forget": -training.terms.divergence_from_reference(step, "forget")}
    return {
        "retain_divergence": training.terms.divergence_from_reference(step, "retain"),
        "retain": settings.retain_weight * step.negative_log_likelihood("retain"),
    }
