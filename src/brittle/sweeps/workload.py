"""What one model of a sweep goes through, as reading, computing and writing: the jobs that a simulation replays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from brittle.sweeps import memory
from brittle.sweeps.costs import ADAPTERS, Kind, Machine, diagnosing_seconds, evaluation_seconds, measured, peak
from brittle.sweeps.simulation import Job, Part


@dataclass(frozen=True)
class Training:
    """Optimizer steps, of a method or an attack."""

    kind: Kind
    """How fast it is."""
    steps: int
    tokens: float
    """Of a step."""
    needed: float | None = None
    """Bytes of the memory plan; None: what was measured, by the parameters."""
    weights: str = ""
    """What trains, where it differs from what gave the speed: adapters in float32 arithmetic were not measured."""
    accumulated: int = 1
    """Micro-batches of a step."""

    def seconds(self, parameters: float) -> float:
        """On one GPU."""
        return self.steps * self.tokens / measured(self.kind, parameters)[0]

    def bytes(self, parameters: float) -> float:
        """What it holds at its peak."""
        if self.needed is not None:
            return self.needed
        kind = Kind(self.weights, self.kind.whole) if self.weights else self.kind
        return peak(kind, parameters, self.tokens / self.accumulated)


@dataclass(frozen=True)
class Attack:
    """One attack with all its runs on a model; ``training`` is None where it only reads the model."""

    name: str
    runs: int
    training: Training | None


@dataclass(frozen=True)
class Work:
    """A model to make, or (without ``made``) a reference that others stand beside."""

    title: str
    parameters: float
    stored: float
    """Bytes of a base's files."""
    made: Training | None
    diagnosed: bool = False
    attacks: Sequence[Attack] = ()
    merged: bool = True
    """Whether whole weights are written; adapters alone are counted as no bytes."""

    @property
    def written(self) -> float:
        """Bytes of the model that is made: float32 weights."""
        return 4 * self.parameters if self.made and self.merged else 0.0

    @property
    def trainings(self) -> list[Training]:
        """Everything that trains: making it, and attacks."""
        return [each for each in (self.made, *(attack.training for attack in self.attacks)) if each]

    @property
    def needed(self) -> float:
        """Bytes that its hungriest training holds; without one, two models in half precision."""
        return max((each.bytes(self.parameters) for each in self.trainings), default=4 * self.parameters)

    def group(self, machine: Machine, gpus_per_job: int | None = None) -> int:
        """The smallest group of GPUs that holds making and attacking it.

        Raises:
            BadInput: no group of a node does.
        """
        return memory.group(self.needed, machine.gpu_bytes, int(machine.gpus), gpus_per_job)

    def job(self, machine: Machine, gpus_per_job: int | None = None) -> Job:
        """As parts, on its group of GPUs; BadInput where no group of a node holds it."""
        group = self.group(machine, gpus_per_job)
        speed = machine.speed(group)
        attacked = self.written or self.stored
        parts = []
        if self.made:
            parts += [
                Part("make", "read", self.stored),
                Part("make", "compute", self.made.seconds(self.parameters) / speed),
                Part("make", "write", self.written),
                Part("make", "read", self.stored),  # the distance from the base
                Part("evaluate", "compute", evaluation_seconds(self.parameters, machine.evaluated) / speed),
            ]
        if self.diagnosed:
            parts += [Part("diagnose", "read", self.stored + attacked)]
            parts += [Part("diagnose", "compute", diagnosing_seconds(self.parameters))]
        for attack in self.attacks:
            seconds = attack.training.seconds(self.parameters) / speed if attack.training else 0.0
            parts += [Part("attack", "read", attacked), Part("attack", "compute", seconds)] * attack.runs
        return Job(self.title, group, [part for part in parts if part.amount], self.written)


def training_of(
    lora_rank: int, weight_dtype: str, whole: bool, half: bool, steps: int, tokens: float, needed: float | None = None,
    accumulated: int = 1,
) -> Training:  # fmt: skip
    """With the measured kinds that are nearest: adapters and bfloat16 weights were measured with bfloat16 arithmetic alone.

    Adapters in float32 arithmetic go as fast as all weights in it, and hold what adapters hold.
    """
    weights = ADAPTERS if lora_rank else "bfloat16" if weight_dtype == "bf16" else "float32"
    if weights == ADAPTERS and not half:
        return Training(Kind("float32", whole, "fp32"), steps, tokens, needed, ADAPTERS, accumulated)
    kind = Kind(weights, whole, "bf16" if half or weights == "bfloat16" else "fp32")
    return Training(kind, steps, tokens, needed, accumulated=accumulated)


__all__ = ["Attack", "Training", "Work", "training_of"]
