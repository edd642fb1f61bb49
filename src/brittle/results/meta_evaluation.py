"""Which measures deserve trust: every diagnostic and every attack scored on models of which the truth is known.

Models are ordered by a measure as its own prediction says (of a headline the side on which the thesis puts hidden knowledge,
of an attack more recovery); the alarm is the verdict that Brittle would print of that model.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas

from brittle.mathematics.roc import Area, Scored, roc_area
from brittle.results.headlines import Measure, measures
from brittle.results.outputs import ReportData, gather
from brittle.results.verdicts import (
    CAME_BACK,
    RETURNED,
    AtMatchedT,
    Judgement,
    answer,
    at_matched_t,
    control_of,
    excess_before,
)
from brittle.settings import BadInput

TRUTH = "truth"
"""The folder beside the comparisons of a world with what is known of each planted model."""
NEVER_LEARNED = "never learned"
"""The kind of the laboratory's filtered model, which nothing was done to."""
DIAGNOSTICS, ATTACKS, WHOLE = "diagnostics", "attacks", "verdict"
TOGETHER = "all attacks together"
ALARMS = (*RETURNED, AtMatchedT.NOT_REMOVED, AtMatchedT.PARTLY)
QUIET = (AtMatchedT.NOT_ABOVE_CHANCE, AtMatchedT.NOT_BY_THE_ATTACK, AtMatchedT.ABOVE_CHANCE)
"""What an attack says where it finds nothing; of the rest it cannot be told, which is neither a miss nor an alarm."""


@dataclass(frozen=True)
class World:
    """One world's results and what is true of its planted models (rows of ``truth.csv``)."""

    name: str
    data: ReportData
    truth: pandas.DataFrame


@dataclass(frozen=True)
class Judged:
    """One measure on one model."""

    group: str
    measure: str
    model: str
    world: str
    kind: str
    host: str
    hidden: bool
    score: float
    """Higher where the measure says that more is hidden."""
    alarm: bool | None
    """Whether Brittle would say so; None where it would say nothing."""


@dataclass(frozen=True)
class Trust:
    """How one measure did over all models."""

    group: str
    measure: str
    hidden: int
    absent: int
    area: Area
    """Of all hidden models against all absent ones."""
    far: Area
    """The same of hidden models that are another training than the base, as the absent ones are."""
    missed: float
    """Share of the hidden models without an alarm, of those with a verdict; NaN where the measure has none."""
    false_alarms: float
    silent: float
    """Share of the planted models of which the measure says that it cannot tell, or nothing."""


def worlds_of(outputs: Path) -> list[World]:
    """Every world below an outputs folder of planted models, by name.

    Raises:
        BadInput: there is none.
    """
    found = []
    for place in sorted({path.parent.parent for path in outputs.glob(f"*/{TRUTH}/*/truth.csv")}):
        rows = [pandas.read_csv(path) for path in sorted(place.glob("*/truth.csv"))]
        found.append(World(place.parent.name, gather(place.parent), pandas.concat(rows, ignore_index=True)))
    if not found:
        raise BadInput(
            f"{outputs} holds no planted models' results; make them with: brittle planted --outroot {outputs}"
        )
    return found


def judged(world: World) -> list[Judged]:
    """Every measure on every model of one world."""
    known = {str(row.model): (str(row.kind), str(row.host), bool(row.hidden)) for row in world.truth.itertuples()}
    known |= {model.name: (NEVER_LEARNED, "filtered", False) for model in world.data.of_role("filtered")}
    found = [*_of_diagnostics(world.data), *_of_attacks(world.data)]
    return [
        Judged(group, measure, model, world.name, *known[model], score, alarm)
        for group, measure, model, score, alarm in found
        if model in known
    ]


Found = tuple[str, str, str, float, bool | None]


def _of_diagnostics(data: ReportData) -> Iterator[Found]:
    yardstick = {model.name for model in data.of_role("filtered")}
    for measure in measures(data):
        for model, value in measure.values.items():
            alarm = None if model in yardstick else measure.borne_out(data, model)
            yield DIAGNOSTICS, measure.headline.words, model, towards_hidden(measure, value.value), alarm


