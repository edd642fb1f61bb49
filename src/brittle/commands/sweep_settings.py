"""The settings of ``brittle sweep``: which file, where, how much at once. Its models' settings are in the file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from brittle.commands.options import Given, SettingsTypes
from brittle.results.scores import SCORES
from brittle.settings import fields_of, flag_of, setting


@dataclass(frozen=True)
class SweepSettings:
    """Which sweep, where, and how much at once."""

    file: str | None = setting(None, "the sweep's YAML file (docs/sweeps.md)")
    dry_run: bool = setting(False, "say what would be done, and end")
    simulate: str | None = setting(
        None, "say how long it would take elsewhere, and end: nodes=100,gpus=8 (further keys: docs/scaling.md)"
    )
    noted: str | None = setting(None, "folder of notes of run_unlearn.sh, in place of a file (parallel_sweep.sh)")
    local: bool = setting(False, "one model after the other, without Ray")
    workers: int | None = setting(
        None, "models at once (default: one for each core, or for each group of GPUs)", environment="WORKERS", minimum=1
    )
    gpus_per_job: int | None = setting(
        None, "GPUs for each model (default: by the memory plan)", environment="GPUS_PER_JOB", minimum=1, maximum=1024
    )
    shard: str | None = setting(None, "only this share of the models, for a job array: 3/16", environment="SHARD")
    yes: bool = setting(False, "take more than 10,000 configurations")
    outroot: str | None = setting(
        None, "folder of the sweep's results (default: outputs/sweeps/NAME)", environment="OUTROOT"
    )
    outdir: str = setting(
        "unlearned_models", "folder under which the models' own folders are made", environment="UNLEARNED_ROOT"
    )
    score: str = setting("auto", "what models are ranked by at the end (brittle rank)", choices=("auto", *SCORES))
    race: bool = setting(
        False, "stop trials and strengths of attacks that bring back less than others (as race: true under attack)"
    )
    keep_weights: bool = setting(False, "keep every model's weights, whatever the file and NO_SAVE say")


def sweep_settings(_only: str | None = None) -> SettingsTypes:
    """The sweep's own settings; its models' are in the file."""
    return [(SweepSettings, {})]


def lacking(given: Given) -> list[str]:
    """A file or notes."""
    return [] if given.get("file") or given.get("noted") else ["file"]


def again(settings: SweepSettings, outputs: Path) -> list[str]:
    """The arguments by which the same sweep goes on, from whatever folder."""
    places = {"file": settings.file, "noted": settings.noted, "outdir": settings.outdir, "outroot": str(outputs)}
    words = []
    for field in fields_of(SweepSettings):
        value = getattr(settings, field.name)
        if field.name in places:
            value = str(Path(places[field.name] or "").absolute()) if places[field.name] else None
        elif value == field.default:
            continue
        if field.name == "file":
            words += [value] if value else []
        elif field.type is bool:
            words.append(flag_of(field))
        elif value is not None:
            words += [flag_of(field), str(value)]
    return words
