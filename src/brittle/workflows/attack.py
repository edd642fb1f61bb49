"""Attack models alike and write what comes back: one job per model and seed, one table for all.

Every arm (base, filtered, retrained, unlearned) meets the same texts in the same order with the same seeds. Each
finished job is a record of its own, so a run that was killed goes on with the jobs that are missing.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from brittle import discovery
from brittle.models.references import Located
from brittle.records import is_complete, read_record, write_json, write_text
from brittle.settings import BadInput
from brittle.workflows import parallel
from brittle.workflows.attack_run import Run
from brittle.workflows.battlefield import Arm, Battlefield


def describe(outputs: Path, arms: Sequence[Arm], pairs: Sequence[tuple[Located, Located]] | None = None) -> None:
    """Write ``comparison.json``: which models play which part, for whoever reads the folder later.

    Without ``pairs`` the models join those that stand there already.
    """
    models = []
    for arm in arms:
        entry: dict[str, Any] = {"name": arm.located.name, "role": arm.role, "reference": arm.located.text}
        record = read_record(arm.located.folder) or {}
        if record.get("kind") == "unlearned model":
            entry |= {
                "method": record["settings"]["method"],
                "settings": record["settings"],
                "reference": arm.located.name,
            }
        models.append(entry)
    path = outputs / "comparison.json"
    there = json.loads(path.read_text()) if pairs is None and path.is_file() else {"models": [], "comparisons": []}
    known = {entry["name"] for entry in there["models"]}
    there["models"] += [entry for entry in models if entry["name"] not in known]
    there["comparisons"] += [{"folder": f"{a.name}__to__{b.name}", "a": a.name, "b": b.name} for a, b in pairs or ()]
    write_json(path, there)


def attack(
    name: str,
    settings: Any,
    arms: Sequence[Arm],
    field: Battlefield,
    seeds: Sequence[int],
    outputs: Path,
    force: bool = False,
    base: Located | None = None,
) -> Path:
    """Run the attack on every arm and seed that has no record yet; write ``recovery/recovery.csv`` and the answers.

    Rows of other attacks and of other models that stand in these tables stay. ``base``: for an attack that needs it.

    Raises:
        BadInput: the attack needs a base, and there is none.
    """
    check_needs([name], base)
    plugin = discovery.find("attacks", name)
    walks = bool(getattr(settings, "trajectory_steps", ()))
    base = base if plugin.constants.get("NEEDS_BASE") or walks else None
    if trials := plugin.constants.get("TRIALS"):
        seeds = range(getattr(settings, trials))
    elif not plugin.constants.get("RANDOM", True):
        seeds = seeds[:1]
    jobs, folders = [], []
    for arm in arms:
        for number, seed in enumerate(seeds):
            along = base if number == 0 or not walks else None
            run = Run(name, settings, arm, field, seed, outputs / "recovery" / "runs", along)
            folders.append(run.folder)
            if force or not is_complete(run.folder, run.identity):
                jobs.append(parallel.Job(run.carry_out, (), run.size))
    parallel.run(jobs, f"{name} attack: {len(arms)} models x {len(seeds)} {'trials' if trials else 'seeds'}")
    _combine(name, [arm.located.name for arm in arms], folders, outputs / "recovery")
    return outputs / "recovery"


def names_of(kind: str | None, budget: str = "full", base: bool = True) -> list[str]:
    """The attacks that were named, or all that a budget has; without a base, without those that need it."""
    if kind is not None:
        return [discovery.find("attacks", name).name for name in kind.replace(",", " ").split()]
    return [
        name
        for name, plugin in discovery.plugins("attacks").items()
        if (budget == "full" or "QUICK" in plugin.constants) and (base or not plugin.constants.get("NEEDS_BASE"))
    ]


def check_needs(names: Sequence[str], base: Located | None) -> None:
    """Refuse, before any work, attacks that look at the update where the base is not known."""
    for name in names:
        if base is None and discovery.find("attacks", name).constants.get("NEEDS_BASE"):
            raise BadInput(f"{name} looks at the update from the base; name it with --base")


def _combine(name: str, models: Sequence[str], folders: Sequence[Path], target: Path) -> None:
    """Put the runs' tables, which stay beside them with a record each, in the place of the same models' older rows."""
    import pandas

    for table in ("recovery", "recovery_answers", "trajectory"):
        path = target / f"{table}.csv"
        parts = [pandas.read_csv(folder / f"{table}.csv") for folder in folders if (folder / f"{table}.csv").is_file()]
        if path.is_file():
            older = pandas.read_csv(path)
            parts.insert(0, older[(older["attack"] != name) | ~older["model"].isin(models)])
        if parts:
            write_text(path, pandas.concat(parts, ignore_index=True).to_csv(index=False))
