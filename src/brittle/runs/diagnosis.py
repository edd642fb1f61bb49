"""Diagnose models: what no complete record covers is measured, with controls, each model loaded once.

A diagnostic that fails is listed in :attr:`Comparison.failures` and stops no other.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from brittle.evaluation import multiple_choice_accuracy as accuracy
from brittle.models.references import Located
from brittle.runs.chosen import chosen
from brittle.runs.diagnosis_job import Diagnosis, together
from brittle.runs.evaluation_job import ModelEvaluation
from brittle.runs.failures import Failure, check_places, stands
from brittle.runs.job import missing
from brittle.runs.observations import reads_records
from brittle.runs.session import Session, Subject
from brittle.suites import laboratory


@dataclass
class Comparison(Session):
    """One session over a set of models, part by part: pairs, single models, tables."""

    def pair(self, a: Located, b: Located) -> Path:
        """All diagnostics of scope ``pair`` for a → b, the control's first; returns the comparison's folder."""
        subject = Subject(self, (a, b))
        if subject.control is not None and not self.outdir:
            self.pair(a, subject.control)
        self.failures += together(self.diagnoses(subject))
        return subject.folder

    def model(self, located: Located) -> Path:
        """Everything that is asked of one model: evaluation, lens, probes; returns the model's folder."""
        subject = Subject(self, (located,))
        for evaluation in self.evaluations(located):
            try:
                evaluation.carry_out(lambda _: None)
            except Exception as problem:  # listed; the other diagnostics go on
                self.failures.append(Failure(accuracy.NAME, located.name, problem))
        self.failures += together(self.diagnoses(subject))
        return subject.folder

    def tables(self, table: Path) -> Path:
        """The diagnostics that read what step 1 wrote, from any table of that form; returns the comparison's folder."""
        subject = Subject(self, table=table)
        jobs = self.diagnoses(subject)
        check_places({job.folder: job.figures for job in jobs})
        self.failures += together(jobs)
        return subject.folder

    def check(self, parts: Iterable[tuple[Located, ...]]) -> None:
        """Refuse, before any work, models that cannot be compared and places that cannot be written to."""
        from brittle.models.loading import check_same_architecture, check_same_vocabulary

        for part in parts:
            if len(part) > 1:
                check_same_architecture(*part)
                check_same_vocabulary(*part)
                laboratory.check_same_world(*part)
            places = {job.folder: job.figures for job in self.diagnoses(Subject(self, part))}
            if len(part) == 1:
                places |= {evaluation.folder: [] for evaluation in self.evaluations(part[0])}
            check_places(places)

    def diagnoses(self, subject: Subject) -> list[Diagnosis]:
        """The diagnostics of one model, pair or table that have no complete record."""
        jobs = []
        for plugin, settings in chosen(self.overrides, self.only, subject.scope):
            job = Diagnosis(subject, plugin.name, settings)
            if subject.table is not None and not reads_records(plugin):
                continue
            if not (job.name in self.standing and stands(job.folder, job.identity)):
                jobs.append(job)
        return missing(jobs, self.force)

    def evaluations(self, located: Located) -> list[ModelEvaluation]:
        """The evaluation of one model, where it is asked for and has no complete record."""
        asked = not self.only or accuracy.NAME in self.only
        return missing([ModelEvaluation(self, located)] if asked else [], self.force)

    def raise_failures(self) -> None:
        """For a single diagnostic: what went wrong, as it was raised."""
        for failure in self.failures:
            raise failure.problem
