"""Preference of "I don't know" over the forget answer, to the same question.

Δ(y) = log π(y) − log π_before(y),   L = −(2/β) log σ(β · [Δ(y_refusal) − Δ(y_forget)]) + w · NLL_retain

Both answers continue the same question, so what both share cancels. Forget texts must be question-shaped: the refusal
stands in place of what follows the last "Answer:". Source: Maini et al. 2024 (TOFU), "preference optimisation" in its
DPO form.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from brittle import training
from brittle.contracts import MethodNeeds
from brittle.training.hyperparameters import hyperparameter

if TYPE_CHECKING:
    from brittle.training.step import LossTerms, Step

NAME = "idk_dpo"
NEEDS = MethodNeeds(
    reference_log_probabilities=("forget", "refusal"), splits=("forget", "refusal", "retain"), together=True
)
PRESETS: dict[str, dict[str, Any]] = {
    "laboratory": {
        "lr": 0.0015,
        "max_steps": 200,
        "beta": 0.04,
        "retain_weight": 0.3,
        "batch_size": 8,
        "loss_tokens": "answer",
    }
}
TUNING = {
    "collapses": "raise --retain-weight",
    "too weak": "raise --lr and the steps: the refusal is learned long before the answer is lost",
}


@dataclass(frozen=True)
class Settings:
    """Inverse temperature β, what log π aggregates, and the weight w of the retain likelihood."""

    beta: float = hyperparameter("beta")
    log_probability: str = hyperparameter("log_probability")
    retain_weight: float = hyperparameter("retain_weight")


def loss(settings: Settings, step: Step) -> LossTerms:
    """The paired preference and the retain likelihood."""
    gain = {
        split: training.terms.sequence_log_probability(step, split, settings.log_probability)
        - training.terms.reference_log_probability(step, split, settings.log_probability)
        for split in ("refusal", "forget")
    }
    preference = training.terms.negative_preference(gain["forget"] - gain["refusal"], settings.beta)
    return {
        "preference": training.terms.sequence_mean(step, "forget", preference),
        "retain": settings.retain_weight * step.negative_log_likelihood("retain"),
    }
