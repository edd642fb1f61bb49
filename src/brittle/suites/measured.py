"""What OpenUnlearning's measures can be taken on, by name, and what each suite takes for granted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from brittle.data.measuring_set import MeasuringSet
from brittle.settings import BadInput
from brittle.suites import laboratory, laboratory_measures, muse, tofu


@dataclass(frozen=True)
class Suite:
    """How a suite's questions are worded, and how many tokens a free answer may have."""

    template: str
    answer_tokens: int
    stops: tuple[str, ...] = ()
    """Where a free answer ends before that."""


SUITES = {
    "laboratory": Suite("{question}", 8, (".",)),
    "tofu": Suite(tofu.TEMPLATE, 200),
    "muse": Suite(muse.TEMPLATE, 32, muse.STOPS),
}
"""Lengths and stops are those of the code of TOFU and MUSE; the laboratory's answers have one to three tokens and a full stop."""


def world_of(references: Sequence[str]) -> laboratory.Laboratory:
    """The laboratory that all of these models belong to.

    Raises:
        BadInput: one belongs to none, or two to different ones.
    """
    found = {reference: laboratory.behind(reference) for reference in references}
    if strangers := [reference for reference, own in found.items() if own is None]:
        raise BadInput(
            f"{strangers[0]} belongs to no laboratory, whose facts could be asked; name --suite tofu or muse for it"
        )
    worlds = {(own.size, own.seed): own for own in found.values() if own}
    if len(worlds) > 1:
        names = " and ".join(f"{size}-{seed}" for size, seed in list(worlds)[:2])
        raise BadInput(f"these models come from different laboratories ({names}); measure those of one world")
    return next(iter(worlds.values()))


def measuring_set(name: str, source: str | None, split: str, references: Sequence[str]) -> MeasuringSet:
    """What a suite measures: of the laboratory what the models' own world gives, else from a folder or the hub."""
    if name == "laboratory":
        return laboratory_measures.measuring_set(world_of(references))
    if name == "tofu":
        return tofu.measuring_set(source or tofu.SOURCE, split)
    return muse.measuring_set(source or muse.SOURCE)
