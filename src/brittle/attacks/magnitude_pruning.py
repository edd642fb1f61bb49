"""Set the smallest weights to zero: does a small change of many weights hold the knowledge down?

In every block matrix the given share of the entries with the smallest |w| becomes zero. Unlearning that only adds a
faint mask over the old weights loses it before the knowledge goes. Source: Han et al. 2015 for the pruning; as an attack on
unlearning Jia et al. 2023 and Łucki et al. 2024 (theirs by set difference of importance scores).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from brittle.contracts import AttackTarget, Evaluation
from brittle.settings import setting

if TYPE_CHECKING:
    from torch import Tensor

NAME = "magnitude_pruning"
TEACHES = "nothing"
RANDOM = False
STRENGTH = "share of weights set to zero"
STRENGTHS = "pruned_shares"


@dataclass(frozen=True)
class Settings:
    """How much is cut."""

    pruned_shares: tuple[float, ...] = setting(
        (0.05, 0.1, 0.2, 0.3, 0.5), "shares of a matrix's entries, 0 to 1", above=0, below=1
    )


def attack(settings: Settings, target: AttackTarget, seed: int, tick: Callable[[int], None]) -> list[Evaluation]:
    """Evaluations before and at every share; nothing is random, so one seed is run."""
    from brittle.models.reweighting import sweep

    def pruned(_name: str, matrix: Tensor, share: float) -> Tensor:
        count = round(share * matrix.numel())
        flat = matrix.flatten()  # a copy or a view, so it is not written to
        smallest = flat.abs().argsort(stable=True)[:count]
        return flat.index_fill(0, smallest, 0.0).view(matrix.shape)

    return sweep(target, settings.pruned_shares, pruned, tick)
