"""Where jobs of a sweep run: worker processes of this machine here, Ray's nodes in :mod:`brittle.sweeps.ray_pool`."""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from typing import Protocol

from brittle import progress
from brittle.runs import executor

WAS_DONE = "was done"
"""What a job returns whose work another process had finished in the meantime."""


class Lost(Exception):
    """The process or the machine that a job ran on is gone."""


class SweepJob(Protocol):
    """What a pool carries out; it can be pickled."""

    @property
    def title(self) -> str:
        """For people."""

    def carry_out(self, tick: executor.Tick) -> str:
        """Do the work; returns how it ended."""


@dataclass
class Ended:
    """One job that is over: what it returned, or why it did not."""

    key: int
    result: str | None = None
    problem: BaseException | None = None


class Pool(Protocol):
    """Jobs side by side, each on its own GPUs where there are some."""

    def room(self, gpus: int) -> bool:
        """Whether a job of so many GPUs can begin now."""

    def submit(self, key: int, job: SweepJob, gpus: int) -> None:
        """Begin a job."""

    def wait(self, seconds: float) -> list[Ended]:
        """What ended within that time."""

    def close(self) -> None:
        """End what still runs."""

    def end(self) -> None:
        """Nothing is submitted any more."""


@dataclass
class _Busy:
    connection: Connection
    process: int
    gpus: tuple[int, ...]


@dataclass
class Processes:
    """Forked workers of this machine: ``workers`` at once, or as many as groups of ``gpus`` allow."""

    workers: int
    gpus: Sequence[int] = ()
    """Numbers of the GPUs; none: on the CPU."""
    needs: Sequence[str] = ("brittle.commands.sweep_model",)
    busy: dict[int, _Busy] = field(default_factory=dict)

    def room(self, gpus: int) -> bool:
        """As :class:`Pool` says."""
        return len(self.busy) < self.workers and gpus <= len(self._free())

    def _free(self) -> list[int]:
        taken = {number for each in self.busy.values() for number in each.gpus}
        return [number for number in self.gpus if number not in taken]

    def submit(self, key: int, job: SweepJob, gpus: int) -> None:
        """As :class:`Pool` says; the job's process sees its own GPUs alone."""
        own = tuple(self._free()[:gpus])
        shown = {"CUDA_VISIBLE_DEVICES": ",".join(map(str, own))} if self.gpus else {}
        connection = executor.start(self.needs, **shown)
        connection.send_bytes(pickle.dumps(executor.Task(job.carry_out, ())))
        self.busy[key] = _Busy(connection, 0, own)

    def wait(self, seconds: float) -> list[Ended]:
        """As :class:`Pool` says."""
        end, found = time.monotonic() + seconds, list[Ended]()
        while not found and (left := end - time.monotonic()) > 0 and self.busy:
            speaking = wait([each.connection for each in self.busy.values()], timeout=left)
            found = [
                ended for key in list(self.busy) if self.busy[key].connection in speaking for ended in self._hear(key)
            ]
        return found

    def _hear(self, key: int) -> list[Ended]:
        each = self.busy[key]
        try:
            kind, content = pickle.loads(each.connection.recv_bytes())
        except (EOFError, ConnectionError):
            kind, content = "failed", Lost("its process was killed, most often because memory ran out")
        if kind == "ready":
            each.process = content
        elif kind == "said":
            progress.relayed(*content)
        elif kind in ("done", "failed"):
            del self.busy[key]
            each.connection.close()
            return [Ended(key, content) if kind == "done" else Ended(key, problem=content)]
        return []

    def close(self) -> None:
        """As :class:`Pool` says: each has a moment to remove what is half-written."""
        for number, patience in ((signal.SIGTERM, executor.PATIENCE), (signal.SIGKILL, 0.5)):
            for each in self.busy.values():
                if each.process:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(each.process, number)
            end = time.monotonic() + patience
            while self.busy and time.monotonic() < end:
                self.wait(0.1)
        for each in self.busy.values():
            each.connection.close()

    def end(self) -> None:
        """As :class:`Pool` says."""
        self.close()
