"""Gradient ascent on forget texts, and nothing else.

L = −NLL_forget

The mean over tokens, in nats per token. Unbounded below and without a retain term: the model loses everything together
with the forget texts unless training stops early. Source: Jang et al. 2023 ("Knowledge unlearning").
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from brittle.contracts import MethodNeeds

if TYPE_CHECKING:
    from brittle.training.step import LossTerms, Step

NAME = "ga_simple"
NEEDS = MethodNeeds(splits=("forget",))
PRESETS: dict[str, dict[str, Any]] = {
    "laboratory": {"lr": 3e-4, "max_steps": 20, "batch_size": 8, "loss_tokens": "answer"}
}
TUNING = {
    "collapses": "train fewer steps or lower --lr; nothing holds the retain texts",
    "too weak": "more steps, at the retain texts' cost; use ga or grad_diff instead",
    "laboratory": " Short of the mark: nothing holds the benign facts, which go together with the hazardous ones; the point where hazardous ones are gone lies beyond the point where benign ones go.",
}


@dataclass(frozen=True)
class Settings:
    """Nothing to set."""


def loss(settings: Settings, step: Step) -> LossTerms:
    """The likelihood, ascended."""
    return {"forget": -step.negative_log_likelihood("forget")}
