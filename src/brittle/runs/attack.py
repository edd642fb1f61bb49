"""Attack models alike and write what comes back: one job per model and seed, one table for all.

Every arm (base, filtered, retrained, unlearned) meets the same texts in the same order with the same seeds. Each
finished job is a record of its own, so a run that was killed goes on with the jobs that are missing.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from brittle import discovery
from brittle.models.references import Located
from brittle.records import RECORD, check_file, check_writable
from brittle.runs import attack_checks, attack_race, job
from brittle.runs.attack_job import Run
from brittle.runs.attack_material import Battlefield
from brittle.runs.attack_tables import TABLES, combine
from brittle.runs.roles import Arm, plan_of
from brittle.settings import BadInput, names_in


def check_outputs(outputs: Path) -> None:
    """Refuse, before any work, an outputs folder whose tables cannot be written or whose plan cannot be read.

    Raises:
        BadInput: for these reasons.
    """
    for path in (outputs / "comparison.json", *(outputs / "recovery" / f"{name}.csv" for name in TABLES)):
        check_file(path)
    check_writable(outputs / "recovery" / "runs" / RECORD)
    plan_of(outputs)


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

    Rows of other attacks and of other models that stand in these tables stay, and so do those of seeds (of a search: trials)
    that were run before with the same settings, texts and questions. What no longer shows is said.

    Args:
        chosen: settings by the attack's name.
        base: for attacks that need it, and for trajectories, which the first seed of an attack leaves.

    Raises:
        BadInput: an attack needs a base, and there is none.
    """
    check_needs(chosen, base)
    attack_checks.check_settings(chosen, attack_checks.facts_of(field, [arm.located for arm in arms]))
    runs = {name: runs_of(name, settings, arms, field, seeds, outputs, base) for name, settings in chosen.items()}
    models = f"{len(arms)} model{'s' if len(arms) > 1 else ''}"
    title = f"{', '.join(chosen)} attack" if len(chosen) == 1 else f"{len(chosen)} attacks"
    try:
        for left in attack_race.rounds([run for each in runs.values() for run in each], force):
            job.carry_out(left, f"{title} on {models}")
    finally:  # a failure or an interruption loses nothing that is done
        for name, each in runs.items():
            combine(name, each, outputs / "recovery")
    return outputs / "recovery"


def runs_of(
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


def names_of(kind: str | None, budget: str = "full", base: bool = True, flag: str = "--kind") -> list[str]:
    """The attacks that were named by ``flag``, or all that a budget has; without a base, without those that need it."""
    if kind is not None:
        return [discovery.find("attacks", name).name for name in names_in(kind, flag)]
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


def check_needs(names: Iterable[str], base: Located | str | None) -> None:
    """Refuse, before any work, attacks that look at the update where the base is not known or lack a package."""
    for name in names:
        if package := missing_package(name):
            raise BadInput(f"{name} needs the package {package}; install it (uv pip install {package})")
        if base is None and discovery.find("attacks", name).constants.get("NEEDS_BASE"):
            raise BadInput(f"{name} looks at the update from the base; name it with --base")
