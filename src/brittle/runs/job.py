"""The one shape of work that leaves a record: what it depends on, where it lies, how large it is, how it is done.

Laboratory models, unlearned models, evaluations, published benchmarks, diagnoses, attacks and trials of methods are jobs.
What runs many of them (a sweep, a pipeline) asks which are missing and carries these out, side by side, in any order; a
killed run goes on with the rest. Diagnoses of the same models share what they load where one process carries them out
(:func:`brittle.runs.diagnosis_job.together`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Protocol, TypeVar

from brittle.records import Identity, check_place, is_complete
from brittle.runs import executor


class Job(Protocol):
    """Work with a record. It travels to worker processes, so it holds no models."""

    @property
    def identity(self) -> Identity:
        """What the result depends on: equal identities, equal results."""

    @property
    def folder(self) -> Path:
        """Where the record lies."""

    @property
    def size(self) -> int:
        """About how many steps it takes, for the progress bar."""

    def carry_out(self, tick: executor.Tick) -> None:
        """Do the work and write the record."""


Some = TypeVar("Some", bound=Job)


def missing(jobs: Iterable[Some], force: bool = False) -> list[Some]:
    """Those that have no complete record of their identity (with ``force`` all)."""
    return [job for job in jobs if force or not is_complete(job.folder, job.identity)]


def carry_out(jobs: Sequence[Job], title: str, workers: int | None = None) -> None:
    """Do all jobs in worker processes, ``workers`` at once (None: one per core).

    Raises:
        BadInput: a record cannot be written to its place; nothing is begun then.
    """
    for job in jobs:
        check_place(job.folder, job.identity.kind)
    executor.run([executor.Task(job.carry_out, (), job.size) for job in jobs], title, workers=workers)
