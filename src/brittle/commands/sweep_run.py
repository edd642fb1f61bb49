"""Carry a sweep out: what is finished is left alone, references come first, then every model that is missing."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from pathlib import Path

from brittle import progress, stopping
from brittle.commands.sweep_end import finish
from brittle.commands.sweep_groups import Groups, groups
from brittle.commands.sweep_model import SweepModel, SweepReferences
from brittle.commands.sweep_settings import SweepSettings
from brittle.commands.sweep_shown import shown
from brittle.commands.sweep_stages import asks, work_on
from brittle.models.references import hub_name
from brittle.runs import laboratory_models
from brittle.suites import laboratory
from brittle.sweeps.configurations import Configuration
from brittle.sweeps.driver import Driver, Entry, Status, counts
from brittle.sweeps.file import Sweep
from brittle.sweeps.pools import Pool, Processes, SweepJob
from brittle.sweeps.state import Place


def carry_out(settings: SweepSettings, sweep: Sweep, own: Sequence[Configuration], words: Mapping[str, str]) -> int:
    """Do what is left of a sweep and say what it came to; 1 if a model failed."""
    outputs = Path(settings.outroot or Path("outputs") / "sweeps" / sweep.name)
    bases = list(dict.fromkeys(each.resolved.make.model for each in own))
    places = {base: outputs / hub_name(base) if len(bases) > 1 else outputs for base in bases}
    _build_laboratories([*bases, sweep.search.filtered, sweep.search.control])
    for base, place in places.items():
        laboratory_models.find(base)
        if sweep.diagnose or sweep.attack:
            work_on(sweep, base, place)  # refuses what does not fit before a model is made
    models = [
        SweepModel(
            sweep, each.given, each.title, each.environment, places[each.resolved.make.model], Path(settings.outdir)
        )
        for each in own
    ]
    left = [model for model in models if not model.finished()]
    print(f"{len(models) - len(left)} of {progress.several(len(models), 'model')} finished before")
    failed = 0
    if left:
        titles = {model.title for model in left}
        planned = groups([each for each in own if each.title in titles], settings.gpus_per_job)
        print("\n".join(planned.lines))
        failed = _drive(settings, sweep, places, models, left, outputs, words, planned)
    for line in finish(sweep, models, outputs, settings.score):
        print(line)
    return 1 if failed else 0


def _build_laboratories(references: Sequence[str | None]) -> None:
    """Those of the references that are laboratory models, side by side in each laboratory."""
    names: dict[laboratory.Laboratory, list[str]] = {}
    for reference in references:
        if reference and reference.startswith(laboratory.PREFIX):
            name, own = laboratory.parse(reference)
            names.setdefault(own, []).append(name)
    for own, some in names.items():
        laboratory_models.build(own, list(dict.fromkeys(some)))


def _drive(
    settings: SweepSettings, sweep: Sweep, places: Mapping[str, Path], models: Sequence[SweepModel],
    left: Sequence[SweepModel], outputs: Path, words: Mapping[str, str], planned: Groups,
) -> int:  # fmt: skip
    """Run all jobs; returns how many failed."""
    about = {"name": sweep.name, "file": str(sweep.path), "models": len(models)}
    largest = max(_size(model) for model in left)
    waiting = {model.title for model in left}
    before = [Entry(model, Status.BEFORE) for model in models if model.title not in waiting]
    driver = Driver(
        _pool(settings, words, planned),
        Place(outputs),
        before,
        largest,
        Path(settings.outdir),
        planned.gpus,
        about=about,
    )
    phases = _phases(sweep, places, left, words)
    with shown(driver, sum(map(len, phases))), stopping.gently(driver.stop):
        try:
            for phase in phases:
                driver.entries += [Entry(job, gpus=planned.each.get(job.title, min(planned.gpus, 1))) for job in phase]
                driver.run()
        finally:
            driver.pool.end()
    return _tell(driver)


def _phases(
    sweep: Sweep, places: Mapping[str, Path], left: Sequence[SweepModel], words: Mapping[str, str]
) -> list[list[SweepJob]]:
    """The retrained control comes before all that it stands beside, the other references beside the models."""
    roles = {"retrained": sweep.search.control, "base": "base", "filtered": sweep.search.filtered}
    first: list[SweepJob] = []
    second: list[SweepJob] = []
    staged = sweep.diagnose or sweep.attack
    for base, place in [(base, place) for base, place in places.items() if staged or asks(base)]:
        for role, reference in roles.items():
            if reference and reference != "none":
                job = SweepReferences(sweep, base, role, words, place)
                (first if role == "retrained" else second).append(job)
    return [part for part in ([*first], [*second, *left]) if part]


def _pool(settings: SweepSettings, words: Mapping[str, str], planned: Groups) -> Pool:
    """Ray where it is installed; ``--local``: one worker process after the other."""
    if settings.local:
        return Processes(1, range(planned.gpus))
    address = words.get("RAY_ADDRESS") or None
    if importlib.util.find_spec("ray") is not None:
        from brittle.sweeps.ray_pool import RayNodes

        return RayNodes(settings.workers if address else planned.workers(settings.workers), planned.gpus, address)
    progress.say("note: Ray is not installed (uv sync --extra sweeps), so that only this machine's processes take part")
    return Processes(planned.workers(settings.workers), range(planned.gpus))


def _size(model: SweepModel) -> int:
    return sum(path.stat().st_size for path in model.plan.base.folder.glob("*.safetensors"))


def _tell(driver: Driver) -> int:
    """Say how the jobs ended; returns how many failed."""
    failed = [entry for entry in driver.entries if entry.status in (Status.FAILED, Status.NO_ROOM)]
    print(", ".join(f"{number} {status}" for status, number in counts(driver.entries).items()))
    for entry in failed:
        reason = entry.reason or f"{driver.models} is full; make room or name another --outdir"
        progress.error(f"{entry.status}: {entry.job.title}: {reason}")
    if any(entry.status == Status.ELSEWHERE for entry in driver.entries):
        print("what runs elsewhere is not waited for; the same command, later, writes the tables over all models")
    return len(failed)
