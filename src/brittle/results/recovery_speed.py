"""How fast and how far: every model under every attack that trains, in a few numbers on the gold-anchored scale.

``E(s) = (V(s) − V of filtered at step s of the same attack) / (V of base before any attack − V of filtered at step s)``:
0 as the model that never knew, 1 as the one that never lost it. V of filtered is the mean over its seeds (in a search,
that of the same trial). Without a filtered model 0 is instead what the model itself answered before the attack (``scale``
says which): that shows how fast V rose, not whether it was hidden. Without a base there is no scale and no row.
All arms are read up to one horizon (:mod:`brittle.results.horizon`). A model is asked now and then, so a level is reached
between two evaluations, or beyond the horizon if at all (:mod:`brittle.mathematics.survival`).
Source: ``facts/field.md`` 2.16.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy
import pandas

from brittle.mathematics.survival import MedianTime, median_time
from brittle.records import column, write_text
from brittle.results.at_matched_t import Estimate, estimate
from brittle.results.attack_kinds import trial_attacks
from brittle.results.excess import excess_recovery
from brittle.results.horizon import with_horizon
from brittle.results.roles import Role

HALF, MOST = 0.5, 0.9
ROUNDING = 1e-9
BEFORE = "before"


@dataclass(frozen=True)
class RecoveryNumbers:
    """One row of ``recovery/numbers.csv``.

    A median is over seeds, of times that lie between two evaluations: after ``…_after`` and at or before the column without
    that ending, which is inf where fewer than half of the seeds got there.
    """

    attack: str = column("name of the attack")
    model: str = column("name of the attacked model")
    role: str = column("base, filtered, retrained or unlearned")
    scale: str = column(
        "what 0 is: 'filtered' (that model at the same step) or 'before' (this model before the attack)"
    )
    seeds: int = column("seeds, of a search its trials")
    last_step: int = column("the last step of the longest seed")
    horizon: int = column("the step up to which every model was followed under this attack; later times are censored")
    reached_50: int = column("seeds that came half of the way to the base (E at least 0.5)")
    steps_to_50_after: float = column("E at least 0.5: the median lies after this step")
    steps_to_50: float = column("and at or before this one, the first evaluation that showed it")
    steps_to_50_low: float = column(
        "lower bound of its 95 % interval over seeds; 0 with fewer than six, empty with one"
    )
    steps_to_50_high: float = column("upper bound; inf where the seeds give none")
    examples_to_50_after: float = column("the same in training texts shown, repetitions counted: after")
    examples_to_50: float = column("and at or before")
    tokens_to_50_after: float = column("the same in training tokens; empty where they were not counted: after")
    tokens_to_50: float = column("and at or before")
    reached_90: int = column("seeds that came nine tenths of the way (E at least 0.9)")
    steps_to_90_after: float = column("E at least 0.9: the median lies after this step")
    steps_to_90: float = column("and at or before this one, the first evaluation that showed it")
    steps_to_90_low: float = column(
        "lower bound of its 95 % interval over seeds; 0 with fewer than six, empty with one"
    )
    steps_to_90_high: float = column("upper bound; inf where the seeds give none")
    examples_to_90_after: float = column("the same in training texts shown: after")
    examples_to_90: float = column("and at or before")
    tokens_to_90_after: float = column("the same in training tokens: after")
    tokens_to_90: float = column("and at or before")
    log_step_area: float = column(
        "mean of E, cut to 0 … 1, over log(1 + step) up to the horizon, of seeds that did not diverge"
    )
    log_step_area_low: float = column("lower bound of its 95 % interval over seeds")
    log_step_area_high: float = column("upper bound of its 95 % interval over seeds")

    def median(self, percent: int, unit: str = "steps") -> MedianTime:
        """Between which times the median to 50 or 90 per cent lies, with its interval over seeds in steps."""
        name = f"{unit}_to_{percent}"
        bounds = [getattr(self, f"{name}_{end}", math.nan) for end in ("after", "low", "high")]
        return MedianTime(getattr(self, name), *bounds)

    @property
    def area(self) -> Estimate:
        """The area with its interval."""
        return Estimate(self.log_step_area, self.log_step_area_low, self.log_step_area_high)


def write_numbers(outputs: Path, rows: Sequence[RecoveryNumbers]) -> None:
    """Write ``recovery/numbers.csv`` below the outputs folder; without rows there is none."""
    path = Path(outputs) / "recovery" / "numbers.csv"
    if rows:
        write_text(path, pandas.DataFrame(rows).to_csv(index=False))
    else:
        path.unlink(missing_ok=True)


def recovery_numbers(points: pandas.DataFrame, diverged: pandas.DataFrame | None = None) -> list[RecoveryNumbers]:
    """Every model under every attack of the table that has a base in it.

    Args:
        points: rows of ``recovery.csv`` (:class:`brittle.contracts.RecoveryPoint`) of attacks that train.
        diverged: rows of ``diverged.csv``: these runs end before the horizon, at which they are censored, and have no area.
    """
    found = []
    points = with_horizon(points[points["accuracy_v"].notna()], diverged).sort_values("step", kind="stable")
    for attack, part in points.groupby("attack", sort=False):
        if Role.BASE not in set(part["role"]):
            continue
        top = float(part[(part["role"] == Role.BASE) & (part["step"] == 0)]["accuracy_v"].mean())
        for (model, role), own in part.groupby(["model", "role"], sort=False):
            scale = Role.FILTERED if Role.FILTERED in set(part["role"]) else BEFORE
            runs = [_with_excess(run, _floor(part, run, str(attack)), top) for _, run in own.groupby("seed")]
            runs = [run for run in runs if (run["step"] <= run["horizon"]).any()]
            if runs:
                found.append(_row(str(attack), str(model), str(role), scale, runs))
    return found


def _floor(part: pandas.DataFrame, run: pandas.DataFrame, attack: str) -> list[float]:
    """What counts as nothing at each of the run's steps."""
    filtered = part[part["role"] == Role.FILTERED]
    if filtered.empty:
        return [float(run["accuracy_v"].iloc[0])] * len(run)
    filtered = filtered[filtered["model"] == filtered["model"].iloc[0]]
    if attack in trial_attacks():
        filtered = filtered[filtered["seed"] == run["seed"].iloc[0]]
    table = filtered.pivot(index="step", columns="seed", values="accuracy_v")
    steps = sorted({*table.index, *run["step"]})
    floor: list[float] = table.reindex(steps).ffill().mean(axis=1).reindex(run["step"]).tolist()
    return floor


