"""What a training will need in memory, said before its first step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from brittle.training.hyperparameters import TrainingSettings
from brittle.training.optimizers import STATES_PER_WEIGHT
from brittle.training.rehearsal import Rehearsed

UNITS = {"GiB": 2**30, "MiB": 2**20}
BYTES = 4
"""States and losses are float32; weights and gradients too, unless ``--weight-dtype bf16``."""

LIFTED = 3
"""Float32 numbers per weight of the one bfloat16 parameter that is at its step: its value, its gradient, the update."""


ADVICE = "--lora-rank 16, --weight-dtype bf16, --optimizer adafactor, --loss-chunk 1024 or a smaller --batch-size"
"""What needs less memory."""


def unit_of(size: float) -> str:
    """The larger unit in which ``size`` bytes are one or more."""
    return "GiB" if size >= UNITS["GiB"] else "MiB"


def in_words(found: Mapping[str, float], has_activations: bool, why_not: str = "") -> str:
    """Bytes by purpose and their sum, as one line; purposes that take nothing are left out."""
    total = sum(found.values())
    unit = unit_of(total)
    shown = ", ".join(f"{name} {size / UNITS[unit]:.1f}" for name, size in found.items() if size)
    without = "" if has_activations else f", without activations{f': {why_not}' if why_not else ''}"
    return f"memory plan ({unit}{without}): {shown}; together {total / UNITS[unit]:.1f}"


def parts(
    model: nn.Module, training: TrainingSettings, initial_weights: bool, rehearsed: Rehearsed | None = None
) -> dict[str, float]:
    """Bytes by purpose.

    Without a rehearsal activations are left out but for the logits, and every weight that trains has a gradient. With
    one, ``activations and logits`` is what a step holds at its peak beyond the gradients that it ends with.
    """
    weights = sum(parameter.numel() for parameter in model.parameters())
    trained = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    rows = training.loss_chunk or training.batch_size * training.max_length
    config: Any = model.config
    wide = 2 if training.weight_dtype == "bf16" else BYTES
    found: dict[str, float] = {
        "weights": wide * weights,
        "gradients": wide * trained,
        "optimizer": BYTES * trained * STATES_PER_WEIGHT[training.optimizer],
        "initial weights": wide * trained * initial_weights,
    }
    if rehearsed is None:
        return found | {"logits, at most": 3 * BYTES * rows * config.vocab_size}  # values, log-softmax, gradient
    found["gradients"] = rehearsed.gradients
    found["optimizer"] = BYTES * rehearsed.reached * STATES_PER_WEIGHT[training.optimizer]
    lifted = LIFTED * BYTES * rehearsed.largest if training.weight_dtype == "bf16" else 0
    return found | {"activations and logits": max(rehearsed.most - rehearsed.gradients, lifted)}


def plan(
    model: nn.Module,
    training: TrainingSettings,
    initial_weights: bool,
    rehearsed: Rehearsed | None = None,
    why_not: str = "",
) -> str:
    """One line: bytes by purpose, their sum, what the device has, and what to do if that is too little.

    ``why_not`` says why a step that was to be rehearsed could not be.
    """
    found = parts(model, training, initial_weights, rehearsed)
    total = sum(found.values())
    unit = unit_of(total)
    line = in_words(found, rehearsed is not None, why_not)
    device = next(model.parameters()).device
    if device.type == "cuda":
        free = torch.cuda.mem_get_info(device)[0] + torch.cuda.memory_allocated(device)
        line += f" of {free / UNITS[unit]:.1f}"
        if total > free:
            line += f"; too much: try {ADVICE}"
    return line
