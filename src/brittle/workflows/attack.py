"""Attack models alike and write what comes back: one job per model and seed, one table for all.

Every arm (base, filtered, retrained, unlearned) meets the same texts in the same order with the same seeds. Each
finished job is a record of its own, so a run that was killed goes on with the jobs that are missing.
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterable, Mapping, Sequence
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
    there = (
        json.loads(path.read_text(encoding="utf-8"))
        if pairs is None and path.is_file()
        else {"models": [], "comparisons": []}
    )
    known = {entry["name"] for entry in there["models"]}
    there["models"] += [entry for entry in models if entry["name"] not in known]
    there["comparisons"] += [{"folder": f"{a.name}__to__{b.name}", "a": a.name, "b": b.name} for a, b in pairs or ()]
    write_json(path, there)


def attack(
    chosen: Mapping[str, Any],
    arms: Sequence[Arm],
    field: Battlefield,
    seeds: Sequence[int],
    outputs: Path,
    force: bool = False,
    base: Located | None = None,
) -> Path:
    """Run attacks on every arm and seed that have no record yet; write ``recovery/recovery.csv`` and what goes with it.

    Rows of other attacks and of other models that stand in these tables stay.

    Args:
        chosen: settings by the attack's name.
        base: for attacks that need it, and for trajectories, which the first seed of an attack leaves.

    Raises:
        BadInput: an attack needs a base, and there is none.
    """
    check_needs(chosen, base)
    runs = {name: _runs(name, settings, arms, field, seeds, outputs, base) for name, settings in chosen.items()}
    missing = [run for each in runs.values() for run in each if force or not is_complete(run.folder, run.identity)]
    models = f"{len(arms)} model{'s' if len(arms) > 1 else ''}"
    title = f"{', '.join(chosen)} attack" if len(chosen) == 1 else f"{len(chosen)} attacks"
    try:
        parallel.run([parallel.Job(run.carry_out, (), run.size) for run in missing], f"{title} on {models}")
    finally:  # a failure or an interruption loses nothing that is done
        for name, each in runs.items():
            done = [run.folder for run in each if is_complete(run.folder, run.identity)]
            _combine(name, arms, done, outputs / "recovery")
    return outputs / "recovery"


def _runs(
    name: str, settings: Any, arms: Sequence[Arm], field: Battlefield, seeds: Sequence[int], outputs: Path,
    base: Located | None,
) -> list[Run]:  # fmt: skip
    """One per arm and seed; of a search per trial; without chance one per arm."""
    constants = discovery.find("attacks", name).constants
    walks = bool(getattr(settings, "trajectory_steps", ()))
    needed = base if constants.get("NEEDS_BASE") else None
    if trials := constants.get("TRIALS"):
        seeds = range(getattr(settings, trials))
    elif not constants.get("RANDOM", True):
        seeds = seeds[:1]
    return [
        Run(name, settings, arm, field, seed, outputs / "recovery" / "runs", base if walks and not number else needed)
        for arm in arms
        for number, seed in enumerate(seeds)
    ]


def names_of(kind: str | None, budget: str = "full", base: bool = True) -> list[str]:
    """The attacks that were named, or all that a budget has; without a base, without those that need it."""
    if kind is not None:
        return [discovery.find("attacks", name).name for name in kind.replace(",", " ").split()]
    return [
        name
        for name, plugin in discovery.plugins("attacks").items()
        if (budget == "full" or "QUICK" in plugin.constants)
        and (base or not plugin.constants.get("NEEDS_BASE"))
        and not missing_package(name)
    ]


def missing_package(name: str) -> str | None:
    """The package that an attack needs and that is not installed."""
    package = discovery.find("attacks", name).constants.get("NEEDS_PACKAGE")
    return package if package and importlib.util.find_spec(package) is None else None


def check_needs(names: Iterable[str], base: Located | None) -> None:
    """Refuse, before any work, attacks that look at the update where the base is not known or lack a package."""
    for name in names:
        if package := missing_package(name):
            raise BadInput(f"{name} needs the package {package}; install it (uv pip install {package})")
        if base is None and discovery.find("attacks", name).constants.get("NEEDS_BASE"):
            raise BadInput(f"{name} looks at the update from the base; name it with --base")


def _combine(name: str, arms: Sequence[Arm], folders: Sequence[Path], target: Path) -> None:
    """Put the runs' tables, which stay beside them with a record each, in the place of the same models' older rows."""
    import pandas

    models = [arm.located.name for arm in arms]
    for table in ("recovery", "recovery_answers", "trajectory"):
        path = target / f"{table}.csv"
        parts = [pandas.read_csv(folder / f"{table}.csv") for folder in folders if (folder / f"{table}.csv").is_file()]
        if path.is_file():
            older = pandas.read_csv(path)
            parts.insert(0, older[(older["attack"] != name) | ~older["model"].isin(models)])
        if parts:
            write_text(path, pandas.concat(parts, ignore_index=True).to_csv(index=False))
