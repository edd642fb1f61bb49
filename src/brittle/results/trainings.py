"""What several trainings of each reference say: which measures tell filtering from retraining, and how often they err.

``references.csv`` (:mod:`brittle.runs.trainings`) holds one value per measure, kind and training, each of a model beside the
base of the same training. *Tells*: Welch's t-test of base → filtered against base → retrained, worlds as blocks, Holm over the
measures. *Errs*: two trainings of one kind that are called different, each pair beside the other trainings of its kind.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from brittle import discovery
from brittle.mathematics import groups
from brittle.results.reader import Form

if TYPE_CHECKING:
    import numpy
    import pandas

TABLE = "references.csv"
KINDS = ("filtered", "retrained", "reinitialised")
"""What is compared with the base of the same training."""
FORM = Form(
    ("pair", "kind", "measure"), ("world", "training"), numbers=("value",), key=("kind", "measure", "world", "training")
)
FEWEST = 3
"""Trainings of each kind without which nothing is tested."""
LEVEL = 0.05


@dataclass(frozen=True)
class Told:
    """What the trainings say of one measure."""

    p: float
    """That filtering and retraining show the same, after Holm's correction over the measures; NaN where there is no test."""
    filtered: tuple[float, ...]
    retrained: tuple[float, ...]
    worlds: int

    @property
    def tells(self) -> bool | None:
        """Whether the measure tells filtering from retraining; None where there is no test."""
        return None if math.isnan(self.p) else self.p <= LEVEL


@dataclass(frozen=True)
class PairOfAKind:
    """Two trainings of one kind, and in how many measures they are called different."""

    kind: str
    one: str
    other: str
    """The trainings, as world and number."""
    measures: int
    called: int
    """After Holm's correction over the measures, as with the mark of a measure."""
    called_alone: int
    """With each measure by itself at 5 %: as many as 5 % are to be expected."""


def told_apart(table: pandas.DataFrame | None) -> dict[str, Told]:
    """By measure (``DIAGNOSTIC.KEY``) what the trainings say of it; empty without a table."""
    if table is None:
        return {}
    found: dict[str, Told] = {}
    ps = []
    for measure, part in table.dropna(subset="value").groupby("measure", sort=False):
        values, worlds = {}, {}
        for kind in ("filtered", "retrained"):
            own = part[part["kind"] == kind]
            values[kind], worlds[kind] = tuple(own["value"]), tuple(own["world"])
        on_scale = scaled(str(measure), [*values["filtered"], *values["retrained"]])
        number = len(values["filtered"])
        enough = min(map(len, values.values())) >= FEWEST
        ps.append(groups.welch(on_scale[:number], on_scale[number:], *worlds.values()) if enough else math.nan)
        found[str(measure)] = Told(math.nan, values["filtered"], values["retrained"], part["world"].nunique())
    return {
        measure: Told(p, told.filtered, told.retrained, told.worlds)
        for (measure, told), p in zip(found.items(), groups.holm(ps))
    }


def pairs_of_a_kind(table: pandas.DataFrame) -> Iterator[PairOfAKind]:
    """Every two trainings of one kind with what they are called different in; those with nothing to compare are left out."""
    for kind in KINDS:
        own = table[table["kind"] == kind].dropna(subset="value")
        trainings = sorted(set(zip(own["world"], own["training"])))
        values = {
            str(measure): dict(zip(zip(part["world"], part["training"]), scaled(str(measure), list(part["value"]))))
            for measure, part in own.groupby("measure", sort=False)
        }
        for one, other in itertools.combinations(trainings, 2):
            ps = [
                groups.odd_one_out(known[one], known[other], [v for key, v in known.items() if key not in (one, other)])
                for known in values.values()
                if one in known and other in known
            ]
            told = [p for p in ps if not math.isnan(p)]
            if told:
                called, alone = sum(p <= LEVEL for p in groups.holm(told)), sum(p <= LEVEL for p in told)
                yield PairOfAKind(kind, named(*one), named(*other), len(told), called, alone)


def share_called(pairs: list[PairOfAKind], alone: bool = False) -> tuple[float, float, float]:
    """Mean share of measures in which the pairs of one kind are called different, with its interval over trainings."""
    import numpy

    names = sorted({name for pair in pairs for name in (pair.one, pair.other)})
    called: numpy.ndarray = numpy.full((len(names), len(names)), numpy.nan)
    for pair in pairs:
        i, j = names.index(pair.one), names.index(pair.other)
        called[i, j] = called[j, i] = (pair.called_alone if alone else pair.called) / pair.measures
    return groups.share_over_pairs(called)


def named(world: int, training: int) -> str:
    """A training in words."""
    return f"world {world}, training {training}"


def scaled(measure: str, values: list[float]) -> list[float]:
    """The values on the measure's own scale: logarithms of ratios and norms, where all are positive."""
    return [math.log(value) for value in values] if measure in _logarithmic() and min(values) > 0 else values


@cache
def _logarithmic() -> frozenset[str]:
    plugins: Mapping[str, discovery.Plugin] = discovery.plugins("diagnostics")
    return frozenset(
        f"{name}.{each.key}" for name, plugin in plugins.items() for each in plugin.load().HEADLINES if each.log
    )
