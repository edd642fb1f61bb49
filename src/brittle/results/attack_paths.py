"""Where attacks led through weight space, and whether that was the way back to the base."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

from brittle.results.outputs import ReportData, attacks
from brittle.results.roles import Role

BACK = 0.7
"""Cosine to −ΔW from which a path leads back: less than 45 degrees off."""

SIDEWAYS = 0.1
"""Cosine below which it leads another way. Unrelated directions have a cosine near 0; what the filtered model shows under
the same attack, which has nothing to go back to, stands beside."""


class Way(StrEnum):
    """Whether an attack walked the unlearning back."""

    RETRACED = "retraced"
    BEGAN = "began"
    PARTLY = "partly"
    ELSEWHERE = "elsewhere"


@dataclass(frozen=True)
class Path:
    """Where one attack on one model ended, in its first seed."""

    attack: str
    model: str
    step: int
    cosine: float
    """Between what the attack did to the weights and −ΔW."""
    undone: float
    """Share of ΔW that it undid."""
    distance: float
    """‖W − W_B‖ then, over the same before the attack."""

    @property
    def way(self) -> Way:
        """Where it led."""
        if self.cosine >= BACK:
            return Way.RETRACED if self.undone >= 0.5 else Way.BEGAN
        return Way.PARTLY if self.cosine >= SIDEWAYS else Way.ELSEWHERE


def paths(data: ReportData) -> list[Path]:
    """Every recorded path that has an update to undo, in the order of the table."""
    if data.trajectory is None:
        return []
    known = {model.name for model in data.models if model.role not in (Role.BASE, Role.RETRAINED)}
    found = []
    for (attack, model, _), part in data.trajectory.groupby(["attack", "model", "seed"], sort=False):
        part = part.sort_values("step")
        first, last = part.iloc[0], part.iloc[-1]
        if model in known and not math.isnan(last["cosine_to_base"]):
            found.append(Path(
                str(attack), str(model), int(last["step"]), float(last["cosine_to_base"]), float(last["share_undone"]),
                float(last["distance_to_base"] / first["distance_to_base"]),
            ))  # fmt: skip
    return found


def lead(data: ReportData) -> str:
    """The attack whose path is shown: the first that is read at matched T, else any."""
    walked = list(dict.fromkeys(path.attack for path in paths(data)))
    return next((attack for attack in (*attacks(data), *walked) if attack in walked), "")
