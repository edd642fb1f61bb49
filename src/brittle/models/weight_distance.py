"""How far a training moved all weights of a model: one number, at the price of reading the base once more."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open

from brittle.models.checkpoints import _key
from brittle.models.weight_files import weight_files


@torch.no_grad()
def l2_distance(model: Any, base: Path) -> float:
    """``√Σ‖W − W_base‖_F²`` over every parameter that the base's files have, in float64; NaN if none.

    A matrix that is tied to another counts once.
    """
    parameters = {_key(name): parameter for name, parameter in model.named_parameters()}
    norms = []
    for path in weight_files(base):
        with safe_open(path, framework="pt") as file:
            for name in file.keys():  # noqa: SIM118 (not a dictionary)
                if (parameter := parameters.pop(_key(name), None)) is not None:
                    before = file.get_tensor(name).to(parameter.device, torch.float32)
                    moved = parameter.float() - before
                    norms.append(float(torch.linalg.vector_norm(moved, dtype=torch.float64)))
    return math.hypot(*norms) if norms else math.nan
