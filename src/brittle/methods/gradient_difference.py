"""Gradient difference: descend on retain texts, ascend on forget texts.

L = NLL_retain − w · NLL_forget

Both likelihoods are means over tokens, in nats per token. The forget term is unbounded below: with a large weight or
learning rate the model is driven to nonsense on forget texts and takes the rest along. Source: Liu et al. 2022
("continual learning and private unlearning"); Maini et al. 2024 (TOFU).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from brittle.contracts import MethodNeeds
from brittle.training.hyperparameters import hyperparameter

if TYPE_CHECKING:
    from brittle.training.step import LossTerms, Step

NAME = "grad_diff"
NEEDS = MethodNeeds(together=True)
PRESETS: dict[str, dict[str, Any]] = {
    "laboratory": {"lr": 1e-3, "max_steps": 60, "forget_weight": 0.1, "batch_size": 8, "loss_tokens": "answer"}
}
TUNING = {
    "collapses": "lower --forget-weight to 0.1-0.5",
    "too weak": "raise --forget-weight to 2-5",
}


@dataclass(frozen=True)
class Settings:
    """The weight of ascent against descent; 1 balances them."""

    forget_weight: float = hyperparameter("forget_weight")


def loss(settings: Settings, step: Step) -> LossTerms:
    """The two weighted likelihoods."""
    return {
        "retain": step.negative_log_likelihood("retain"),
        "forget": -settings.forget_weight * step.negative_log_likelihood("forget"),
    }
