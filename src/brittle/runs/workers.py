"""The workers' side of :mod:`brittle.runs.executor`: a server forks them, each does jobs until its connection ends.

The server has imported what workers need, so that seconds of imports are paid once; it starts no threads, touches no
accelerator and never imports the user's program. It ends with the process that started it, and the workers with it.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import os
import pickle
import signal
import socket
import sys
import threading
import time
import traceback
from multiprocessing.connection import Connection
from typing import Any

from brittle import leases, progress, tracking
from brittle.records import forget_peak_memory
from brittle.settings import BadInput

PRELOADED = (
    "brittle.models.construction",
    "brittle.models.likelihood",
    "brittle.models.loading",
    "brittle.training.loop",
)
SET_SIGNAL_OF_PARENTS_DEATH = 1
"""PR_SET_PDEATHSIG of prctl (Linux)."""


class InWorker(RuntimeError):
    """An exception of a job, told as text, because some libraries' exceptions do not survive the way back."""

    def __init__(self, line: str, where: str = "") -> None:
        super().__init__(line)
        self.where = where

    def __reduce__(self) -> Any:
        return type(self), (str(self), self.where)


def serve(descriptor: int) -> None:
    """Fork a worker for every connection that arrives over the socket; end when its other side does.

    With each connection come the names of further modules that its worker needs: imported here, later workers have them too.
    """
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD):
        signal.signal(number, signal.SIG_IGN)
    control = socket.socket(fileno=descriptor)
    _end_with_parent(signal.SIGKILL)  # of the thread that started it; needed only while imports take their time
    for name in PRELOADED:
        importlib.import_module(name)
    _end_with_parent(0)
    while True:
        message, descriptors, _, _ = socket.recv_fds(control, 4096, 1)
        if not message:
            os._exit(0)
        for name in message.decode().split()[1:]:
            importlib.import_module(name)
        if os.fork() == 0:
            control.close()
            _end_with_parent(signal.SIGKILL)
            work(descriptors[0])
            os._exit(0)
        os.close(descriptors[0])


def _end_with_parent(number: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(SET_SIGNAL_OF_PARENTS_DEATH, int(number))


def work(descriptor: int) -> None:
    """One worker: this moment's environment, one thread, then jobs one after the other."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the process above hears it and tells
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    threading.Thread(target=_end_when_told, daemon=True).start()
    threading.Thread(target=_end_when_alone, args=(os.getppid(),), daemon=True).start()
    connection = Connection(descriptor)
    progress.in_worker(lambda *said: connection.send_bytes(pickle.dumps(("said", said))))
    try:
        environment, path, folder = pickle.loads(connection.recv_bytes())
    except EOFError:
        return
    os.environ.clear()
    os.environ.update(environment)
    sys.path[:] = path
    with contextlib.suppress(OSError):
        os.chdir(folder)
    tracking.follow()
    import torch

    torch.set_num_threads(1)
    connection.send_bytes(pickle.dumps(("ready", os.getpid())))
    with contextlib.suppress(EOFError, ConnectionError):
        while True:
            connection.send_bytes(_outcome(connection.recv_bytes(), connection))


def _end_when_told() -> None:
    """At once and with nothing half-written left, whatever the other thread is computing."""
    signal.sigwait({signal.SIGTERM})
    leases.abandon()
    os._exit(128 + signal.SIGTERM)


def _end_when_alone(parent: int) -> None:
    """Where the system does not end a worker whose server is gone."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


def _outcome(received: bytes, connection: Connection) -> bytes:
    forget_peak_memory()
    try:
        job = pickle.loads(received)
        result = job.function(*job.arguments, tick=lambda count: connection.send_bytes(pickle.dumps(("tick", count))))
        return pickle.dumps(("done", result))
    except BaseException as problem:
        return pickle.dumps(("failed", as_it_travels(problem)))


def as_it_travels(problem: BaseException) -> BaseException:
    """An exception that another process can read: itself, where it survives pickling, else its words."""
    if isinstance(problem, BadInput | OSError | MemoryError):
        with contextlib.suppress(Exception):
            copy: BaseException = pickle.loads(pickle.dumps(problem))
            return copy
    line = " ".join(f"in a worker: {type(problem).__name__}: {problem}".split())
    return InWorker(line, "".join(traceback.format_exception(problem)))
