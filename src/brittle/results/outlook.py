"""What the first steps of a training let expect of the rest: nothing, too much, or neither.

No law says how a loss goes on: what five steps did is carried on along a straight line. Compared with what came of it
(``laboratory:base@tiny-0``, five steps of 60, all 34 methods at the learning rates of their presets, a hundredth, a tenth and ten
times of them): of 37 runs foreseen to do nothing 37 did nothing, of 21 under way 20 unlearned and one collapsed, of 40 too fast
29 collapsed and the others won it back (``rr`` does at its preset), of 38 not yet under way 19 unlearned and 19 did nothing
(preferences and ascent begin slowly).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from math import fsum, isnan, nan
from typing import Any

from brittle.contracts import DAMAGE_MARGIN
from brittle.results.no_effect import LEAST_RISE, effect
from brittle.results.reader import number

LEAST_SHARE = 0.01
"""‖ΔW‖₂ ÷ ‖W‖₂ of a whole run that goes straight on, below which nothing is to be expected of it if likelihoods did not move."""
TOO_FAST = DAMAGE_MARGIN / 2
"""Nats per token that other texts may become dearer in the first steps: half of what damage is. Most presets stay below."""


class Outlook(StrEnum):
    """What is to be expected of a whole run."""

    NOTHING = "nothing"
    NOT_YET = "not yet"
    """Likelihoods have not moved, weights go on far enough that they may."""
    UNDER_WAY = "under way"
    TOO_FAST = "too fast"
    """Other texts suffer; the model may end damaged."""


@dataclass(frozen=True)
class Walked:
    """The first steps of a training, and what is left of it."""

    steps: int
    """Of the whole run."""
    moved: tuple[float, ...]
    """‖ΔW‖₂ of each step that was taken, over the weights that train."""
    at_most: float
    """‖ΔW‖₂ of the whole run if all steps go one way (:func:`brittle.training.walk.whole_way`)."""
    at_least: float
    """The same if each goes its own way, at a right angle to all others."""
    broke: str = ""
    """Why the steps could not all be taken."""

    @property
    def way(self) -> float:
        """How many times as far as in these steps the run would go if all went one way; 0 where none moved a weight."""
        far = fsum(self.moved)
        return self.at_most / far if far else 0.0


@dataclass(frozen=True)
class Expected:
    """An outlook with its numbers."""

    outlook: Outlook
    forget_rise: float
    """Of forget texts over the whole run, beyond that of other texts, if it goes on as it began; nats per token."""
    other_rise: float
    """Of other texts, likewise."""
    share: float
    """‖ΔW‖₂ ÷ ‖W‖₂ of the whole run at most."""


def expected(summary: Mapping[str, Any], walked: Walked) -> Expected:
    """Judge the first steps of a training by its summary of them (:func:`brittle.results.no_effect.effect`)."""
    found, way = effect(summary), walked.way
    share = walked.at_most / weights_norm(summary) if walked.at_most else 0.0
    forget, other = way * (found.forget_rise - found.other_rise), way * found.other_rise
    return Expected(
        _outlook(found.collapsed or bool(walked.broke) or found.other_rise >= TOO_FAST, forget, share),
        forget,
        other,
        share,
    )


def weights_norm(summary: Mapping[str, Any]) -> float:
    """‖W‖₂ of the base; NaN where no weight moved."""
    share = number(summary.get("update_share"))
    return number(summary.get("update_norm")) / share if share else nan


def _outlook(damage: bool, forget: float, share: float) -> Outlook:
    if damage:
        return Outlook.TOO_FAST
    if forget >= LEAST_RISE:
        return Outlook.UNDER_WAY
    if isnan(share) or share >= LEAST_SHARE:
        return Outlook.NOT_YET
    return Outlook.NOTHING
