"""Independent jobs in worker processes, one thread each, under one progress bar.

One thread per process makes a result independent of how many cores the machine has and of what runs beside it, and
several small models train faster side by side than one after the other with more threads. However this process ends,
its workers end with it. What is unpickled comes over a socket pair from a process that this one started, and from nobody else.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import pickle
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from typing import Any

from brittle import progress
from brittle.settings import BadInput

Tick = Callable[[int], None]
"""Told how many steps have been done since it was told last."""
PATIENCE = 2.0
"""Seconds that workers have to end after they were told to."""
_server: tuple[int, subprocess.Popen[bytes], socket.socket] | None = None


@dataclass(frozen=True)
class Task:
    """``function(*arguments, tick=tick)`` in a worker; ``size`` is how many ticks it will report."""

    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    size: int = 1


@dataclass
class Worker:
    """The connection to a worker, its process number once it has told it, and the job that it does."""

    connection: Connection
    process: int | None = None
    job: int | None = None


def run(
    jobs: Sequence[Task], title: str, unit: str = "step", workers: int | None = None, needs: Sequence[str] = ()
) -> list[Any]:
    """Run all jobs and return their results in order. Modules that they ``need`` are imported once for all workers.

    The first failure is raised and ends the other jobs; those that are finished keep their records.

    Raises:
        BadInput: a worker was killed.
    """
    if not jobs:
        return []
    total = sum(job.size for job in jobs)
    crew = Crew(jobs, title)
    with progress.work(title, total, unit) as bar:
        try:
            for _ in range(min(len(jobs), workers or os.cpu_count() or 1)):
                crew.workers.append(Worker(start(needs)))
            while len(crew.results) < len(jobs):
                bar.update(min(crew.listen(), total - bar.done))
            bar.update(total - bar.done)
        finally:
            crew.end()
    return [crew.results[number] for number in range(len(jobs))]


@dataclass
class Crew:
    """The workers of one run, what is still to be done and what came back."""

    jobs: Sequence[Task]
    title: str
    workers: list[Worker] = field(default_factory=list)
    results: dict[int, Any] = field(default_factory=dict)
    given: int = 0

    def listen(self) -> int:
        """Hear what workers say within a moment, hand out jobs; returns the ticks reported."""
        ticks = 0
        speaking = wait([worker.connection for worker in self.workers], timeout=0.2)
        for worker in [worker for worker in self.workers if worker.connection in speaking]:
            try:
                kind, content = pickle.loads(worker.connection.recv_bytes())
                if kind == "tick":
                    ticks += content
                    continue
                if kind == "said":
                    progress.relayed(*content)
                    continue
                if kind == "failed":
                    raise content
                if kind == "ready":
                    worker.process = content
                elif worker.job is not None:
                    self.results[worker.job] = content
                worker.job = None
                self._hand_out(worker)
            except (EOFError, ConnectionError):
                time.sleep(0.3)  # where all processes were told to end, this one says so
                raise BadInput(
                    f"{self.title}: a worker process was killed, most often because memory ran out; what is finished is "
                    "kept, and the same command goes on, best with fewer or smaller jobs at a time"
                ) from None
        return ticks

    def _hand_out(self, worker: Worker) -> None:
        if self.given < len(self.jobs):
            worker.job = self.given
            self.given += 1
            worker.connection.send_bytes(pickle.dumps(self.jobs[worker.job]))

    def end(self) -> None:
        """End all workers: those at work are told to and have a moment to remove what is half-written."""
        busy = [worker for worker in self.workers if worker.job is not None and worker.process is not None]
        for number, patience in ((signal.SIGTERM, PATIENCE), (signal.SIGKILL, 0.5)):
            for worker in busy:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(worker.process or 0, number)
            end = time.monotonic() + patience
            while busy and time.monotonic() < end:
                for connection in wait([worker.connection for worker in busy], timeout=0.1):
                    busy = [each for each in busy if each.connection is not connection or _speaks(each.connection)]
        for worker in self.workers:
            worker.connection.close()


def _speaks(connection: Connection) -> bool:
    try:
        connection.recv_bytes()
    except (EOFError, OSError):
        return False
    return True


def start(needs: Sequence[str] = (), **more: str) -> Connection:
    """A new worker, forked from the server; where a fork is not safe, a process of its own. ``more`` joins its environment."""
    own, others = socket.socketpair()
    with others:
        if sys.platform == "linux":
            _ask_server(others.fileno(), needs)
        else:
            _launch("work", others.fileno())
    connection = Connection(own.detach())
    with contextlib.suppress(ConnectionError):  # a worker that is gone already is noticed when it is listened to
        connection.send_bytes(pickle.dumps(({**os.environ, **more}, list(sys.path), os.getcwd())))
    return connection


def _ask_server(descriptor: int, needs: Sequence[str]) -> None:
    global _server
    if _server is None or _server[0] != os.getpid() or _server[1].poll() is not None:
        own, others = socket.socketpair()
        with others:
            _server = os.getpid(), _launch("serve", others.fileno()), own
        atexit.register(_close, *_server)
    socket.send_fds(_server[2], [" ".join(["+", *needs]).encode()], [descriptor])


def _close(process: int, server: subprocess.Popen[bytes], control: socket.socket) -> None:
    if process != os.getpid():
        return
    control.close()
    with contextlib.suppress(subprocess.TimeoutExpired):
        server.wait(1)


def _launch(function: str, descriptor: int) -> subprocess.Popen[bytes]:
    """A process that runs one function of :mod:`brittle.runs.workers`, with the modules that this one would find."""
    code = f"import sys; sys.path[:] = {sys.path!r}\nfrom brittle.runs import workers; workers.{function}({descriptor})"
    return subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.DEVNULL, pass_fds=[descriptor])
