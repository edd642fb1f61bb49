"""Runs of attacks in up to two rounds: of a search that races, all trials begin and the best go to their end.

A trial of the first round is a record of its own, which that of the whole trial replaces. Who goes on is read from the records, so a
race that was killed goes on, and trials that ran to their end before, in a race or without one, are not repeated.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from brittle import progress
from brittle.runs.attack_job import Run
from brittle.runs.attack_tables import finished
from brittle.training.racing import Standing, best, standing

if TYPE_CHECKING:
    import pandas


def rounds(runs: Sequence[Run], force: bool = False) -> Iterator[list[Run]]:
    """What is left of these runs; the second round is known when the first is done."""
    yield [run.first_round for run in runs if force or not finished(run)]
    races: dict[tuple[str, str], list[Run]] = {}
    for run in runs:
        if run.races:
            races.setdefault((run.name, run.arm.located.digest), []).append(run)
    winners = [whole(winner) for trials in races.values() for winner in _best(trials)]
    if races:
        _say(races, len(winners))
        yield [winner for winner in winners if force or not finished(winner)]


def whole(run: Run) -> Run:
    """The trial from its beginning to its end."""
    return replace(run, settings=replace(run.settings, race=False))


def _best(trials: Sequence[Run]) -> list[Run]:
    there = {trial.seed: trial for trial in trials}
    folders = {seed: finished(trial) for seed, trial in there.items()}
    standings = {
        seed: _standing(folder, there[seed].first_round.until or 0) for seed, folder in folders.items() if folder
    }
    return [there[seed] for seed in best(standings)]


def _standing(folder: Path, until: int) -> Standing:
    """Where a trial stood when the first round ended, also of one that ran on."""
    import pandas

    rows = pandas.read_csv(folder / "recovery.csv")
    return standing_at(rows, row_at(rows, until))


def row_at(rows: pandas.DataFrame, until: int) -> pandas.Series[Any]:
    """The first evaluation of a trial after so many steps, or its last."""
    later = rows[rows["step"] >= until]
    return (later if len(later) else rows.tail(1)).iloc[0]


def standing_at(rows: pandas.DataFrame, row: pandas.Series[Any]) -> Standing:
    """Where a trial stands at one of its evaluations; the first of ``rows`` is before the attack."""
    cost = rows.iloc[0]["accuracy_retain"] - row["accuracy_retain"]
    return standing(row["accuracy_v"], row["accuracy_t"], cost, row["benign_rise"])


def _say(races: dict[tuple[str, str], list[Run]], winners: int) -> None:
    trials = [trial for each in races.values() for trial in each]
    progress.say(f"race: {winners} of {progress.several(len(trials), 'trial')} go on to their end")