def towards_hidden(measure: Measure, value: float) -> float:
    """The value turned so that more of it means hidden: the thesis's side of the filtered model, or else nearness to what an
    unchanged model shows; the value itself where neither is known."""
    if measure.headline.thesis in ("below", "above"):
        return value if measure.headline.thesis == "above" else -value
    return value if math.isnan(measure.untouched) else -abs(value - measure.untouched)


def _of_attacks(data: ReportData) -> Iterator[Found]:
    for row in data.matched:
        said = at_matched_t(row, control_of(data, row))
        alarm = said in ALARMS if row.role != "filtered" and said in (*ALARMS, *QUIET) else None
        yield ATTACKS, row.attack, row.model, _number(row.excess), alarm
    for best in data.strongest:
        alarm = None if best.role == "filtered" else _number(best.recovered) >= CAME_BACK
        yield ATTACKS, best.attack, best.model, _number(best.excess), alarm
    for case in data.worst:
        model = data.model(case.found.model)
        judgement = answer(data, model).judgement
        told = model.role != "filtered" and judgement is not Judgement.CANNOT_TELL
        alarm = judgement in (Judgement.CAME_BACK, Judgement.PARTLY) if told else None
        yield WHOLE, TOGETHER, model.name, _number(case.excess), alarm
        yield WHOLE, "no attack: what is answered as it is", model.name, _number(excess_before(data, model)), None


def _number(value: float | None) -> float:
    return math.nan if value is None else value


def trust(rows: Iterable[Judged]) -> list[Trust]:
    """Every measure over all its models: diagnostics, attacks, then all together; the best first."""
    found: dict[tuple[str, str], list[Judged]] = {}
    for row in rows:
        found.setdefault((row.group, row.measure), []).append(row)
    order = (WHOLE, ATTACKS, DIAGNOSTICS)
    all_of_them = [_trust(*name, part) for name, part in found.items()]
    return sorted(
        all_of_them, key=lambda each: (order.index(each.group), -each.area.value if each.area.value >= 0 else 1)
    )


def _trust(group: str, measure: str, rows: Sequence[Judged]) -> Trust:
    said = [row for row in rows if row.alarm is not None]
    hidden, absent = ([row.alarm for row in said if row.hidden is side] for side in (True, False))
    return Trust(
        group, measure, sum(row.hidden for row in rows), sum(not row.hidden for row in rows), area(rows),
        area([row for row in rows if row.host != "base"]),
        1 - sum(map(bool, hidden)) / len(hidden) if hidden else math.nan,
        sum(map(bool, absent)) / len(absent) if absent else math.nan,
        1 - len(said) / max(1, sum(row.kind != NEVER_LEARNED for row in rows)),
    )  # fmt: skip


def area(rows: Sequence[Judged], interval: bool = True) -> Area:
    """The ROC area of hidden against absent; worlds are drawn again, and in each the kinds of hiding."""
    return roc_area([Scored(row.score, row.hidden, row.world, row.kind) for row in rows], interval=interval)


def by_kind(rows: Sequence[Judged]) -> pandas.DataFrame:
    """One row per kind of hiding and group of measures: ``kind``, ``group``, ``area``, the mean ROC area over the group's
    measures of that kind's hidden models against all absent ones."""
    lines = []
    for kind in dict.fromkeys(row.kind for row in rows if row.hidden):
        for group in (ATTACKS, DIAGNOSTICS):
            names = {row.measure for row in rows if row.group == group}
            of = [[r for r in rows if r.measure == name and (not r.hidden or r.kind == kind)] for name in sorted(names)]
            areas = [value for part in of if not math.isnan(value := area(part, interval=False).value)]
            if areas:
                lines.append({"kind": kind, "group": group, "area": sum(areas) / len(areas)})
    return pandas.DataFrame(lines)
