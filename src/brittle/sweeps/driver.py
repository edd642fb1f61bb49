"""Carry a sweep's jobs out: in order, as many at once as the pool has room for; what is lost is tried again.

A job that runs out of GPU memory moves to a larger group once. One that another process is doing is left alone. One that
does not fit on the disk waits until others have ended. One that fails stops no other.
"""

from __future__ import annotations

import shutil
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from brittle import leases, progress
from brittle.records import write_json
from brittle.sweeps.pools import WAS_DONE, Ended, Lost, Pool, SweepJob
from brittle.sweeps.state import Place, at_work, forget_ended

TRIES = 3
"""Times that a job is begun before one whose process is lost each time counts as failed."""
LOOK = 1.0
"""Seconds between two looks at what runs."""


class Status(StrEnum):
    """How far a job is, in the words that ``sweep.json`` and the terminal have."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    ELSEWHERE = "elsewhere"
    """Another process is at it."""
    BEFORE = "done before"
    """It was finished when the sweep began."""
    OTHERS = "done by others"
    """Another process finished it in the meantime."""
    NO_ROOM = "no room on the disk"


@dataclass
class Entry:
    """One job and how far it is."""

    job: SweepJob
    status: Status = Status.QUEUED
    reason: str = ""
    gpus: int = 0
    tries: int = 0
    began: float = 0.0
    seconds: float = 0.0
    larger: bool = False
    """Whether it was moved to a larger group already."""


@dataclass
class Driver:
    """One run of a sweep."""

    pool: Pool
    place: Place
    entries: list[Entry]
    bytes_of_model: int = 0
    """What a job's checkpoint takes on the disk; the disk is the one of ``models``."""
    models: Path = Path(".")
    most_gpus: int = 0
    least_gpus: int = 0
    """What must be free before a search is asked for more."""
    stopping: bool = False
    """Set by Ctrl-C: nothing new begins."""
    about: dict[str, Any] = field(default_factory=dict)
    """What ``sweep.json`` says beside the jobs."""
    show: Callable[[Mapping[str, Any]], None] = lambda _: None
    """Shown what ``sweep.json`` says, every time it is written."""

    more: Callable[[], Entry | None] = lambda: None
    """Gives a further job where there is room for one: of a search, which chooses by what earlier jobs scored."""
    ended: Callable[[Entry], None] = lambda _: None
    """Told of every job that is over."""

    def run(self) -> None:
        """Until nothing is left that can be begun, and all that was begun has ended."""
        try:
            while self._begin() or self._running():
                for ended in self.pool.wait(LOOK):
                    self._hear(self.entries[ended.key], ended)
                self.write()
        finally:
            self.pool.close()
            for entry in self._running():
                entry.status = Status.QUEUED
            forget_ended(self.place)
            self.write()

    def stop(self) -> None:
        """Begin nothing new; what runs goes on to its end."""
        self.stopping = True
        progress.say(
            f"{progress.several(len(self._running()), 'model')} still at work will be finished; Ctrl-C again stops them"
        )

    def _running(self) -> list[Entry]:
        return [entry for entry in self.entries if entry.status == Status.RUNNING]

    def _begin(self) -> bool:
        """Begin what there is room for, and ask a search for more; whether anything was begun."""
        begun = self._begin_queued()
        while not self.stopping and self.pool.room(self.least_gpus) and (entry := self.more()) is not None:
            self.entries.append(entry)
            begun = self._begin_queued() or begun
        return begun

    def _begin_queued(self) -> bool:
        begun = False
        for key, entry in enumerate(self.entries):
            if self.stopping or entry.status not in (Status.QUEUED, Status.NO_ROOM):
                continue
            if not self.pool.room(entry.gpus):
                break
            if not self._fits():
                if entry.status == Status.QUEUED:
                    progress.say(
                        f"note: {self.models} has no room for another model; jobs wait until others have ended",
                        once=True,
                    )
                entry.status = Status.NO_ROOM
                break
            entry.status, entry.began, entry.tries = Status.RUNNING, time.time(), entry.tries + 1
            self.pool.submit(key, entry.job, entry.gpus)
            begun = True
        return begun

    def _fits(self) -> bool:
        """Whether the disk holds one checkpoint more than those that running jobs may still write."""
        try:
            free = shutil.disk_usage(_existing(self.models)).free
        except OSError:
            return True
        return free > self.bytes_of_model * (1 + len(self._running()))

    def _hear(self, entry: Entry, ended: Ended) -> None:
        entry.seconds += time.time() - entry.began
        problem = ended.problem
        if problem is None:
            entry.status = Status.OTHERS if ended.result == WAS_DONE else Status.DONE
        elif isinstance(problem, leases.Busy):
            entry.status, entry.reason = Status.ELSEWHERE, str(problem).partition(";")[0]
        elif isinstance(problem, Lost) and entry.tries < TRIES:
            entry.status = Status.QUEUED
            progress.say(f"{entry.job.title}: {problem}; it is begun again ({entry.tries} of {TRIES} times)")
        elif is_out_of_memory(problem) and not entry.larger and 0 < entry.gpus < self.most_gpus:
            entry.status, entry.gpus, entry.larger = Status.QUEUED, 2 * entry.gpus, True
            progress.say(f"{entry.job.title}: out of memory; it is begun again on {entry.gpus} GPUs")
        else:
            entry.status, entry.reason = Status.FAILED, " ".join(str(problem).split())
            progress.say(f"failed: {entry.job.title}: {entry.reason}")
        if entry.status != Status.QUEUED:
            self.ended(entry)

    def write(self) -> None:
        """``sweep.json``: every job with its status, and of running ones the stage, the steps and the time left."""
        notes = {note["title"]: note for note in at_work(self.place)}
        content = self.about | {
            "updated": time.time(),
            "stopping": self.stopping,
            "jobs": [_row(each, notes) for each in self.entries],
        }
        write_json(self.place.summary, content)
        self.show(content)


def _row(entry: Entry, notes: dict[str, dict[str, Any]]) -> dict[str, Any]:
    row: dict[str, Any] = {
        "title": entry.job.title,
        "status": entry.status,
        "reason": entry.reason,
        "seconds": round(entry.seconds, 1),
    }
    note = notes.get(entry.job.title)
    if note and entry.status in (Status.RUNNING, Status.ELSEWHERE):
        passed = time.time() - note["started"]
        left = passed * (note["of"] / note["done"] - 1) if 0 < note["done"] <= note["of"] else None
        row |= {
            "stage": note["stage"],
            "done": note["done"],
            "of": note["of"],
            "seconds_left": left,
            "host": note["host"],
        }
    return row


def is_out_of_memory(problem: BaseException) -> bool:
    """Whether a job ended because an accelerator's memory was full; told by the words that travel from a worker."""
    return "OutOfMemoryError" in f"{type(problem).__name__}: {problem}" or "out of memory" in str(problem).lower()


def _existing(path: Path) -> Path:
    path = path.absolute()
    return path if path.exists() else _existing(path.parent)


def counts(entries: Sequence[Entry]) -> dict[str, int]:
    """How many jobs have each status."""
    return Counter(entry.status for entry in entries)
