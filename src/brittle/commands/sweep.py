"""``brittle sweep FILE``: make, evaluate, diagnose and attack every configuration of a file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from brittle import progress
from brittle.commands.options import Environment, Given
from brittle.commands.sweep_settings import SweepSettings
from brittle.settings import BadInput, resolve

if TYPE_CHECKING:
    from brittle.sweeps.configurations import Configuration
    from brittle.sweeps.file import Sweep as AnySweep

SHOWN = 12
"""Configurations that ``--dry-run`` names before it only counts."""


def sweep(given: Given, environment: Environment) -> int:
    """Carry a sweep out, or say what it would do."""
    from brittle.commands import sweep_notes as noted
    from brittle.sweeps import configurations as expanded
    from brittle.sweeps.costs import machine
    from brittle.sweeps.file import Search, Sweep, raced, read

    settings, words = resolve(SweepSettings, given, environment), dict(environment or {})
    if settings.noted:
        found = Sweep(Path(settings.noted), Search(name="noted"), {}, (), None, None)
        every = noted.configurations(settings.noted, words)
    else:
        found = read(settings.file or "")
        found = replace(found, common={**found.common, "no_save": "false"}) if settings.keep_weights else found
        found = replace(found, attack=raced(found.attack)) if settings.race else found
        every = expanded.configurations(found, words, settings.yes)
    if settings.shard and found.search.search == "optuna":
        raise BadInput(
            "--shard: a search by Optuna chooses by what was scored, so that one process drives it; leave it out"
        )
    own = expanded.share(every, settings.shard)
    imagined = None if settings.simulate is None else machine(settings.simulate)
    for line in _lines(found, every, own):
        print(line)
    if settings.dry_run:
        from brittle.commands.sweep_groups import groups

        print("\n".join(groups(own, settings.gpus_per_job, found.attack).lines))
        return 0
    if imagined:
        from brittle.commands.sweep_simulation import simulated

        print("\n".join(simulated(found, own, imagined, settings.gpus_per_job)))
        return 0
    from brittle.commands.sweep_run import carry_out

    return carry_out(settings, found, own, words)


def _lines(sweep: AnySweep, every: list[Configuration], own: list[Configuration]) -> list[str]:
    """What the sweep comes to."""
    methods: dict[str, int] = {}
    for each in own:
        methods[each.resolved.make.method] = methods.get(each.resolved.make.method, 0) + 1
    share = f", {len(own)} of them in this share" if len(own) < len(every) else ""
    if sweep.search.search == "optuna":
        share = f" at the corners of the space; {progress.several(sweep.search.trials, 'trial')} in all"
    stages = {"diagnose": sweep.diagnose, "attack": sweep.attack}
    return [
        f"{sweep.name}: {progress.several(len(every), 'configuration')}{share}",
        "methods: " + ", ".join(f"{name} {count}" for name, count in methods.items()),
        "stages: make, evaluate" + "".join(f", {word} ({', '.join(s.names)})" for word, s in stages.items() if s),
        *(f"  {each.title}" for each in own[:SHOWN]),
        *([f"  … and {len(own) - SHOWN} more"] if len(own) > SHOWN else []),
    ]
