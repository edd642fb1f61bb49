"""What the runs of an attack left, as one table each for all attacks: nothing that was measured alike is lost from them."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from brittle import discovery, progress
from brittle.records import is_complete, write_text
from brittle.results import forms
from brittle.results.reader import Reader
from brittle.runs.attack_job import Run

TABLES = {
    "recovery": forms.RECOVERY, "recovery_answers": forms.ANSWERS, "trajectory": forms.TRAJECTORY,
    "diverged": forms.DIVERGED,
}  # fmt: skip
"""What every run may leave, and what all runs together are written as."""


def finished(run: Run) -> Path | None:
    """The folder that holds the run's complete record and tables that can be read, also under a former name of its model."""
    others = run.folder.parent.glob(f"*__{run.name}__seed{run.seed}")
    for folder in (run.folder, *sorted(others)):
        if any(is_complete(folder, each.identity) for each in run.alternatives):
            reader = Reader(folder)
            tables = [reader.table(folder / f"{name}.csv", form) for name, form in TABLES.items()]
            if tables[0] is not None and tables[1] is not None and not reader.left_out:
                return folder
    return None


def combine(name: str, runs: Sequence[Run], target: Path) -> None:
    """Put the runs' tables, which stay beside them with a record each, in the place of the same models' older rows."""
    import pandas

    done = [(run, folder) for run in [*runs, *_before(runs)] if (folder := finished(run))]
    for table in TABLES:
        path = target / f"{table}.csv"
        models, parts, shown = {run.arm.located.name for run in runs}, [], set()
        for run, folder in done:
            if (folder / f"{table}.csv").is_file():
                part = pandas.read_csv(
                    folder / f"{table}.csv", keep_default_na=False, na_values=[""]
                )  # None is an answer
                models |= set(part["model"])
                shown |= {(model, run.seed) for model in {run.arm.located.name, *part["model"]}}
                parts.append(part.assign(model=run.arm.located.name))
        older = _older(path)
        if older is not None:
            mine = (older.get("attack") == name) & older["model"].isin(models)
            if table == "recovery":
                _say_replaced(name, older[mine], shown)
            parts = [older[~mine], *parts] if not mine.all() else parts
        if parts:
            write_text(path, pandas.concat(parts, ignore_index=True).to_csv(index=False))
        else:
            path.unlink(missing_ok=True)


def _before(runs: Sequence[Run]) -> list[Run]:
    """The same attack on the same models with seeds that were not asked for now; which of them is finished, its record says."""
    if not discovery.find("attacks", runs[0].name).constants.get("RANDOM", True):
        return []  # one run is all there is
    asked, found = {run.seed for run in runs}, []
    for arm in {run.arm.located.digest: run for run in runs}.values():
        ends = (path.name.rpartition("__seed")[2] for path in arm.runs.glob(f"*__{arm.name}__seed*"))
        for seed in sorted({int(end) for end in ends if end.isdecimal()} - asked):
            # the first seed of an earlier call walked beside the base, the others did not, or the other way round
            known = {None: None} | {run.base.digest: run.base for run in runs if run.base}
            kinds = [dataclasses.replace(arm, seed=seed, base=base) for base in known.values()]
            found += [run for run in kinds if finished(run)][:1]
    return found


def _say_replaced(name: str, older: Any, shown: Collection[tuple[str, int]]) -> None:
    """Which seeds no longer stand in the table: they were run with something else, and both are not one measurement."""
    if not discovery.find("attacks", name).constants.get("RANDOM", True):
        older = older[~older["model"].isin({model for model, _ in shown})]  # whatever the seed, it is the same run
    if gone := sorted({*zip(older["model"], older["seed"])} - {*shown}):
        seeds = ", ".join(map(str, sorted({int(seed) for _, seed in gone})))
        progress.say(
            f"recovery.csv no longer shows {name} with seed {seeds} on {', '.join(sorted({model for model, _ in gone}))}: it was run "
            "with other settings, texts, questions or another version of the attack; repeat it to show it again"
        )


def _older(path: Path) -> Any:
    """The rows that stand in a table; where some cannot be read the file is kept aside, and that is said."""
    reader = Reader(path.parent)
    rows = reader.table(path, TABLES[path.stem])
    if reader.left_out:
        aside = next(p for n in itertools.count(1) if not (p := path.with_name(f"{path.stem}.kept-{n}.csv")).exists())
        path.rename(aside)
        progress.say(f"{reader.left_out[0]}: the file was kept as {aside.name}")
    return rows
