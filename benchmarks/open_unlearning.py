"""Each step as OpenUnlearning takes it, rebuilt from what its trainers do; none of their code is here.

Their trainers hold a deep copy of the model as reference and run it in every step, call the model with labels (so that
it computes a cross-entropy over the full vocabulary even where the loss reads hidden states alone), and run every
forward pass to the end. RMU there reads one block through a hook, runs the updated model on forget and retain texts and
the copy on retain texts. Optimizer, clipping and batches are the same on both sides here.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from brittle.models.anatomy import anatomy_of
from brittle.training.batches import Batch
from brittle.training.step import LossTerms, Step


def frozen_copy(model: Any) -> Any:
    """The reference that stays in memory."""
    return copy.deepcopy(model).requires_grad_(False).eval()


def outputs(model: Any, batch: Batch) -> Any:
    """A call with labels: logits of all positions and the mean negative log-likelihood."""
    return model(input_ids=batch.input_ids, attention_mask=batch.attention_mask, labels=batch.input_ids)


def sequence_losses(model: Any, batch: Batch) -> Tensor:
    """Negative log-likelihood of each text, ``[rows]`` in nats."""
    logits = outputs(model, batch).logits[:, :-1].contiguous()
    return functional.cross_entropy(logits.transpose(1, 2), batch.input_ids[:, 1:], reduction="none").sum(1)


def block_states(model: Any, batch: Batch, layer: int) -> Tensor:
    """The output of one block, from a hook on it, after the whole model ran."""
    taken: list[Tensor] = []
    block = anatomy_of(model.config).blocks(model)[layer]
    handle = block.register_forward_hook(lambda _module, _inputs, output: taken.append(output))
    outputs(model, batch)
    handle.remove()
    return taken[0]


def grad_diff(step: Step) -> LossTerms:
    """Retain likelihood descended, forget likelihood ascended."""
    forget = outputs(step.model, step.batches["forget"]).loss
    return {"retain": outputs(step.model, step.batches["retain"]).loss, "forget": -forget}


def npo(reference: Any, beta: float) -> Callable[[Step], LossTerms]:
    """Negative preference against the copy, which runs on the forget texts in every step."""

    def loss(step: Step) -> LossTerms:
        now = sequence_losses(step.model, step.batches["forget"])
        with torch.no_grad():
            before = sequence_losses(reference, step.batches["forget"])
        forget = -(2 / beta) * functional.logsigmoid(beta * (now - before)).mean()
        return {"forget": forget, "retain": outputs(step.model, step.batches["retain"]).loss}

    return loss


def rmu(reference: Any, layer: int, steering: float, alpha: float) -> Callable[[Step], LossTerms]:
    """Misdirection at one block; three whole forward passes, one of them of the copy."""

    def loss(step: Step) -> LossTerms:
        forget = block_states(step.model, step.batches["forget"], layer)
        target = (steering * step.random_direction(layer)).expand_as(forget)
        retain = block_states(step.model, step.batches["retain"], layer)
        with torch.no_grad():
            before = block_states(reference, step.batches["retain"], layer)
        return {
            "forget": functional.mse_loss(forget, target),
            "retain": alpha * functional.mse_loss(retain, before),
        }

    return loss
