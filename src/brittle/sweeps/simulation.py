"""A sweep on paper: its jobs replayed in the driver's order on imagined nodes; nothing is loaded, and nothing random.

Jobs begin in order, each on GPUs of one node, and the first that has no room holds up those behind it, as in
:mod:`brittle.sweeps.driver`. Transfers share the file system's bandwidth equally, and a node's network among its jobs.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from brittle.sweeps.costs import GB, Machine


@dataclass(frozen=True)
class Part:
    """One piece of a job: bytes that are read or written, or seconds of computing."""

    stage: str
    kind: str
    """``read``, ``write`` or ``compute``."""
    amount: float


@dataclass(frozen=True)
class Job:
    """One model or reference."""

    title: str
    gpus: int
    parts: Sequence[Part]
    size: float = 0.0
    """Bytes of the model that it leaves, or deletes at its end."""


@dataclass
class Replayed:
    """How a sweep would go."""

    machine: Machine
    makespan: float = 0.0
    """Seconds."""
    held: float = 0.0
    """GPU-seconds that jobs have GPUs, by all jobs."""
    computing: float = 0.0
    """Those of them in which the job computes and does not wait for files."""
    at_work: float = 0.0
    """Those in which a GPU itself computes: of a group whose layers are spread, one after the other."""
    read: float = 0.0
    written: float = 0.0
    kept: float = 0.0
    """Bytes of all models that were made: what the disk must hold where weights are kept."""
    at_once: float = 0.0
    """Most bytes of models whose jobs run at the same time: what the disk must hold where weights are deleted."""
    stages: dict[str, float] = field(default_factory=dict)
    """GPU-seconds held, by stage."""
    left: int = 0
    """Jobs that never began, because no node has their GPUs or the disk is full."""

    def share(self, gpu_seconds: float) -> float:
        """Of all GPU-seconds until the end."""
        whole = self.machine.nodes * self.machine.gpus * self.makespan
        return gpu_seconds / whole if whole else 0.0

    def loads(self, no_save: bool) -> Mapping[str, float]:
        """How full each resource is, 1 at most but for space."""
        moved, seconds = self.read + self.written, max(self.makespan, 1e-9)
        found = {
            "GPUs": self.share(self.computing),
            "shared disk": moved / (self.machine.disk * GB * seconds),
            "network": moved / (self.machine.nodes * self.machine.network * GB * seconds),
        }
        if self.machine.space:
            found["disk space"] = (self.at_once if no_save else self.kept) / (self.machine.space * GB)
        return found

    def busiest(self, no_save: bool) -> str:
        """What is fullest."""
        loads = self.loads(no_save)
        return max(loads, key=lambda name: loads[name])


@dataclass
class _Running:
    job: Job
    node: int
    parts: Iterator[Part]
    part: Part
    since: float


def replay(phases: Sequence[Sequence[Job]], machine: Machine, no_save: bool = True) -> Replayed:
    """Carry the jobs of each phase out, a phase after the other.

    ``no_save``: models are deleted when their job ends, so that their space is free again.
    """
    found = Replayed(machine)
    every = [job for phase in phases for job in phase]
    slots = machine.gpus // max(1, min((job.gpus for job in every), default=1))
    slots = max(1.0, min(slots, math.ceil(len(every) / machine.nodes)))
    now = 0.0
    for phase in phases:
        now = _Phase(found, machine, slots, no_save, now).run(phase)
    found.makespan = now
    return found


class _Phase:
    """Events of one phase. Every transfer moves at the same rate, so one clock of bytes tells when each ends."""

    def __init__(self, found: Replayed, machine: Machine, slots: float, no_save: bool, now: float) -> None:
        self.found, self.machine, self.slots, self.no_save, self.now = found, machine, slots, no_save, now
        self.moved = 0.0
        self.transfers: list[tuple[float, int, _Running]] = []
        self.computing: list[tuple[float, int, _Running]] = []
        self.order = 0
        self.free = [int(machine.gpus)] * int(machine.nodes)
        self.running = 0.0

    def run(self, jobs: Sequence[Job]) -> float:
        """Until nothing runs and nothing can begin; the time then."""
        queue, begun = list(jobs), 0
        while True:
            while begun < len(queue) and self._begin(queue[begun]):
                begun += 1
            if not self.transfers and not self.computing:
                self.found.left += len(queue) - begun
                return self.now
            self._next()

    def _begin(self, job: Job) -> bool:
        node = next((number for number, free in enumerate(self.free) if free >= job.gpus), None)
        if node is None or not self._fits(job):
            return False
        self.free[node] -= job.gpus
        self.running += job.size
        self.found.at_once = max(self.found.at_once, self.running)
        self._go_on(_Running(job, node, iter(job.parts), Part("", "", 0.0), self.now))
        return True

    def _fits(self, job: Job) -> bool:
        stored = self.running if self.no_save else self.found.kept + self.running
        return not self.machine.space or stored + job.size <= self.machine.space * GB

    def _go_on(self, running: _Running) -> None:
        part = next(running.parts, None)
        if part is None:
            self.free[running.node] += running.job.gpus
            self.running -= running.job.size
            self.found.kept += running.job.size
            return
        running.part, running.since, self.order = part, self.now, self.order + 1
        if part.kind == "compute":
            heapq.heappush(self.computing, (self.now + part.amount, self.order, running))
        else:
            heapq.heappush(self.transfers, (self.moved + part.amount, self.order, running))

    def _next(self) -> None:
        """The next end of a part."""
        number = len(self.transfers)
        rate = min(self.machine.disk / max(1, number), self.machine.network / self.slots) * GB
        at_transfer = self.now + (self.transfers[0][0] - self.moved) / rate if number else math.inf
        at_compute = self.computing[0][0] if self.computing else math.inf
        then = min(at_transfer, at_compute)
        if at_transfer <= at_compute:
            self.moved, _, running = heapq.heappop(self.transfers)
        else:
            self.moved += (then - self.now) * rate
            running = heapq.heappop(self.computing)[2]
        self.now = then
        self._count(running)
        self._go_on(running)

    def _count(self, running: _Running) -> None:
        part, found, gpus = running.part, self.found, running.job.gpus
        held = (self.now - running.since) * gpus
        found.held += held
        found.stages[part.stage] = found.stages.get(part.stage, 0.0) + held
        if part.kind == "compute":
            found.computing += held
            found.at_work += held * self.machine.speed(gpus) / gpus
        elif part.kind == "read":
            found.read += part.amount
        else:
            found.written += part.amount


__all__ = ["Job", "Part", "Replayed", "replay"]
