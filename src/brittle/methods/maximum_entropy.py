"""Maximum entropy on forget texts, the old distribution on retain texts.

L = CE(uniform, π)_forget + w · KL(π_before ‖ π)_retain

The cross-entropy is least, log of the vocabulary, where every token is equally likely. Means over counted tokens, in
nats. Source: Yuan et al. 2024 ("A closer look at machine unlearning for LLMs"), ME+GD; the retain term in its
divergence form.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from brittle import training
from brittle.contracts import MethodNeeds
from brittle.training.hyperparameters import hyperparameter

if TYPE_CHECKING:
    from brittle.training.step import LossTerms, Step

NAME = "max_entropy"
NEEDS = MethodNeeds(reference_logits=("retain",), together=True)
PRESETS: dict[str, dict[str, Any]] = {
    "laboratory": {"lr": 0.005, "max_steps": 200, "retain_weight": 0.02, "batch_size": 8, "loss_tokens": "answer"}
}
TUNING = {
    "collapses": "raise --retain-weight",
    "too weak": "raise --lr; a uniform guess keeps no order among the choices only in the limit, and the ranking survives long",
    "laboratory": " Short of the mark: the distribution flattens, but the right choice stays the likeliest of four nearly equal ones, and multiple choice asks for the order alone.",
}


@dataclass(frozen=True)
class Settings:
    """The retain weight w."""

    retain_weight: float = hyperparameter("retain_weight")


def loss(settings: Settings, step: Step) -> LossTerms:
    """The pull to uniform and the divergence from before."""
    forget = training.terms.cross_entropy_to(
        step, "forget", lambda logits, _tokens: logits.new_full(logits.shape, 1 / logits.shape[-1])
    )
    divergence = training.terms.divergence_from_reference(step, "retain")
    return {"forget": forget, "retain": settings.retain_weight * divergence}
