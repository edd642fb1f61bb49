"""Gaussian noise on the weights: is the knowledge held down by weights that any disturbance undoes?

Every block matrix W becomes ``W + s · RMS(W) · N(0, 1)`` with ``RMS(W) = ‖W‖_F / √entries``, so one strength means the
same in every matrix. Nothing is taught and nothing about the removed knowledge is needed: what rises above the filtered
model under the same noise was there. Source: the perturbation before relearning of UNDO (2506.06278), used alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from brittle.contracts import AttackTarget, Evaluation
from brittle.settings import setting

if TYPE_CHECKING:
    from torch import Tensor

NAME = "weight_noise"
TEACHES = "nothing"
STRENGTH = "noise over root mean square of the weights"
STRENGTHS = "noise_levels"


@dataclass(frozen=True)
class Settings:
    """How much noise."""

    noise_levels: tuple[float, ...] = setting(
        (0.02, 0.05, 0.1, 0.2, 0.4), "noise over RMS(W), each tried once a seed", above=0, maximum=1e6
    )


def attack(settings: Settings, target: AttackTarget, seed: int, tick: Callable[[int], None]) -> list[Evaluation]:
    """Evaluations before and at every level; the noise at two levels of one seed differs in scale alone."""
    import torch

    from brittle.models.reweighting import block_matrices, sweep

    order = {name: number for number, name in enumerate(block_matrices(target.loaded))}

    def noisy(name: str, matrix: Tensor, level: float) -> Tensor:
        generator = torch.Generator().manual_seed(seed * 100_003 + order[name])
        noise = torch.randn(matrix.shape, generator=generator).to(matrix)
        return matrix + level * matrix.float().square().mean().sqrt().to(matrix) * noise

    return sweep(target, settings.noise_levels, noisy, tick)
