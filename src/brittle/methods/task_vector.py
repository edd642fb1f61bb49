"""Task vector negation: learn the forget texts even better, then go as far in the opposite direction.

L = NLL_forget, which leads to θ_learned;   θ = θ_pretrained − s · (θ_learned − θ_pretrained)

No retain term: what the direction shares with other knowledge is lost too, the more the larger s. Source: Ilharco et
al. 2023 (arXiv 2212.04089).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from brittle.contracts import MethodNeeds
from brittle.training.hyperparameters import hyperparameter

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor, nn

    from brittle.training.step import LossTerms, Step

NAME = "task_vector"
NEEDS = MethodNeeds(adapters=False, initial_weights=True, splits=("forget",))
PRESETS: dict[str, dict[str, Any]] = {
    "laboratory": {"lr": 0.001, "max_steps": 60, "task_scale": 2.0, "batch_size": 8, "loss_tokens": "answer"}
}
TUNING = {
    "strength": "task_scale",
    "collapses": "lower --task-scale",
    "too weak": "raise --task-scale or train the vector longer; both cost retain accuracy",
    "laboratory": " Short of the mark: the direction learned from the forget texts holds as much of how texts are written here as of what they say; larger scales lose both alike.",
}


@dataclass(frozen=True)
class Settings:
    """The scale s of the step back."""

    task_scale: float = hyperparameter("task_scale")


def loss(settings: Settings, step: Step) -> LossTerms:
    """The forget likelihood, descended."""
    return {"forget": step.negative_log_likelihood("forget")}


def finish(settings: Settings, model: nn.Module, initial: Mapping[str, Tensor]) -> None:
    """Mirror the change at the weights before training."""
    import torch

    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name in initial:
                before = initial[name].to(parameter.device)
                parameter.copy_(before - settings.task_scale * (parameter - before))
