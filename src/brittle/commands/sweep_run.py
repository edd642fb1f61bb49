"""Carry a sweep out: what is finished is left alone, references come first, then every model that is missing."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from brittle import progress, stopping
from brittle.commands.sweep_end import finish
from brittle.commands.sweep_groups import Groups, groups
from brittle.commands.sweep_model import SweepModel, SweepReferences
from brittle.commands.sweep_search import Search
from brittle.commands.sweep_settings import SweepSettings, again
from brittle.commands.sweep_shown import shown
from brittle.commands.sweep_stages import asks, work_on
from brittle.models.references import hub_name
from brittle.runs import laboratory_models, once
from brittle.suites import laboratory
from brittle.sweeps import optuna_search
from brittle.sweeps.configurations import Configuration, configuration
from brittle.sweeps.driver import Driver, Entry, Status, counts
from brittle.sweeps.file import Sweep
from brittle.sweeps.pools import Pool, Processes, SweepJob
from brittle.sweeps.state import Place
from brittle.sweeps.state import driver as driver_of_sweep


@dataclass(frozen=True)
class Run:
    """One run of a sweep's command. Of a search ``own`` are the corners of its space."""

    settings: SweepSettings
    sweep: Sweep
    own: Sequence[Configuration]
    words: Mapping[str, str]

    @property
    def outputs(self) -> Path:
        """Where results go."""
        return Path(self.settings.outroot or Path("outputs") / "sweeps" / self.sweep.name)

    @cached_property
    def places(self) -> dict[str, Path]:
        """The outputs of every base: of several, a folder each."""
        bases = list(dict.fromkeys(each.resolved.make.model for each in self.own))
        return {base: self.outputs / hub_name(base) if len(bases) > 1 else self.outputs for base in bases}

    @cached_property
    def planned(self) -> Groups:
        """GPUs of every configuration."""
        return groups(self.own, self.settings.gpus_per_job, self.sweep.attack)

    def model(self, each: Configuration) -> SweepModel:
        """A configuration with its stages."""
        place = self.places[each.resolved.make.model]
        return SweepModel(self.sweep, each.given, each.title, each.environment, place, Path(self.settings.outdir))

    def gpus(self, job: SweepJob) -> int:
        """As many as planned; what was not planned for itself takes as many as the hungriest."""
        return self.planned.each.get(job.title, max(self.planned.each.values(), default=min(self.planned.gpus, 1)))


def carry_out(settings: SweepSettings, sweep: Sweep, own: Sequence[Configuration], words: Mapping[str, str]) -> int:
    """Do what is left of a sweep and say what it came to; 1 if a model failed."""
    run = Run(settings, sweep, own, words)
    if (address := words.get("RAY_ADDRESS")) and not settings.local and _has_ray():
        from brittle.sweeps.ray_pool import check_answers

        check_answers(address)
    _build_laboratories([*run.places, sweep.search.filtered, sweep.search.control])
    for base, place in run.places.items():
        laboratory_models.find(base)
        if sweep.diagnose or sweep.attack:
            work_on(sweep, base, place)  # refuses what does not fit before a model is made
    models, failed = _search(run) if sweep.search.search == "optuna" else _all(run)
    for line in finish(sweep, models, run.outputs, settings.score):
        print(line)
    return 1 if failed else 0


def _all(run: Run) -> tuple[list[SweepModel], int]:
    """Every configuration."""
    models = [run.model(each) for each in run.own]
    with once.remembering():
        left = [model for model in models if not model.finished()]
    print(f"{len(models) - len(left)} of {progress.several(len(models), 'model')} finished before")
    if not left:
        return models, 0
    waiting = {model.title for model in left}
    before = [model for model in models if model.title not in waiting]
    return models, _drive(run, before, _phases(run, left))


