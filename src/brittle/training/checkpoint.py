"""Checkpoints of a training run: a run that was killed goes on where it was and ends with the same weights.

Everything a later step depends on is kept: weights that train, the optimizers' state, the random generators, the loss
terms so far. Which examples stand in a batch is a function of the step, so data need no state. Tensors are safetensors,
the rest is JSON; a checkpoint appears whole or not at all.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from brittle import leases, problems, stopping
from brittle.places import foreign_files, put_in_place, sweep_leftovers
from brittle.records import write_json
from brittle.settings import BadInput

FILES = ("state.json", "state.safetensors")


@dataclass(frozen=True)
class Checkpoints:
    """Where a run keeps its last checkpoint, for which identity, and how often it writes one (in optimizer steps)."""

    folder: Path
    fingerprint: str
    interval: int = 0

    def due(self, number: int) -> bool:
        """Whether one is to be written after optimizer step ``number`` (from 1)."""
        return self.interval > 0 and number % self.interval == 0

    @property
    def temporary(self) -> Path:
        """Where the next checkpoint is written; whole as soon as its ``state.json`` is there."""
        return self.folder.with_name(self.folder.name + ".partial")

    def exists(self) -> bool:
        """Whether there is a checkpoint of exactly this run."""
        if not self.folder.exists() and (self.temporary / FILES[0]).is_file():  # killed while it was put in place
            self.temporary.rename(self.folder)
        return self._state() is not None

    def taken(self) -> int:
        """Optimizer steps that the last checkpoint of this run has behind it; 0 without one."""
        return int((self._state() or {"number": 0})["number"]) if self.exists() else 0

    def _state(self) -> dict[str, Any] | None:
        try:
            state = json.loads((self.folder / FILES[0]).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return state if isinstance(state, dict) and state.get("fingerprint") == self.fingerprint else None

    def save(self, number: int, model: nn.Module, optimizers: Sequence[Any], terms: list[dict[str, float]]) -> None:
        """Replace the last checkpoint by one taken after optimizer step ``number``.

        Raises:
            BadInput: it could not be written (the disk is full); the last one stays.
        """
        try:
            with leases.writing_to(self.temporary) as temporary:
                temporary.mkdir(parents=True)
                self._write(temporary, number, model, optimizers, terms)
                put_in_place(temporary, self.folder, listed=FILES)
        except Exception as problem:
            if (reason := problems.of_the_system(problem)) is None:
                raise
            raise BadInput(
                f"the checkpoint after step {number} could not be written ({reason}); make room, then {self.go_on()}"
            ) from None

    def go_on(self) -> str:
        """How to go on after an end before the last step, as it is now."""
        if taken := self.taken():
            return f"the same command with --resume goes on after step {taken}, the last checkpoint"
        return "the same command starts again from the first step"

    def _write(
        self, temporary: Path, number: int, model: nn.Module, optimizers: Sequence[Any], terms: list[dict[str, float]]
    ) -> None:
        tensors: dict[str, Tensor] = {f"model/{name}": p.detach() for name, p in trained(model).items()}
        tensors |= {f"random/{name}": state for name, state in random_states().items()}
        plain: list[dict[str, Any]] = []
        for index, optimizer in enumerate(optimizers):
            found, rest = flatten(optimizer.state_dict()["state"])
            tensors |= {f"optimizer/{index}/{name}": tensor for name, tensor in found.items()}
            plain.append(rest)
        save_file({name: tensor.contiguous().cpu() for name, tensor in tensors.items()}, temporary / FILES[1])
        state = {"fingerprint": self.fingerprint, "number": number, "terms": terms, "optimizers": plain}
        write_json(temporary / FILES[0], state)

    def restore(self, model: nn.Module, optimizers: Sequence[Any]) -> tuple[int, list[dict[str, float]]]:
        """Put the checkpoint's state into place; returns the steps taken and their loss terms (0 and none without one)."""
        stopping.go_on = self.go_on
        if not self.exists():
            return 0, []
        state = self._state() or {}
        tensors = load_file(self.folder / FILES[1])
        with torch.no_grad():
            for name, parameter in trained(model).items():
                parameter.copy_(tensors[f"model/{name}"])
        for index, optimizer in enumerate(optimizers):
            prefix = f"optimizer/{index}/"
            own = {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)}
            optimizer.load_state_dict({**optimizer.state_dict(), "state": unflatten(own, state["optimizers"][index])})
        torch.set_rng_state(tensors["random/cpu"])
        if "random/cuda" in tensors and torch.cuda.is_available():
            torch.cuda.set_rng_state(tensors["random/cuda"])
        return state["number"], state["terms"]

    def remove(self) -> None:
        """Delete the checkpoint of a run that is finished, and what a kill in the middle of writing one left."""
        for folder in (self.folder, self.temporary):
            if not folder.is_symlink() and not foreign_files(folder, FILES):
                shutil.rmtree(folder, ignore_errors=True)
        sweep_leftovers(self.folder, FILES)
        stopping.go_on = None


def trained(model: nn.Module) -> dict[str, nn.Parameter]:
    """The parameters that train, by name."""
    return {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}


def random_states() -> dict[str, Tensor]:
    """The states of torch's generators."""
    states = {"cpu": torch.get_rng_state()}
    return states | ({"cuda": torch.cuda.get_rng_state()} if torch.cuda.is_available() else {})


def flatten(state: dict[int, dict[str, Any]]) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """An optimizer's state as tensors by ``parameter/key``, and what is not a tensor likewise."""
    tensors: dict[str, Tensor] = {}
    rest: dict[str, Any] = {}
    for parameter, values in state.items():
        for key, value in values.items():
            (tensors if isinstance(value, Tensor) else rest)[f"{parameter}/{key}"] = value
    return tensors, rest


def unflatten(tensors: dict[str, Tensor], rest: dict[str, Any]) -> dict[int, dict[str, Any]]:
    """The inverse of :func:`flatten`."""
    state: dict[int, dict[str, Any]] = {}
    for name, value in {**tensors, **rest}.items():
        parameter, key = name.split("/", 1)
        state.setdefault(int(parameter), {})[key] = value
    return state
