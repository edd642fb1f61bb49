"""How far a training moved all weights of a model: at the price of reading the base once more."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open

from brittle.models.checkpoints import _key
from brittle.models.weight_files import weight_files


@dataclass(frozen=True)
class Update:
    """How long an update is."""

    norm: float
    """``√Σ‖W − W_base‖_F²`` over every parameter that the base's files have, in float64; NaN if there is none."""
    base: float
    """``√Σ‖W_base‖_F²`` over the same."""

    @property
    def relative(self) -> float:
        """The update's length as a share of the weights'."""
        return self.norm / self.base if self.base else math.nan


@torch.no_grad()
def update_of(model: Any, base: Path) -> Update:
    """How far a model is from its base's files. A matrix that is tied to another counts once."""
    parameters = {_key(name): parameter for name, parameter in model.named_parameters()}
    moved, before = [], []
    for path in weight_files(base):
        with safe_open(path, framework="pt") as file:
            for name in file.keys():  # noqa: SIM118 (not a dictionary)
                if (parameter := parameters.pop(_key(name), None)) is not None:
                    stored = file.get_tensor(name).to(parameter.device, torch.float32)
                    moved.append(_norm(parameter.float() - stored))
                    before.append(_norm(stored))
    return Update(math.hypot(*moved), math.hypot(*before)) if moved else Update(math.nan, math.nan)


@torch.no_grad()
def update_of_adapters(wrapper: Any) -> Update:
    """How far low-rank adapters, not merged, carry a model from the weights that they stand on (PEFT's wrapper)."""
    frozen = [p for name, p in wrapper.named_parameters() if "lora_" not in name]
    return Update(math.hypot(*map(_norm, updates_of_adapters(wrapper))), math.hypot(*map(_norm, frozen)))


def updates_of_adapters(wrapper: Any) -> Iterator[torch.Tensor]:
    """What each adapter adds to its matrix, one after the other."""
    for module in wrapper.modules():
        if hasattr(module, "get_delta_weight"):
            yield from (module.get_delta_weight(key).detach() for key in module.lora_A)


def _norm(tensor: torch.Tensor) -> float:
    return float(torch.linalg.vector_norm(tensor, dtype=torch.float64))
