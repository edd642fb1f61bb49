"""How hard each term of a loss pulls on the weights, and how long the states are that it is to move.

A training that changes nothing looks like one that does: its loss is a number, its steps are taken. What tells them apart
before hours are spent is measured on one optimizer step: the length of each term's gradient, ‖∂term/∂θ‖₂ over the weights
that train, and the length of hidden states beside that of the target which they are steered to.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from brittle.models.anatomy import Anatomy
from brittle.training.batches import Batch
from brittle.training.loop import LoopSettings, Objective, _gradients, accelerator_for, without_dropout
from brittle.training.step import LossTerms, Step, Totals


@dataclass(frozen=True)
class Pulls:
    """What the terms of one optimizer step are and how hard they pull, by the term's name."""

    terms: dict[str, float]
    gradient_norms: dict[str, float]
    """‖∂term/∂θ‖₂ before any clipping, in the term's unit per unit of weight; 0 where the term does not depend on the weights."""


def pulls(
    model: nn.Module, micro_batches: Sequence[dict[str, Batch]], objective: Objective, settings: LoopSettings,
    *, device: str, number: int = 0, **step_details: Any,
) -> Pulls:  # fmt: skip
    """Measure one optimizer step of one process without taking it: one forward and backward pass for each term.

    No more is held than a step of the training itself holds. The weights and the model's mode stay as they are; gradients are
    gone afterwards, and dropout is switched off, as the training does.

    Args:
        micro_batches: those of the optimizer step. ``number``: which step the loss takes it for, from 0.
        step_details: as :func:`brittle.training.loop.train` takes them.

    Raises:
        brittle.training.loop.NotFinite: a term is no number.
    """
    accelerator = accelerator_for(device, settings.mixed_precision)
    was_training = model.training
    without_dropout(model.train())
    on_device = [{k: b.to(accelerator.device) for k, b in batches.items()} for batches in micro_batches]
    weights = [parameter for parameter in model.parameters() if parameter.requires_grad]
    values: dict[str, float] = {}
    norms: dict[str, float] = {}
    names: list[str] = [""]

    def alone(step: Step) -> LossTerms:
        """The term whose turn it is, and nothing of the others; what does not depend on the weights has a slope of 0."""
        terms = objective(step)
        names[:] = terms
        name = names[len(norms)]
        return {name: terms[name] + 0.0 * weights[0].sum().to(terms[name].device)}

    while len(norms) < len(names):
        torch.manual_seed(settings.seed)
        values |= _gradients(model, on_device, alone, number, settings, accelerator, step_details)
        scale = accelerator.scaler.get_scale() if accelerator.scaler is not None else 1.0
        norms[names[len(norms)]] = length(each.grad for each in weights if each.grad is not None) / scale
        model.zero_grad(set_to_none=True)
    model.train(was_training)
    return Pulls(values, norms)


@torch.no_grad()
def state_norms(
    model: nn.Module, anatomy: Anatomy, batches: Sequence[Batch], layers: Sequence[int], device: str
) -> dict[int, float]:
    """The median length ‖h‖₂ of the outputs of blocks ``layers`` (from 0) over the real tokens of ``batches``.

    The median, because a first token may be a hundred times as long as all others.
    """
    found: dict[int, list[Tensor]] = {layer: [] for layer in layers}
    for batch in batches:
        batch = batch.to(device)
        step = Step(model, {"own": batch}, {"own": Totals(1.0, 1.0, 1.0)}, anatomy=anatomy)
        for layer, states in step.hidden_states("own", layers).items():
            found[layer].append(states.float().norm(dim=-1)[batch.attention_mask.bool()].cpu())
    return {layer: float(torch.cat(lengths).median()) for layer, lengths in found.items()}


def length(tensors: Iterable[Tensor]) -> float:
    """‖·‖₂ of all tensors together, squares added up in float64."""
    return math.hypot(*(float(torch.linalg.vector_norm(each, dtype=torch.float64)) for each in tensors))
