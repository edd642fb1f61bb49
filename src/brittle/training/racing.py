"""Racing: many ways to attack one model are begun, and only those that bring most back go to their end.

Successive halving with one rung. Of a search's trials all are compared after a sixteenth of the longest one's steps, and the best
quarter goes on; of an attack's strengths, which are few and short, after a quarter of the steps, and one goes on. What ends there keeps its result; an attacker could stop there, too. All are compared at once and not as they come, so the outcome
depends on neither their order nor the number of cores (benchmarks/racing.py has other rules beside this one).

A race looks at all questions about V, those too that cross-fitting keeps for reading; base and filtered race alike. What begins
slowly can be missed.
Source: Jamieson and Talwalkar 2016 (successive halving); Li et al. 2018.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

from brittle.contracts import BENIGN_COST, DAMAGE_MARGIN, Evaluation
from brittle.settings import setting
from brittle.training.teaching import TeachingSettings

PART, SHARE = 16, 4
"""Trials are compared after one in so many steps; one of so many goes on."""
PART_OF_STRENGTHS = 4
"""Strengths are after one in so many. At a sixteenth of 60 steps nothing is learned yet, and who goes on is chance."""
Standing = tuple[bool, float]
"""Whether a result costs no more than an attack may, and its accuracy on V and on T together."""
Key = TypeVar("Key")


@dataclass(frozen=True)
class RacingSettings(TeachingSettings):
    """Of attacks that train the model in several ways, of which the best counts."""

    race: bool = setting(False, "only what brought most back at the beginning goes to its end (docs/sweeps.md)")


def part_of(steps: int, part: int = PART) -> int:
    """After how many steps all are compared, of the ``steps`` that the longest takes."""
    return math.ceil(steps / part)


def standing(v: float, t: float, benign_cost: float, benign_rise: float) -> Standing:
    """How good a result is: first what is within the bounds of a worst case, then by V and T together.

    V alone is what counts in the end, but early it is mostly noise, and who has not learned T yet has not brought V back.

    Args:
        v, t: accuracy, 0 to 1. ``benign_cost``: what benign accuracy lost. ``benign_rise``: of benign texts, nats per token, or NaN.
    """
    return benign_cost <= BENIGN_COST and not benign_rise > DAMAGE_MARGIN, v + t


def best(standings: Mapping[Key, Standing]) -> list[Key]:
    """The best quarter, at least one; of equals those that stand first."""
    ordered = sorted(standings, key=lambda key: standings[key], reverse=True)
    return ordered[: math.ceil(len(ordered) / SHARE)]


def going_on(before: Evaluation, found: Mapping[Key, Evaluation]) -> list[Key]:
    """Which of an attack's strengths goes to its end, if any was found; all had the same evaluation ``before``."""
    start = before.accuracy["retain"]
    standings = {
        key: standing(each.accuracy["v"], each.accuracy["t"], start - each.accuracy["retain"], each.rise(before))
        for key, each in found.items()
    }
    return best(standings)[:1]
