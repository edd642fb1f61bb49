"""What several worlds, trainings and seeds show of each method together, and over what an interval is.

Levels from the outside inwards: world, training of the base, seed of unlearning, seed of the attack. A run is one model in one
outputs folder. Only runs that say something are averaged: a damaged model withstands attacks as an empty disk does, and of
another run the verdict may be "cannot tell"; both are counted beside the mean.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from math import isnan
from pathlib import Path

from brittle.mathematics.nested import nested_mean
from brittle.results.at_matched_t import Estimate, MatchedRecovery
from brittle.results.at_strongest import WorstCase
from brittle.results.damage import Health
from brittle.results.outputs import ModelResult, ReportData, attacks, gather
from brittle.results.roles import REFERENCES, Role
from brittle.results.verdicts import Judgement, answer, worst_case

MANY = 0
"""Several members, whose number is not stated."""


@dataclass(frozen=True)
class Varied:
    """Over what an interval is: how many members a level has, at most, within one of the next outer level; 1: it did not vary."""

    worlds: int = 1
    trainings: int = 1
    """Of the base."""
    unlearning_seeds: int = 1
    attack_seeds: int = 1
    questions: bool = False
    """Whether questions were drawn anew as well."""


OVER_ATTACK_SEEDS = Varied(attack_seeds=MANY)
"""Of every estimate within one outputs folder but the following."""
OVER_QUESTIONS = Varied(attack_seeds=MANY, questions=True)
"""Of a cross-fitted worst case."""


class Measure(StrEnum):
    """What was averaged."""

    MATCHED_T = "at matched T"
    WORST = "at worst"
    """Of the cross-fitted worst case: where a run never learned T."""
    HIGHEST = "highest"
    """The plain maximum, too high: where tables do not say which question was answered when."""


@dataclass(frozen=True)
class Place:
    """An outputs folder and the name of its world."""

    outputs: Path
    world: str


@dataclass(frozen=True)
class OverLevels:
    """One method, or reference, over all its runs."""

    name: str
    role: str
    runs: int
    read: int
    """Runs in ``v``: all but damaged ones, those of which nothing can be told, and those without a number."""
    damaged: int
    cannot_tell: int
    """Runs with this verdict whose model is not damaged."""
    judgements: Mapping[Judgement, int]
    """Verdicts of all runs, damaged ones too; empty of references."""
    measure: Measure | None = None
    v: Estimate | None = None
    """Mean of means over the levels, and its interval (:func:`brittle.mathematics.nested.nested_mean`, cut to [0, 1])."""
    by_chance: float | None = None
    """What the permutation test expects of V at matched T, likewise averaged; None where a run was not tested."""
    varied: Varied = Varied()


@dataclass(frozen=True)
class _Run:
    label: tuple[Hashable, ...]
    """World, base and seed of unlearning."""
    model: ModelResult
    judgement: Judgement | None
    matched: MatchedRecovery | None
    worst: WorstCase | None

    @property
    def damaged(self) -> bool:
        return self.model.damage.health == Health.DAMAGED

    @property
    def tells(self) -> bool:
        return not self.damaged and self.judgement != Judgement.CANNOT_TELL


def over_levels(places: Sequence[Place]) -> list[OverLevels]:
    """Every reference and method over the outputs folders, in the order of the first.

    A reference that stands in several folders of one world counts once. Models of one method and one seed that stand in one
    folder differ in other settings, and are not taken together.
    """
    found: dict[tuple[str, str], dict[tuple[Hashable, ...], _Run]] = {}
    for place in places:
        data = gather(place.outputs)
        base = next((model.reference for model in data.of_role(Role.BASE)), None)
        made = Counter((model.method, model.settings.get("seed")) for model in data.judged())
        for model in data.models:
            seed = model.settings.get("seed")
            name = model.method if model.method and made[model.method, seed] == 1 else model.name
            if model.role in REFERENCES:
                name, seed = model.role, None
            label = place.world, base, seed
            found.setdefault((name, model.role), {}).setdefault(label, _run(data, model, label))
    return [_together(name, role, list(runs.values())) for (name, role), runs in found.items()]


def _run(data: ReportData, model: ModelResult, label: tuple[Hashable, ...]) -> _Run:
    first = next(iter(attacks(data)), None)
    matched = next((row for row in data.matched if (row.attack, row.model) == (first, model.name)), None)
    judgement = None if model.role in REFERENCES else answer(data, model).judgement
    return _Run(label, model, judgement, matched, worst_case(data, model))


def _together(name: str, role: str, runs: Sequence[_Run]) -> OverLevels:
    telling = [run for run in runs if run.tells]
    learned = [(run, run.matched) for run in telling if run.matched and run.matched.v_by_seed]
    worst = [(run, run.worst) for run in telling if run.worst]
    verdicts = Counter(run.judgement for run in runs if run.judgement)
    damaged = sum(run.damaged for run in runs)
    unclear = sum(run.judgement == Judgement.CANNOT_TELL and not run.damaged for run in runs)
    whole = OverLevels(name, role, len(runs), 0, damaged, unclear, verdicts)
    if learned and len(learned) == len(telling):
        return _at_matched_t(whole, learned)
    return _at_worst(whole, worst) if worst else whole


def _at_matched_t(whole: OverLevels, runs: Sequence[tuple[_Run, MatchedRecovery]]) -> OverLevels:
    values = {(*run.label, seed): v for run, row in runs for seed, v in row.v_by_seed}
    chances = {run.label: row.chance.expected for run, row in runs if row.chance}
    by_chance = nested_mean(list(chances.values()), list(chances)).mean if len(chances) == len(runs) else None
    return _averaged(whole, Measure.MATCHED_T, values, len(runs), by_chance)


def _at_worst(whole: OverLevels, runs: Sequence[tuple[_Run, WorstCase]]) -> OverLevels:
    measure = Measure.WORST if all(case.cross_fitted for _, case in runs) else Measure.HIGHEST
    values = {run.label: case.found.after.mean for run, case in runs}
    found = _averaged(whole, measure, values, len(runs))
    if len(runs) > 1 or measure == Measure.HIGHEST:
        return found
    return replace(found, v=runs[0][1].found.after, varied=OVER_QUESTIONS)


def _averaged(
    whole: OverLevels, measure: Measure, values: Mapping[tuple[Hashable, ...], float], read: int,
    by_chance: float | None = None,
) -> OverLevels:  # fmt: skip
    found = nested_mean(list(values.values()), list(values))
    v = Estimate(found.mean) if isnan(found.low) else Estimate(found.mean, max(0.0, found.low), min(1.0, found.high))
    return replace(whole, read=read, measure=measure, v=v, by_chance=by_chance, varied=varied(list(values)))


def varied(labels: Sequence[tuple[Hashable, ...]]) -> Varied:
    """How many members each level has, of labels of world, base, seed of unlearning and perhaps of the attack."""
    counts = [
        Counter(label[:depth] for label in {label[: depth + 1] for label in labels}) for depth in range(len(labels[0]))
    ]
    worlds, trainings, unlearning, *attack = (max(count.values()) for count in counts)
    return Varied(worlds, trainings, unlearning, attack[0] if attack else 1)
