"""What came back: recovery curves over seeds, and V compared at matched T.

An attack teaches T and never shows V. At equal steps a model that learns slowly looks robust, so arms are compared at
the point where each has learned T (accuracy 0.95). It lies between two evaluations: V there is read off the straight line
between them at which T is 0.95, and lies between what both showed. A model that never gets there says nothing about V.
Source of the comparison: Deeb and Roger 2024.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import pandas

from brittle.contracts import MATCHED_T
from brittle.mathematics.groups import student
from brittle.mathematics.survival import MedianTime, median_time
from brittle.percentages import percent, points
from brittle.results.chance import ChanceTest, chance_test
from brittle.results.excess import excess_recovery
from brittle.results.horizon import carried_on, runs_of
from brittle.results.roles import Role

SIDES = ("t", "v", "retain")


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds and its 95 % interval (Student's t, cut to [0, 1]); NaN bounds with fewer than two seeds."""

    mean: float
    low: float = math.nan
    high: float = math.nan

    def __str__(self) -> str:
        interval = "" if math.isnan(self.low) else f" [{points(self.low)}, {points(self.high)}]"
        return f"{percent(self.mean)}{interval}"


def estimate(values: Sequence[float]) -> Estimate:
    """Mean and interval of accuracies over seeds."""
    mean, low, high = student(values)
    return Estimate(mean) if math.isnan(low) else Estimate(mean, max(0.0, low), min(1.0, high))


def curves(points: pandas.DataFrame) -> pandas.DataFrame:
    """One row per (attack, model, role, step): ``seeds`` and mean, low and high of each side's accuracy.

    A seed that ended because it answered everything is carried on. Where seeds of one model end at different steps otherwise, a
    mean over fewer of them would jump, so a curve ends with the first.

    Args:
        points: rows of ``recovery.csv`` (:class:`brittle.contracts.RecoveryPoint`).
    """
    rows, points = [], carried_on(points)
    seeds = points.groupby(["attack", "model", "role"])["seed"].nunique().to_dict()
    for (attack, model, role, step), part in points.groupby(["attack", "model", "role", "step"], sort=False):
        if len(part) < seeds[attack, model, role]:
            continue
        row: dict[str, object] = {"attack": attack, "model": model, "role": role, "step": step, "seeds": len(part)}
        for side in SIDES:
            found = estimate(part[f"accuracy_{side}"].tolist())
            row |= {f"mean_{side}": found.mean, f"low_{side}": found.low, f"high_{side}": found.high}
        rows.append(row)
    return pandas.DataFrame(rows)


def said_nothing(points: pandas.DataFrame, diverged: pandas.DataFrame | None) -> pandas.Series:
    """Which rows belong to a run that diverged before it could be asked: they do not show that nothing came back."""
    ended = runs_of(diverged)
    runs = points.groupby(["attack", "model", "seed"])["step"]
    alone = runs.transform("max") == 0
    keys = zip(points["attack"], points["model"], points["seed"])
    return alone & pandas.Series([key in ended for key in keys], index=points.index, dtype=bool)


@dataclass(frozen=True)
class MatchedRecovery:
    """One attacked model at matched T; estimates are over the seeds that learned T, None where there are none."""

    attack: str
    model: str
    role: str
    seeds: int
    learned: int
    """Seeds in which T was learned."""
    step: float
    """Mean of the first evaluated steps with T learned."""
    best_t: float
    """Highest accuracy on T in any seed and step."""
    first_v: float = math.nan
    """Mean V before the attack."""
    v: Estimate | None = None
    """V where T reaches the level, interpolated between the evaluations around."""
    v_by_seed: tuple[tuple[int, float], ...] = ()
    """Each attack seed that learned T, and the same of it."""
    v_from: float = math.nan
    v_to: float = math.nan
    """Mean over seeds of the lower and of the higher V of these two evaluations."""
    time: MedianTime = MedianTime(math.nan)
    """In steps until T is learned; seeds that did not are censored at their end."""
    last_v: Estimate | None = None
    best_v: Estimate | None = None
    """The highest V from the matched step on; an optimistic pick, the same for every model."""
    chance: ChanceTest | None = None
    excess: float | None = None
    """(V - V of filtered) / (V of base - V of filtered) at matched T: 0 like never learned, 1 like never unlearned."""
    best_excess: float | None = None
    """The same for ``best_v``."""
    first_excess: float | None = None
    """The same before the attack."""
    diverged: int = 0
    """Seeds that stopped giving numbers before T was learned."""