def _search(run: Run) -> tuple[list[SweepModel], int]:
    """As many as a search tries."""
    wanted = run.sweep.search
    fixed = dict([("model", name) for name in wanted.base] + [("seed", str(seed)) for seed in wanted.seeds])
    with optuna_search.study(run.outputs, run.sweep.blocks, fixed, wanted.trials, wanted.search_seed) as study:
        score = None if run.settings.score == "auto" else run.settings.score
        search = Search(study, lambda given: run.model(configuration(run.sweep, given, run.words)), run.gpus, score)
        before = search.before()
        print(f"{len(before)} of {progress.several(wanted.trials, 'trial')} finished before")
        failed = _drive(run, before, _phases(run, []), search) if len(before) < wanted.trials else 0
        return search.models, failed


def _drive(
    run: Run, before: Sequence[SweepModel], phases: Sequence[Sequence[SweepJob]], search: Search | None = None
) -> int:
    """Run all jobs; returns how many failed."""
    print("\n".join(run.planned.lines))
    new = sum(isinstance(job, SweepModel) for phase in phases for job in phase)
    new += run.sweep.search.trials - len(before) if search else 0
    references = sum(isinstance(job, SweepReferences) for phase in phases for job in phase)
    about = {
        "name": run.sweep.name,
        "file": str(run.sweep.path),
        "models": len(before) + new,
        "driver": driver_of_sweep(),
    }
    about |= {
        "again": again(run.settings, run.outputs),
        "folder": os.getcwd(),
        "outdir": str(Path(run.settings.outdir).absolute()),
    }
    driver = Driver(
        _pool(run), Place(run.outputs), [Entry(model, Status.BEFORE) for model in before], _largest(run),
        Path(run.settings.outdir), run.planned.gpus, max(run.planned.each.values(), default=0) if search else 0, about=about,
    )  # fmt: skip
    try:
        with shown(driver, new + references), stopping.gently(driver.stop):
            for number, phase in enumerate(phases, 1):
                driver.entries += [Entry(job, gpus=run.gpus(job)) for job in phase]
                if search and number == len(phases):
                    driver.more, driver.ended = search.more, search.ended
                driver.run()
    finally:
        driver.pool.end()
    return _tell(driver)


def _phases(run: Run, left: Sequence[SweepModel]) -> list[list[SweepJob]]:
    """The retrained control comes before all that it stands beside, the other references beside the models."""
    search = run.sweep.search
    roles = {"retrained": search.control, "base": "base", "filtered": search.filtered}
    first: list[SweepJob] = []
    second: list[SweepJob] = []
    staged = run.sweep.diagnose or run.sweep.attack
    for base, place in [(base, place) for base, place in run.places.items() if staged or asks(base)]:
        for role, reference in roles.items():
            if reference and reference != "none":
                job = SweepReferences(run.sweep, base, role, place)
                (first if role == "retrained" else second).append(job)
    return [*([first] if first else []), [*second, *left]]


def _pool(run: Run) -> Pool:
    """Ray where it is installed; ``--local``: one worker process after the other."""
    settings, gpus = run.settings, run.planned.gpus
    if settings.local:
        return Processes(1, range(gpus))
    if _has_ray():
        from brittle.sweeps.ray_pool import RayNodes

        address = run.words.get("RAY_ADDRESS") or None
        return RayNodes(settings.workers if address else run.planned.workers(settings.workers), gpus, address)
    progress.say("note: Ray is not installed (uv sync --extra sweeps), so that only this machine's processes take part")
    return Processes(run.planned.workers(settings.workers), range(gpus))


def _has_ray() -> bool:
    return importlib.util.find_spec("ray") is not None


def _build_laboratories(references: Sequence[str | None]) -> None:
    """Those of the references that are laboratory models, side by side in each laboratory."""
    names: dict[laboratory.Laboratory, list[str]] = {}
    for reference in references:
        if reference and reference.startswith(laboratory.PREFIX):
            name, own = laboratory.parse(reference)
            names.setdefault(own, []).append(name)
    for own, some in names.items():
        laboratory_models.build(own, list(dict.fromkeys(some)))


def _largest(run: Run) -> int:
    """Bytes of the largest base's weights: about what a checkpoint takes."""
    folders = [laboratory_models.find(base).folder for base in run.places]
    return max(sum(path.stat().st_size for path in folder.glob("*.safetensors")) for folder in folders)


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
