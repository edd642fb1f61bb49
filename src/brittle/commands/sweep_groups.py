"""How many GPUs each model of a sweep gets, and how many models run at once, by the memory plan."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from brittle import discovery
from brittle.commands.sweep_stages import attack_settings
from brittle.runs.unlearning_plan import resolved
from brittle.settings import BadInput
from brittle.suites import laboratory, smollm2
from brittle.sweeps import memory
from brittle.sweeps.configurations import Configuration
from brittle.sweeps.file import Stage

ONE_KIND = "ga_simple"
"""The method whose step reads texts of one kind and nothing else, as a step of an attack does."""


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


def groups(own: Sequence[Configuration], named: int | None = None, attack: Stage | None = None) -> Groups:
    """Plan every configuration, and the attacks on it, from its base's ``config.json``; what holds more counts.

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
        by, theirs = attacked(one, attack)
        if theirs and theirs.total > plan.total:
            method, plan = f"{by} on {method}", theirs
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


def attacked(configuration: Configuration, attack: Stage | None) -> tuple[str, memory.Estimate | None]:
    """The attack that holds most, by name, and its plan; none where no attack trains or no plan can be had."""
    found = {}
    for name, settings in attack_settings(attack).items():
        if hasattr(settings, "attack_batch_size"):
            with contextlib.suppress(BadInput):
                found[name] = _of_attack(configuration, name, settings)
    most = max(found, key=lambda name: found[name].total, default="")
    return most, found.get(most)


def _of_attack(configuration: Configuration, name: str, settings: Any) -> memory.Estimate:
    """The plan of an attack: a training of all float32 weights, or of adapters, on texts of one kind, at times beside the base."""
    plugin = discovery.find("attacks", name)
    batch = settings.attack_batch_size
    if trials := plugin.constants.get("TRIALS"):
        batch = max(
            plugin.load().describe(settings, number)["batch_size"] for number in range(getattr(settings, trials))
        )
    training = resolved({
        "method": ONE_KIND, "model": configuration.resolved.make.model, "device": configuration.resolved.make.device,
        "batch_size": batch, "max_length": settings.attack_max_length, "optimizer": settings.attack_optimizer,
        "lora_rank": getattr(settings, "attack_lora_rank", 0),
    })  # fmt: skip
    plan = memory.estimate(training, configuration_of(configuration), half=settings.attack_dtype != "fp32")
    beside = plan.parts["weights"] * bool(plugin.constants.get("NEEDS_BASE") or settings.trajectory_steps)
    return replace(plan, parts={**plan.parts, "the base beside it": beside})


def configuration_of(configuration: Configuration) -> Path:
    """The folder with the ``config.json`` of its base; BadInput where none can be had without building anything."""
    from brittle.models.references import configuration_folder

    model = configuration.resolved.make.model
    if model.startswith(smollm2.PREFIX):
        return smollm2.find(model).folder
    if not model.startswith(laboratory.PREFIX):
        return configuration_folder(model)
    name, own = laboratory.parse(model)
    folder = own.folder / name
    if not (folder / "config.json").is_file():
        raise BadInput("the laboratory is not built yet")
    return folder