def matched(
    points: pandas.DataFrame, answers: pandas.DataFrame | None = None, threshold: float = MATCHED_T,
    diverged: pandas.DataFrame | None = None,
) -> list[MatchedRecovery]:  # fmt: skip
    """V at matched T for every attacked model, in the order of the table; a step without T or V was not measured.

    Args:
        answers: rows of ``recovery_answers.csv``; those of side ``v`` at the matched step are tested against chance.
    """
    found, ended = [], runs_of(diverged)
    points = points.dropna(subset=["accuracy_t", "accuracy_v"])
    for (attack, model, role), part in points.groupby(["attack", "model", "role"], sort=False):
        runs = [run.sort_values("step") for _, run in part.groupby("seed")]
        crossings = [_crossing(run, threshold) for run in runs]
        after = [run[(run["accuracy_t"] >= threshold).cummax()] for run in runs]
        lost = sum(
            run.empty and (str(attack), str(model), int(whole["seed"].iloc[0])) in ended
            for run, whole in zip(after, runs)
        )
        after = [run for run in after if len(run)]
        best_t = float(part["accuracy_t"].max())
        first_v = math.fsum(run["accuracy_v"].iloc[0] for run in runs) / len(runs)
        row = MatchedRecovery(
            str(attack), str(model), str(role), len(runs), len(after), math.nan, best_t, first_v, diverged=lost
        )
        row = replace(row, time=median_time([(each.after, each.by) for each in crossings]))
        if after:
            there = [each for each in crossings if not math.isinf(each.by)]
            steps = {int(run["seed"].iloc[0]): int(run["step"].iloc[0]) for run in after}
            row = replace(
                row,
                step=math.fsum(steps.values()) / len(steps),
                v=estimate([each.v for each in there]),
                v_by_seed=tuple(zip(steps, (each.v for each in there), strict=True)),
                v_from=math.fsum(each.least for each in there) / len(there),
                v_to=math.fsum(each.most for each in there) / len(there),
                last_v=estimate([run["accuracy_v"].iloc[-1] for run in after]),
                best_v=estimate([run["accuracy_v"].max() for run in after]),
                chance=_chance(answers, str(attack), str(model), steps),
            )
        found.append(row)
    return _with_excess(found)


@dataclass(frozen=True)
class _Crossing:
    """Where one seed learned T: after one step, at or before another (∞: never), and V there with what both showed."""

    after: float
    by: float
    v: float = math.nan
    least: float = math.nan
    most: float = math.nan


def _crossing(run: pandas.DataFrame, threshold: float) -> _Crossing:
    steps, t, v = (run[name].astype(float).tolist() for name in ("step", "accuracy_t", "accuracy_v"))
    place = next((place for place, value in enumerate(t) if value >= threshold), None)
    if place is None:
        return _Crossing(steps[-1], math.inf)
    if place == 0:
        return _Crossing(0.0, steps[0], v[0], v[0], v[0])
    share = (threshold - t[place - 1]) / (t[place] - t[place - 1])
    between = v[place - 1] + share * (v[place] - v[place - 1])
    around = sorted(v[place - 1 : place + 1])
    return _Crossing(steps[place - 1], steps[place], between, *around)


def _chance(answers: pandas.DataFrame | None, attack: str, model: str, steps: dict[int, int]) -> ChanceTest | None:
    if answers is None:
        return None
    chosen = answers[(answers["model"] == model) & (answers["side"] == "v")]
    if "attack" in chosen:
        chosen = chosen[chosen["attack"] == attack]
    chosen = chosen[chosen["seed"].map(steps) == chosen["step"]]
    return None if chosen.empty else chance_test(chosen)


def _with_excess(rows: list[MatchedRecovery]) -> list[MatchedRecovery]:
    result = []
    for row in rows:
        same = [other for other in rows if other.attack == row.attack]
        floor, top = reference_of(same, Role.FILTERED), reference_of(same, Role.BASE)
        now = [each.v.mean if each and each.v else None for each in (row, floor, top)]
        best = [each.best_v.mean if each and each.best_v else None for each in (row, floor, top)]
        first = [each.first_v if each else None for each in (row, floor, top)]
        result.append(
            replace(
                row,
                excess=excess_recovery(*now),
                best_excess=excess_recovery(*best),
                first_excess=excess_recovery(*first),
            )
        )
    return result


def reference_of(rows: Sequence[MatchedRecovery], role: str) -> MatchedRecovery | None:
    """The first row of a role."""
    return next((row for row in rows if row.role == role), None)
