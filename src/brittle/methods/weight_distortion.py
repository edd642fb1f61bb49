"""Weight distortion: add Gaussian noise to every weight, then learn the retain texts again.

θ₀ ← θ_pretrained + N(0, σ² I),   L = NLL_retain

The noise carries the model far from its pretrained basin; what the retain texts do not teach again stays lost. Source:
Siddiqui et al. 2025 ("From Dormant to Deleted", image classifiers), section 4. σ is absolute, the same for every
tensor: what 0.02 does depends on the scale of the weights (it is the weights' own size in a 7B model).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from brittle.contracts import MethodNeeds
from brittle.training.hyperparameters import hyperparameter

if TYPE_CHECKING:
    from torch import nn

    from brittle.training.step import LossTerms, Step

NAME = "wt_dist"
NEEDS = MethodNeeds(adapters=False, splits=("retain",))
PRESETS: dict[str, dict[str, Any]] = {
    "laboratory": {"lr": 3e-3, "max_steps": 300, "batch_size": 16, "wt_noise_std": 0.12, "loss_tokens": "answer"}
}
TUNING = {
    "strength": "wt_noise_std",
    "collapses": "lower --wt-noise-std (less destruction) or train longer on retain texts",
    "too weak": "raise --wt-noise-std (more disruption)",
}


@dataclass(frozen=True)
class Settings:
    """The noise's standard deviation σ."""

    wt_noise_std: float = hyperparameter("wt_noise_std")


def prepare(settings: Settings, model: nn.Module, seed: int) -> None:
    """Add the noise, once, before training; the same noise for the same seed whatever the device."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            parameter.add_(settings.wt_noise_std * noise.to(parameter.device, parameter.dtype))


def loss(settings: Settings, step: Step) -> LossTerms:
    """The retain likelihood alone."""
    return {"retain": step.negative_log_likelihood("retain")}
