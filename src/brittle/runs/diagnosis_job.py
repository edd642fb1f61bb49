"""One diagnostic of one model, pair or table as a job; those of the same models are carried out together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from brittle import discovery, progress
from brittle.records import Identity, writing
from brittle.runs import controls
from brittle.runs.executor import Tick
from brittle.runs.failures import Failure
from brittle.runs.listeners import Listener
from brittle.runs.observations import code_of, needs_of, observe, read_by, reads_records
from brittle.runs.passes import READ
from brittle.runs.session import Subject


@dataclass(frozen=True)
class Diagnosis:
    """A diagnostic with its settings and what it looks at, as a :class:`brittle.runs.job.Job`."""

    subject: Subject
    name: str
    settings: Any

    @property
    def plugin(self) -> discovery.Plugin:
        """The diagnostic."""
        return discovery.find("diagnostics", self.name)

    @cached_property
    def identity(self) -> Identity:
        """The models, what they are shown, the code and the settings."""
        read: dict[str, Any] = {"source": code_of(self.plugin.module, needs_of(self.plugin))}
        words = read_by([self.plugin])
        for word, found in READ.items():
            read |= found(self.subject.session) if word in words else {}
        return Identity(self.name, {**self.subject.inputs, **read}, vars(self.settings))

    @property
    def folder(self) -> Path:
        """The folder of its name in that of the models, unless the user chose another."""
        return self.subject.session.place(self.subject.folder, self.name)

    @property
    def figures(self) -> list[Path]:
        """Its figures that will lie outside its folder."""
        from brittle.figures.files import outside

        return outside(self.plugin.load().FIGURES, self.folder, self.subject.session.plots(self.name))

    @property
    def size(self) -> int:
        """One record."""
        return 1

    def carry_out(self, tick: Tick) -> None:
        """Load the models unless the session has, show them to it alone, write the record."""
        for failure in together([self]):
            raise failure.problem
        tick(1)

    def write(self, listener: Listener) -> None:
        """The record of what was found, with controls and figures."""
        from brittle.figures.declared import write_declared

        session, module, own = self.subject.session, listener.module, listener.results["own"]
        random = listener.results.get("random")
        beside = self.subject.beside
        retrained = controls.recorded(beside / self.name) if beside else None
        tables, summary = controls.joined(own, module.FIGURES, {"random": random, "retrained": retrained})
        with writing(self.folder, self.identity) as draft:
            draft.note(**listener.notes)
            draft.took(listener.time.seconds, listener.time.shared, listener.time.shared_with)
            controls.write(draft, tables, module.FIGURES)
            if random is not None:
                (draft.folder / "controls" / "random").mkdir(parents=True)
                controls.write(draft, random.tables, module.FIGURES, "controls/random/")
            if summary:
                draft.summary(summary, own.summary_name)
            if {"texts", "questions"} & read_by([self.plugin]):
                draft.note(**session.ran)
            subtitle = session.title if session.title and session.is_named(self.name) else self.subject.title
            write_declared(module.FIGURES, draft.folder, self.folder, subtitle, session.plots(self.name))


def together(jobs: Sequence[Diagnosis]) -> list[Failure]:
    """Carry out diagnoses of the same models side by side: each pass is run once for all of them.

    What is read from others' records comes after them. Returns what failed; one that fails stops no other.
    """
    failures: list[Failure] = []
    for later in (False, True):
        some = [job for job in jobs if reads_records(job.plugin) == later]
        listeners = [Listener(job.plugin.load(), job.settings, job.identity) for job in some]
        if some:
            observe(listeners, some[0].subject)
        for job, listener in zip(some, listeners):
            listener.finish()
            listener.guard(job.write, listener)
            if listener.problem is not None:
                failures.append(Failure(job.name, job.subject.title, listener.problem))
        if done := [listener.identity.kind for listener in listeners if listener.problem is None]:
            progress.step(f"{some[0].subject.title}: measured {', '.join(done)}")
    return failures
