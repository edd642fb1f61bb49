"""One model of a sweep from its settings to its last record: made, evaluated, diagnosed, attacked; then its weights may go.

Whatever engine carries it out calls :meth:`SweepModel.carry_out` in a process of its own. What is complete is not done again,
what another process is doing is left alone, and what was killed goes on.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from brittle import leases, source
from brittle.commands.sweep_stages import attack_settings, measure, work_on
from brittle.models.references import Located, locate
from brittle.places import parents_of, read_summary
from brittle.records import Identity, is_complete, writing
from brittle.runs import laboratory_models, once, stages, unlearning, unlearning_plan
from brittle.runs.executor import Tick
from brittle.runs.failures import Failure
from brittle.settings import BadInput, as_dictionary
from brittle.sweeps.file import Sweep
from brittle.sweeps.pools import WAS_DONE
from brittle.sweeps.state import Place, Reporter

KIND = "sweep model"


@dataclass(frozen=True)
class SweepModel:
    """One configuration with the stages of its sweep. It travels to other processes and machines."""

    sweep: Sweep
    given: Mapping[str, str]
    title: str
    environment: Mapping[str, str]
    """What the sweep's own process was started with: settings that neither file nor flags name are read from it."""
    outputs: Path
    """Where records of this sweep's stages go."""
    folder_of_models: Path

    @cached_property
    def plan(self) -> unlearning_plan.Plan:
        """What is made; its base is built or fetched if it is not there."""
        given = {**self.given, "outdir": str(self.folder_of_models), "resume": True}
        return unlearning_plan.plan(given, self.environment)

    def __getstate__(self) -> dict[str, Any]:
        return {each.name: getattr(self, each.name) for each in dataclasses.fields(self)}

    @property
    def later(self) -> bool:
        """Whether anything follows making and evaluating it."""
        return bool(self.sweep.diagnose or self.sweep.attack)

    @cached_property
    def identity(self) -> Identity:
        """The model's own, the stages with their code, and the references that they stand beside."""
        named = {"diagnostics": self.sweep.diagnose, "attacks": self.sweep.attack}
        modules = [
            f"brittle.{folder}.{name}" for folder, stage in named.items() for name in (stage.names if stage else ())
        ]
        beside = [self.sweep.search.filtered, self.sweep.search.control]
        inputs = {
            "model": self.plan.identity.fingerprint,
            "source": source.digest_of(*modules, "brittle.models.likelihood", files=("brittle.runs.attack_job",)),
            "references": [
                once.asked(laboratory_models.find, text).digest for text in beside if text and text != "none"
            ],
        }
        given = {folder: dict(stage.given) | {"names": stage.names} for folder, stage in named.items() if stage}
        attacks = once.asked(attack_settings, self.sweep.attack)
        ready = {name: as_dictionary(each) for name, each in attacks.items()}
        return Identity(KIND, inputs, {"stages": given, "attacks": ready})

    @property
    def folder(self) -> Path:
        """Where its record as a part of the sweep lies."""
        return Place(self.outputs).record(self.plan.folder.name)

    @property
    def size(self) -> int:
        """Optimizer steps of making it."""
        return unlearning_plan.planned_steps(self.plan)

    def finished(self) -> bool:
        """Whether nothing is left to do: here, or, where nothing was begun here and W&B has it, anywhere."""
        if self.later and not is_complete(self.folder, self.identity):
            return False
        return stages.finished_anywhere(self.plan)

    def measured(self) -> Located | None:
        """The model as its records name it, if it went through all stages; its weights may be gone."""
        if not (self.later and is_complete(self.folder, self.identity)):
            return None
        content = read_summary(self.folder)
        return Located(content["folder"], content["model"], Path(content["folder"]), content["digest"])

    def carry_out(self, tick: Tick) -> str:
        """Go through the stages that are left; returns ``done``, or ``was done``.

        Raises:
            Busy: another process does it.
            BadInput: a stage failed; the others have been carried out.
        """
        with parents_of(self.folder), leases.held(self.folder):
            if self.finished():
                return WAS_DONE
            with Reporter(Place(self.outputs), self.plan.folder.name, self.title, self.size) as reporter:
                self._go_through(reporter.ticking(tick), reporter)
        return "done"

    def _go_through(self, tick: Tick, reporter: Reporter) -> None:
        reporter.tell("unlearn")
        keeping = dataclasses.replace(self.plan, make=dataclasses.replace(self.plan.make, no_save=False))
        folder = unlearning.make_model(keeping if self.later else self.plan, tick)
        if self.later:
            work = work_on(self.sweep, self.plan.make.model, self.outputs, str(folder))
            model = locate(str(folder))
            _raise(measure(self.sweep, work, [model], tick, reporter.tell))
            with writing(self.folder, self.identity) as draft:
                draft.summary({"model": model.name, "digest": model.digest, "folder": str(folder), "title": self.title})
            unlearning.finish(self.plan)
        if left := stages.outstanding(self.plan):
            raise BadInput(f"{', '.join(left)} is left to do: a line above says why")


@dataclass(frozen=True)
class SweepReferences:
    """One reference of a sweep: diagnosed and attacked once, for all models to stand beside."""

    sweep: Sweep
    base: str
    role: str
    outputs: Path

    @property
    def title(self) -> str:
        """For people."""
        return f"reference: {self.role}"

    def carry_out(self, tick: Tick) -> str:
        """What is missing of it; another process that is at it is waited for."""
        place = Place(self.outputs)
        name = f"reference_{self.role}"
        with parents_of(place.record(name)), leases.held(place.record(name), wait=True):
            work = work_on(self.sweep, self.base, self.outputs)
            models = [arm.located for arm in work.arms if arm.role == self.role]
            with Reporter(place, name, self.title, 1) as reporter:
                failures = measure(self.sweep, work, models, reporter.ticking(tick), reporter.tell)
        _raise(failures)
        return "done"


def _raise(failures: Sequence[Failure]) -> None:
    """BadInput for stages that failed."""
    if failures:
        raise BadInput("; ".join(f"no {each.diagnostic} of {each.where}: {each.reason}" for each in failures))
