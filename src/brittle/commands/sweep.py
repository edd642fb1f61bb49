"""``brittle sweep FILE``: make, evaluate, diagnose and attack every configuration of a file."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from brittle import progress
from brittle.commands.options import Environment, Given, SettingsTypes
from brittle.settings import resolve, setting

if TYPE_CHECKING:
    from brittle.sweeps.configurations import Configuration
    from brittle.sweeps.file import Sweep

SHOWN = 12
"""Configurations that ``--dry-run`` names before it only counts."""


@dataclass(frozen=True)
class SweepSettings:
    """Which sweep, where, and how much at once."""

    file: str | None = setting(None, "the sweep's YAML file (docs/sweeps.md)")
    dry_run: bool = setting(False, "say what would be done, and end")
    local: bool = setting(False, "one model after the other, without Ray")
    workers: int | None = setting(
        None, "models at once (default: one for each core, or for each group of GPUs)", environment="WORKERS", minimum=1
    )
    shard: str | None = setting(None, "only this share of the models, for a job array: 3/16", environment="SHARD")
    yes: bool = setting(False, "take more than 10,000 configurations")
    outroot: str | None = setting(
        None, "folder of the sweep's results (default: outputs/sweeps/NAME)", environment="OUTROOT"
    )
    outdir: str = setting(
        "unlearned_models", "folder under which the models' own folders are made", environment="UNLEARNED_ROOT"
    )
    keep_weights: bool = setting(False, "keep every model's weights, whatever the file and NO_SAVE say")


def sweep_settings(_only: str | None = None) -> SettingsTypes:
    """The sweep's own settings; its models' are in the file."""
    return [(SweepSettings, {})]


def sweep(given: Given, environment: Environment) -> int:
    """Carry a sweep out, or say what it would do."""
    from brittle.sweeps import configurations as expanded
    from brittle.sweeps.file import read

    settings = resolve(SweepSettings, given, environment)
    found, words = read(settings.file or ""), dict(environment or {})
    if settings.keep_weights:
        words.pop("NO_SAVE", None)
        found = replace(found, common={**found.common, "no_save": "false"})
    every = expanded.configurations(found, words, settings.yes)
    own = expanded.share(every, settings.shard)
    for line in _lines(found, every, own):
        print(line)
    if settings.dry_run:
        return 0
    from brittle.commands.sweep_run import carry_out

    return carry_out(settings, found, own, words)


def _lines(sweep: Sweep, every: list[Configuration], own: list[Configuration]) -> list[str]:
    """What the sweep comes to."""
    methods: dict[str, int] = {}
    for each in own:
        methods[each.resolved.make.method] = methods.get(each.resolved.make.method, 0) + 1
    share = f", {len(own)} of them in this share" if len(own) < len(every) else ""
    stages = {"diagnose": sweep.diagnose, "attack": sweep.attack}
    return [
        f"{sweep.name}: {progress.several(len(every), 'configuration')}{share}",
        "methods: " + ", ".join(f"{name} {count}" for name, count in methods.items()),
        "stages: make, evaluate" + "".join(f", {word} ({', '.join(s.names)})" for word, s in stages.items() if s),
        *(f"  {each.title}" for each in own[:SHOWN]),
        *([f"  … and {len(own) - SHOWN} more"] if len(own) > SHOWN else []),
    ]
