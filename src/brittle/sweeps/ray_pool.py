"""Jobs of a sweep as Ray tasks: on this machine's cores and GPUs, or on every node of the cluster at ``RAY_ADDRESS``.

Ray places a job where as many GPUs as its group has are free, and shows it these alone (``CUDA_VISIBLE_DEVICES``). Records, leases and
notes are files, so that nodes share a file system, as on a cluster, and nothing but a word comes back over the network.
Jobs and words are pickled, as Ray pickles all that it carries: name a cluster only if you trust who can reach it.
"""

from __future__ import annotations

import contextlib
import logging
import os
import pickle
import socket
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from brittle import progress, tracking
from brittle.records import forget_peak_memory
from brittle.runs import workers
from brittle.settings import BadInput
from brittle.sweeps.pools import Ended, Lost, SweepJob

PATIENCE = 20.0
"""Seconds that a cluster has to answer."""
QUIET = {
    "RAY_DEDUP_LOGS": "0", "RAY_USAGE_STATS_ENABLED": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
}  # fmt: skip
"""Ray sends no statistics of use, a job without GPUs keeps the ``CUDA_VISIBLE_DEVICES`` that it has, and jobs run in the
environment that is there: under ``uv run`` Ray would copy the folder and refuse one without the project's file in it."""


@dataclass
class RayNodes:
    """Ray, begun on this machine or joined. ``workers`` jobs at once at most; None: one for each core or group of GPUs."""

    workers: int | None = None
    gpus: int | None = None
    """GPUs of this machine, where Ray is begun here and is not to count them itself."""
    address: str | None = None
    busy: dict[Any, tuple[int, int]] = field(default_factory=dict)
    """Key and GPUs of each task."""

    def __post_init__(self) -> None:
        for name, value in QUIET.items():
            os.environ.setdefault(name, value)
        import ray

        if self.address:
            check_answers(self.address)
        here: dict[str, Any] = (
            {} if self.address else {"num_cpus": self.workers or os.cpu_count(), "num_gpus": self.gpus}
        )
        try:
            ray.init(
                address=self.address or "local", include_dashboard=None if self.address else False, log_to_driver=False,
                logging_level=logging.ERROR, **here,
            )  # fmt: skip
        except (ConnectionError, RuntimeError, ValueError) as problem:
            raise BadInput(_no_answer(self.address, str(problem).partition("\n")[0])) from None

    def room(self, gpus: int) -> bool:
        """As :class:`brittle.sweeps.pools.Pool` says; nodes may have come or gone."""
        import ray

        there = ray.cluster_resources()  # type: ignore[no-untyped-call]
        cores = min(int(there.get("CPU", 0)), self.workers or sys.maxsize)
        taken = sum(number for _, number in self.busy.values())
        return len(self.busy) < cores and taken + gpus <= int(there.get("GPU", 0)) if gpus else len(self.busy) < cores

    def submit(self, key: int, job: SweepJob, gpus: int) -> None:
        """As :class:`brittle.sweeps.pools.Pool` says. Ray itself repeats nothing: what was lost is begun again by the driver."""
        import ray

        task = ray.remote(carry).options(num_cpus=1, num_gpus=gpus, max_retries=0)
        place = task.remote(pickle.dumps(job), os.getcwd(), dict(os.environ), list(sys.path))
        self.busy[place] = key, gpus

    def wait(self, seconds: float) -> list[Ended]:
        """As :class:`brittle.sweeps.pools.Pool` says."""
        import ray

        if not self.busy:
            time.sleep(min(seconds, 0.1))
            return []
        ready, _ = ray.wait(list(self.busy), num_returns=1, timeout=seconds)
        return [self._heard(place) for place in ready]

    def _heard(self, place: Any) -> Ended:
        import ray

        key, _ = self.busy.pop(place)
        try:
            result, problem, said = pickle.loads(ray.get(place))
        except ray.exceptions.RayError as lost:
            return Ended(key, problem=Lost(f"its process or node is gone ({type(lost).__name__})"))
        for line in said:
            progress.relayed(*line)
        return Ended(key, result, problem)

    def close(self) -> None:
        """As :class:`brittle.sweeps.pools.Pool` says."""
        import ray

        for place in self.busy:
            with contextlib.suppress(Exception):  # it ended in this moment
                ray.cancel(place, force=True)
        self.busy = {}

    def end(self) -> None:
        """Leave the cluster; what was begun here ends."""
        import ray

        ray.shutdown()


def carry(job: bytes, folder: str, environment: Mapping[str, str], path: Sequence[str]) -> bytes:
    """One job in a Ray worker, with the folder, the modules and the environment of the sweep's own process.

    What Ray set for the task (its GPUs) stays.
    """
    own = {name: value for name, value in environment.items() if not name.startswith(("RAY_", "CUDA_VISIBLE"))}
    os.environ.update(own)
    os.chdir(folder)
    sys.path += [each for each in path if each not in sys.path]
    said: list[tuple[str, str]] = []
    progress.in_worker(lambda *line: said.append((str(line[0]), str(line[1]))))
    tracking.follow()
    forget_peak_memory()
    import torch

    torch.set_num_threads(1)
    try:
        return pickle.dumps((pickle.loads(job).carry_out(lambda _: None), None, said))
    except BaseException as problem:
        return pickle.dumps((None, workers.as_it_travels(problem), said))


def check_answers(address: str) -> None:
    """Refuse an address of the form ``HOST:PORT`` at which nobody listens for :data:`PATIENCE` seconds."""
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if not colon or not port.isdigit():
        return
    end = time.monotonic() + PATIENCE
    while True:
        try:
            socket.create_connection((host, int(port)), timeout=2).close()
            return
        except OSError as problem:
            if time.monotonic() > end:
                raise BadInput(_no_answer(address, problem.strerror or str(problem))) from None
            time.sleep(0.5)


def _no_answer(address: str | None, reason: str) -> str:
    if address is None:
        return f"Ray could not be started here ({reason}); --local does without it"
    return (
        f"RAY_ADDRESS={address} does not answer ({reason}); start Ray there (ray start --head --port 6379), unset RAY_ADDRESS "
        "to use this machine, or use --local"
    )
