"""Which attack is read how (:mod:`brittle.contracts`): at matched T, at its strongest, or over trials."""

from __future__ import annotations

from typing import Any

from brittle import discovery


def matched_attacks() -> set[str]:
    """Attacks that teach T and are read at the step where T is learned."""
    return {name for name, each in _all() if each["TEACHES"] == "T" and not {"STRENGTH", "TRIALS"} & set(each)}


def strength_attacks(teaches: str) -> set[str]:
    """Attacks that are read at the strength that brings most back, by what they show the model."""
    return {name for name, each in _all() if "STRENGTH" in each and each["TEACHES"] == teaches}


def trial_attacks() -> set[str]:
    """Searches: every seed is a trial with a configuration of its own."""
    return {name for name, each in _all() if "TRIALS" in each}


def step_attacks() -> set[str]:
    """Attacks that train and of which every row is one more evaluation of the same training."""
    return {name for name, each in _all() if each["TEACHES"] != "nothing" and "STRENGTHS" not in each}


def yardsticks() -> set[str]:
    """What is given the base, and so is no attack."""
    return {name for name, each in _all() if each.get("NEEDS_BASE")}


def unit(attack: str) -> str:
    """The unit of its strength."""
    return str(discovery.find("attacks", attack).constants.get("STRENGTH", "steps"))


def _all() -> list[tuple[str, dict[str, Any]]]:
    return [(name, plugin.constants) for name, plugin in discovery.plugins("attacks").items()]
