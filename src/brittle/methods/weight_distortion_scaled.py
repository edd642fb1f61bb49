"""Weight distortion with noise in proportion to each tensor.

θ₀ ← θ_pretrained + s · RMS(θ_pretrained) · N(0, I) per tensor,   L = NLL_retain

``wt_dist`` adds the same absolute noise to every tensor: 0.02 is the weights' own size in a 7B model and drowns small
tensors. Here s = 1 doubles every tensor's power. Source: Siddiqui et al. 2025, section 4; the scaling is ours.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from brittle.contracts import MethodNeeds
from brittle.training.hyperparameters import hyperparameter

if TYPE_CHECKING:
    from torch import nn

    from brittle.training.step import LossTerms, Step

NAME = "wt_dist_scaled"
NEEDS = MethodNeeds(adapters=False, splits=("retain",))
PRESETS: dict[str, dict[str, Any]] = {
    "laboratory": {"lr": 0.003, "max_steps": 300, "batch_size": 16, "wt_noise_scale": 1.0}
}
TUNING = {
    "strength": "wt_noise_scale",
    "collapses": "lower --wt-noise-scale or train longer on retain texts",
    "too weak": "raise --wt-noise-scale",
}


@dataclass(frozen=True)
class Settings:
    """The noise relative to each tensor's root mean square."""

    wt_noise_scale: float = hyperparameter("wt_noise_scale")


def prepare(settings: Settings, model: nn.Module, seed: int) -> None:
    """Add the noise, once, before training; the same noise for the same seed whatever the device."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            noise = torch.randn(parameter.shape, generator=generator).to(parameter.device, parameter.dtype)
            parameter.add_(settings.wt_noise_scale * parameter.square().mean().sqrt() * noise)


def loss(settings: Settings, step: Step) -> LossTerms:
    """The retain likelihood alone."""
    return {"retain": step.negative_log_likelihood("retain")}
