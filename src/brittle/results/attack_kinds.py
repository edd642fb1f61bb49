"""Which attack is read how (:mod:`brittle.contracts`): at matched T, at its strongest, or over trials."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from brittle import discovery


class Reading(StrEnum):
    """Where an attack's result is read off."""

    MATCHED_T = "matched T"
    """It teaches T and is read at the step where T is learned."""
    STRONGEST = "strongest"
    """At the strength that brings most back."""
    TRIALS = "trials"
    """A search: every seed is a trial with a configuration of its own."""
    NOT_READ = "not read"


class Shown(StrEnum):
    """What an attack shows the model: the values of a plugin's ``TEACHES``."""

    T = "T"
    BENIGN = "retain"
    NOTHING = "nothing"


def reading(constants: Mapping[str, Any]) -> Reading:
    """How an attack with these constants is read."""
    if "TRIALS" in constants:
        return Reading.TRIALS
    if "STRENGTH" in constants:
        return Reading.STRONGEST
    return Reading.MATCHED_T if constants["TEACHES"] == Shown.T else Reading.NOT_READ


def attacks_read(kind: Reading, shown: Shown | str | None = None) -> set[str]:
    """The attacks that are read in one way, of those that show the model this."""
    return {name for name, each in _all() if reading(each) == kind and shown in (None, each["TEACHES"])}


def matched_attacks() -> set[str]:
    """Attacks that are read at matched T."""
    return attacks_read(Reading.MATCHED_T)


def strength_attacks(teaches: str) -> set[str]:
    """Attacks that are read at their strongest, by what they show the model."""
    return attacks_read(Reading.STRONGEST, teaches)


def trial_attacks() -> set[str]:
    """Searches."""
    return attacks_read(Reading.TRIALS)


def step_attacks() -> set[str]:
    """Attacks that train and of which every row is one more evaluation of the same training."""
    return {name for name, each in _all() if each["TEACHES"] != Shown.NOTHING and "STRENGTHS" not in each}


def yardsticks() -> set[str]:
    """What is given the base, and so is no attack."""
    return {name for name, each in _all() if each.get("NEEDS_BASE")}


def unit(attack: str) -> str:
    """The unit of its strength."""
    return str(discovery.find("attacks", attack).constants.get("STRENGTH", "steps"))


def _all() -> list[tuple[str, dict[str, Any]]]:
    return [(name, plugin.constants) for name, plugin in discovery.plugins("attacks").items()]