def _with_excess(run: pandas.DataFrame, floor: Sequence[float], top: float) -> pandas.DataFrame:
    """The run with its column E; nothing where base and floor are too near to each other to be a scale."""
    values = [excess_recovery(value, zero, top) for value, zero in zip(run["accuracy_v"], floor)]
    return run.assign(excess=pandas.Series(values, index=run.index, dtype=float)).dropna(subset="excess")


def _row(attack: str, model: str, role: str, scale: str, runs: list[pandas.DataFrame]) -> RecoveryNumbers:
    followed = [run for run in runs if run["step"].iloc[-1] >= run["horizon"].iloc[0]]
    areas = [log_step_area(run["step"].tolist(), run["excess"].tolist(), run["horizon"].iloc[0]) for run in followed]
    area = estimate(areas) if areas else Estimate(math.nan)
    last, horizon = (max(int(run[name].iloc[-1]) for run in runs) for name in ("step", "horizon"))
    return RecoveryNumbers(
        attack, model, role, scale, len(runs), last, horizon, *_times(runs, HALF), *_times(runs, MOST),
        area.mean, area.low, area.high,
    )  # fmt: skip


def _times(
    runs: Sequence[pandas.DataFrame], level: float
) -> tuple[int, float, float, float, float, float, float, float, float]:
    """How many reached the level; the median in steps with its bounds over seeds, in examples and in tokens."""
    steps, examples, tokens = (
        [_first(run, name, level) for run in runs] for name in ("step", "examples_seen", "tokens_seen")
    )
    reached = sum(not math.isinf(by) for _, by in steps)
    in_steps, in_examples, in_tokens = (_median(each) for each in (steps, examples, tokens))
    return (
        reached, in_steps.after, in_steps.value, in_steps.low, in_steps.high, in_examples.after, in_examples.value,
        in_tokens.after, in_tokens.value,
    )  # fmt: skip


def _median(intervals: list[tuple[float, float]]) -> MedianTime:
    return MedianTime(math.nan) if any(map(math.isnan, sum(intervals, ()))) else median_time(intervals)


def _first(run: pandas.DataFrame, name: str, level: float) -> tuple[float, float]:
    """After and at or before which value of a column a run first reached the level within the horizon."""
    run = run[run["step"] <= run["horizon"]]
    there = (run["excess"] >= level - ROUNDING).tolist()
    values = run[name].astype(float).tolist() if name in run else [math.nan] * len(run)
    place = there.index(True) if any(there) else len(values)
    return (values[place - 1] if place else 0.0), (values[place] if place < len(values) else math.inf)


def log_step_area(steps: Sequence[float], excess: Sequence[float], horizon: float | None = None) -> float:
    """Mean of E, cut to [0, 1], over log(1 + step) up to the horizon: ``∫ E d log(1 + s) / (log(1 + h) − log(1 + s₀))``.

    E is taken as straight between evaluations on that scale and cut there, not at the evaluations, so that asking more often
    along the same curve changes nothing; what ends before the horizon goes on at its last height. Early recovery counts
    most: 0 as if never learned throughout, 1 as if never removed. A curve of one step is that step's E.

    Args:
        steps: rising, from the first evaluation s₀ on.
        horizon: h in steps; the last step unless given.
    """
    places, end = [math.log1p(step) for step in steps], math.log1p(steps[-1] if horizon is None else horizon)
    grid = [*(place for place in places if place < end), end]
    heights = numpy.interp(grid, places, excess).tolist()
    if grid[0] == end:
        return min(1.0, max(0.0, heights[0]))
    pieces = [(b - a) * _mean_of_cut(y, z) for a, b, y, z in zip(grid, grid[1:], heights, heights[1:])]
    return math.fsum(pieces) / (end - grid[0])


def _mean_of_cut(start: float, stop: float) -> float:
    """Mean over a straight line from one height to another of what is cut to [0, 1]."""
    if abs(stop - start) < ROUNDING:
        return min(1.0, max(0.0, start))
    below, above = (min(1.0, max(0.0, end)) ** 2 / 2 + max(0.0, end - 1) for end in (start, stop))
    return (above - below) / (stop - start)
