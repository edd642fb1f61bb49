"""How many GPUs each model of a sweep gets, and how many models run at once, by the memory plan."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from brittle.settings import BadInput
from brittle.suites import laboratory
from brittle.sweeps import memory
from brittle.sweeps.configurations import Configuration


@dataclass(frozen=True)
class Groups:
    """The plan for this machine."""

    gpus: int
    """GPUs of this machine."""
    each: Mapping[str, int]
    """GPUs of a configuration, by its title."""
    largest: float | None
    """Bytes of the configuration that needs most; None: not known."""
    lines: Sequence[str]
    """What is said of it, a line for each method."""

    def workers(self, asked: int | None) -> int:
        """Models at once: as many as asked for, else as there are cores and, on the CPU, as memory holds."""
        if asked is not None:
            return asked
        cores = os.cpu_count() or 1
        if self.gpus:
            return self.gpus
        from torch import device

        from brittle.models.devices import free_memory

        room = free_memory(device("cpu"))
        return max(1, min(cores, int(room / self.largest))) if self.largest else cores


def groups(own: Sequence[Configuration], named: int | None = None) -> Groups:
    """Plan every configuration from its base's ``config.json``.

    Raises:
        BadInput: not even all GPUs hold one, or ``named`` (GPUS_PER_JOB) is more than there are.
    """
    there = memory.gpus()
    each: dict[str, int] = {}
    lines: dict[str, str] = {}
    largest = 0.0
    for one in own:
        method = one.resolved.make.method
        plan = planned(one)
        if isinstance(plan, str):
            each[one.title] = memory.group(None, 0, len(there), named)
            lines.setdefault(method, f"{method}: no memory plan ({plan})")
            continue
        number, words = memory.grouped(plan, min(there, default=0), len(there), named)
        each[one.title] = number
        if plan.total > largest or method not in lines:
            lines[method] = f"{method}: {plan.line()}" + (f"; {words}" if there else "")
        largest = max(largest, plan.total)
    return Groups(len(there), each, largest or None, list(lines.values()))


def planned(configuration: Configuration, on_gpu: bool | None = None) -> memory.Estimate | str:
    """The plan for this machine, or for a GPU whether there is one or not; or why there is none: without it a sweep goes on."""
    try:
        return memory.estimate(
            configuration.resolved, configuration_of(configuration), half=bool(memory.gpus()) if on_gpu is None else on_gpu,
            on_cpu=None if on_gpu is None else not on_gpu,
        )  # fmt: skip
    except BadInput as problem:
        return str(problem)


def configuration_of(configuration: Configuration) -> Path:
    """The folder with the ``config.json`` of its base; BadInput where none can be had without building anything."""
    from brittle.models.references import configuration_folder

    model = configuration.resolved.make.model
    if not model.startswith(laboratory.PREFIX):
        return configuration_folder(model)
    name, own = laboratory.parse(model)
    folder = own.folder / name
    if not (folder / "config.json").is_file():
        raise BadInput("the laboratory is not built yet")
    return folder
