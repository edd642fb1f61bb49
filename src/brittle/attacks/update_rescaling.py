"""Go back along the update, or beyond: what does the model know at base + α · ΔW?

With ΔW = unlearned − base in every parameter, the model at α = 1 is the unlearned one and at α = 0 the base; between
them lies the straight path of linear mode connectivity, above 1 more of the same unlearning. Who holds the base needs no
attack, so this is a yardstick: how early on the way back the knowledge returns says how thin the change is. A filtered
model has no update that hides anything, and at α = 0 it is the base like all others.
Source: Frankle et al. 2020 (linear mode connectivity); Ilharco et al. 2023 (task vectors).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from brittle.contracts import AttackTarget, Evaluation
from brittle.settings import setting

NAME = "update_rescaling"
TEACHES = "nothing"
RANDOM = False
NEEDS_BASE = True
STRENGTH = "α, the share of the update that is kept"
STRENGTHS = "kept_shares"


@dataclass(frozen=True)
class Settings:
    """Which points of the line."""

    kept_shares: tuple[float, ...] = setting(
        (1.25, 0.9, 0.75, 0.5, 0.25), "values of α; 0 is the base, 1 changes nothing", minimum=-1e6, maximum=1e6
    )


def attack(settings: Settings, target: AttackTarget, seed: int, tick: Callable[[int], None]) -> list[Evaluation]:
    """Evaluations before and at every α; nothing is random, so one seed is run."""
    from brittle.models.reweighting import all_parameters, sweep

    base = all_parameters(target.base)
    return sweep(
        target, settings.kept_shares,
        lambda name, weight, kept: base[name].to(weight).lerp(weight, kept), tick, all_parameters,
    )  # fmt: skip
