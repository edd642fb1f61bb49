"""Take the strongest directions out of the update: is the whole effect in a handful of them?

With ΔW = U Σ Vᵀ in every block matrix, ``W − Σ_{i≤k} σ_i u_i v_iᵀ`` is the unlearned model without the k leading
directions of its update; everything else of the update stays. A yardstick like update_rescaling, since it needs the base:
knowledge that returns for small k was hidden by a patch of low rank. Source: the spectrum of ΔW as in
``null_space_analysis``; Sharma et al. 2024 (LASER) cut the model's own matrices likewise.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from brittle.contracts import AttackFacts, AttackTarget, Evaluation, at_most
from brittle.settings import setting

if TYPE_CHECKING:
    from torch import Tensor

NAME = "direction_removal"
TEACHES = "nothing"
RANDOM = False
NEEDS_BASE = True
STRENGTH = "leading directions taken out of ΔW"
STRENGTHS = "directions"
QUICK = {"directions": (1, 20)}


@dataclass(frozen=True)
class Settings:
    """How many directions."""

    directions: tuple[int, ...] = setting(
        (1, 2, 5, 10, 20), "leading singular directions of ΔW, in every block matrix", minimum=1
    )


def check(settings: Settings, facts: AttackFacts) -> None:
    """Refuse more directions than a matrix can have."""
    at_most("--directions", max(settings.directions), facts.width, 20, f"a matrix has at most {facts.width}")


def attack(settings: Settings, target: AttackTarget, seed: int, tick: Callable[[int], None]) -> list[Evaluation]:
    """Evaluations before and at every number; nothing is random, so one seed is run."""
    import torch

    from brittle.models.reweighting import block_matrices, sweep

    base = block_matrices(target.base)
    kept: dict[str, tuple[Tensor, Tensor, Tensor]] = {}

    def without(name: str, matrix: Tensor, number: float) -> Tensor:
        if name not in kept:
            left, values, right = torch.linalg.svd(matrix.float() - base[name].to(matrix).float(), full_matrices=False)
            most = max(map(int, settings.directions))
            kept[name] = left[:, :most], values[:most], right[:most]
        left, values, right = (part.to(matrix.device) for part in kept[name])
        k = int(number)
        return matrix - ((left[:, :k] * values[:k]) @ right[:k]).to(matrix)

    return sweep(target, settings.directions, without, tick)
