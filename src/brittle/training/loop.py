"""One loop: micro-batches in, an objective's terms summed, one optimizer step, listeners told.

Built on accelerate, so one process, several, mixed precision and sharding run the same lines. Weights stay in float32
whatever the compute type: a bfloat16 weight near 0.02 cannot move by less than 6e-5, so small learning rates would
leave most weights exactly where they were.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState, PartialState
from accelerate.utils import DistributedType, FullyShardedDataParallelPlugin
from torch import Tensor, nn

from brittle.settings import BadInput
from brittle.training.batches import Batch
from brittle.training.checkpoint import Checkpoints
from brittle.training.optimizers import OPTIMIZERS
from brittle.training.rounding import optimizers_of
from brittle.training.step import LossTerms, Step, Totals

Objective = Callable[[Step], LossTerms]


Listener = Callable[[int, nn.Module, dict[str, float]], "bool | None"]
"""Told the number of each optimizer step (from 1), the model and the loss terms; returning True ends the training.

What it adds to the terms (an evaluation) is kept in the history beside them, also over a resumption.
"""


@dataclass(frozen=True)
class LoopSettings:
    """How the loop optimises. Steps are optimizer steps; schedules count them too."""

    steps: int
    lr: float
    optimizer: str = "adamw"
    schedule: str = "cosine"
    warmup_steps: int = 0
    weight_decay: float = 0.0
    betas: tuple[float, float] = (0.9, 0.999)
    grad_clip: float = 1.0
    mixed_precision: str = "no"
    seed: int = 0
    deterministic: bool = False


@dataclass
class History:
    """The mean of each loss term per optimizer step."""

    terms: list[dict[str, float]] = field(default_factory=list)
    stopped_at: int | None = None
    weights: dict[str, Tensor] | None = None
    """The whole weights, gathered on the first process, where each process held only a part of them."""


class NotFinite(BadInput):
    """The loss became NaN or infinite; the weights are those before that step."""


def learning_rate_factor(step: int, settings: LoopSettings) -> float:
    """The share of the learning rate at optimizer step ``step`` (from 0): linear warm-up, then cosine or linear to 0, or constant."""
    if step < settings.warmup_steps:
        return (step + 1) / settings.warmup_steps
    if settings.schedule == "constant":
        return 1.0
    passed = (step - settings.warmup_steps) / max(1, settings.steps - settings.warmup_steps)
    if settings.schedule == "linear":
        return max(0.0, 1.0 - passed)
    return 0.5 * (1 + math.cos(math.pi * min(1.0, passed)))


def accelerator_for(device: str, mixed_precision: str) -> Accelerator:
    """An accelerator for this device; a second training in one process may use another precision."""
    AcceleratorState._reset_state(reset_partial_state=not torch.distributed.is_initialized())
    if device.startswith("cuda:"):
        torch.cuda.set_device(device)
    try:
        accelerator = Accelerator(cpu=device == "cpu", mixed_precision=mixed_precision)
    except ImportError as error:
        raise BadInput(f"accelerate cannot start as it was launched ({error}); install what is missing") from None
    if (
        accelerator.distributed_type == DistributedType.DEEPSPEED
    ):  # counts texts by this; it steps on every backward pass
        accelerator.state.deepspeed_plugin.deepspeed_config["train_micro_batch_size_per_gpu"] = 1
    if accelerator.distributed_type == DistributedType.MULTI_CPU and os.environ.get("ACCELERATE_USE_FSDP") == "true":
        # accelerate shards on GPUs alone and would replicate here; on the CPU the same code is tried out and tested
        accelerator.state.fsdp_plugin = FullyShardedDataParallelPlugin()  # reads what the launcher set
        PartialState().distributed_type = accelerator.state.distributed_type = DistributedType.FSDP
    return accelerator


def is_spread(model: nn.Module) -> bool:
    """Whether one process holds the model's layers on several devices (``device_map="auto"``)."""
    return len(set(getattr(model, "hf_device_map", {}).values())) > 1


def without_dropout(model: nn.Module) -> None:
    """Switch dropout off: what the loss compares with was computed without it, and runs are to be repeatable."""
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
        for name in [name for name, value in vars(module).items() if "dropout" in name and isinstance(value, float)]:
            setattr(module, name, 0.0)


def is_sharded(accelerator: Accelerator) -> bool:
    """Whether each process holds only a part of the weights (FSDP, DeepSpeed)."""
    return accelerator.distributed_type in (DistributedType.FSDP, DistributedType.DEEPSPEED)


def add_up_gradients(parameters: Sequence[nn.Parameter], accelerator: Accelerator) -> None:
    """Sum gradients over processes. Losses are shares of the whole optimizer step, so nothing is to be divided.

    By hand and not by a wrapper around the model: a forward pass that ends at the deepest layer read, or that runs at
    shifted weights, never returns through such a wrapper, whose gradients would then silently not be shared.
    """
    if accelerator.num_processes > 1 and not is_sharded(accelerator):
        for parameter in parameters:
            if parameter.grad is not None:  # the same ones in every process: a loss reads the same layers everywhere
                parameter.grad = accelerator.reduce(parameter.grad, "sum")


def totals_of(micro_batches: Sequence[dict[str, Batch]], accelerator: Accelerator | None = None) -> dict[str, Totals]:
    """Tokens, counted tokens and sequences of each split in a whole optimizer step, over all processes."""
    totals = {}
    for split in micro_batches[0]:
        batches = [batches[split] for batches in micro_batches]
        counts = torch.tensor([
            sum(float(batch.attention_mask.sum()) for batch in batches),
            sum(float(batch.counted[:, 1:].sum()) for batch in batches),
            sum(len(batch.examples) for batch in batches),
        ])  # fmt: skip
        if accelerator is not None and accelerator.num_processes > 1:
            counts = accelerator.reduce(counts.to(accelerator.device), "sum").cpu()
        totals[split] = Totals(*counts.tolist())
    return totals


def train(
    model: nn.Module,
    supply: Callable[[int], list[dict[str, Batch]]],
    objective: Objective,
    settings: LoopSettings,
    *,
    device: str = "cpu",
    listeners: Iterable[Listener] = (),
    checkpoints: Checkpoints | None = None,
    **step_details: Any,
) -> History:
    """Train ``model`` in place for ``settings.steps`` optimizer steps; ``step_details`` go to every :class:`Step`.

    With ``checkpoints``, the training goes on after the last one; listeners hear of the steps from there on.
    Raises :class:`NotFinite` before a step whose loss or gradient is not finite would touch the weights.
    """
    torch.manual_seed(settings.seed)
    if settings.deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True)
    accelerator = accelerator_for(device, settings.mixed_precision)
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizers = _optimizers(model, settings)
    without_dropout(model.train())
    sharded = is_sharded(accelerator)
    if sharded:
        model, *optimizers = accelerator.prepare(model, *optimizers)
        parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    else:
        if not is_spread(model):
            model.to(accelerator.device)
        optimizers = [_prepared(each, accelerator) for each in optimizers]
    history, first = History(), 0
    checkpoints = None if sharded else checkpoints
    if checkpoints is not None:
        first, history.terms = checkpoints.restore(accelerator.unwrap_model(model), optimizers)
    groups = [(group, group["lr"]) for optimizer in optimizers for group in optimizer.param_groups]
    for number in range(first, settings.steps):
        for group, peak in groups:
            group["lr"] = peak * learning_rate_factor(number, settings)
        micro_batches = [{k: b.to(accelerator.device) for k, b in batches.items()} for batches in supply(number)]
        step_terms = _gradients(model, micro_batches, objective, number, settings, accelerator, step_details)
        add_up_gradients(parameters, accelerator)
        norm = accelerator.clip_grad_norm_(parameters, settings.grad_clip or math.inf)
        if accelerator.scaler is None:  # in float16 the scaler skips steps whose gradients overflow
            _check_finite(norm, number, step_terms)
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        history.terms.append(step_terms)
        wishes = [listener(number + 1, model, step_terms) for listener in listeners]
        if checkpoints is not None and checkpoints.due(number + 1) and accelerator.is_main_process:
            checkpoints.save(number + 1, accelerator.unwrap_model(model), optimizers, history.terms)
        if any(wishes):
            history.stopped_at = number + 1
            break
    model.eval()
    if sharded:
        history.weights = accelerator.get_state_dict(model)
    return history


def _optimizers(model: nn.Module, settings: LoopSettings) -> list[Any]:
    make = OPTIMIZERS[settings.optimizer]
    return optimizers_of(model, lambda of: make(of, settings.lr, settings.betas, settings.weight_decay), settings.seed)


def _prepared(optimizer: Any, accelerator: Accelerator) -> Any:
    return accelerator.prepare_optimizer(optimizer) if isinstance(optimizer, torch.optim.Optimizer) else optimizer


def _gradients(
    model: nn.Module, micro_batches: list[dict[str, Batch]], objective: Objective, number: int, settings: LoopSettings,
    accelerator: Accelerator, step_details: dict[str, Any],
) -> dict[str, float]:  # fmt: skip
    """Forward and backward passes of one optimizer step over its micro-batches; returns the loss by term."""
    sharded = is_sharded(accelerator)
    totals = totals_of(micro_batches, accelerator)
    step_terms: dict[str, float] = {}
    shared: dict[str, Any] = {}
    for batches in micro_batches:
        step = Step(
            model, batches, totals, number=number, steps=settings.steps, seed=settings.seed,
            share=1 / (len(micro_batches) * accelerator.num_processes), ends_early=not sharded,
            whole=micro_batches, shared=shared, **step_details,
        )  # fmt: skip
        with accelerator.autocast():
            terms = objective(step)
        loss = torch.stack(list(terms.values())).sum()
        _check_finite(loss, number, step_terms)
        accelerator.backward(loss * accelerator.num_processes if sharded else loss)  # sharding takes the mean
        for name, value in terms.items():
            step_terms[name] = step_terms.get(name, 0.0) + float(value.detach())
    return step_terms


def _check_finite(value: Tensor | None, number: int, terms: dict[str, float]) -> None:
    if value is not None and not bool(torch.isfinite(value.detach()).all()):
        raise NotFinite(
            f"the loss is not finite at step {number + 1} ({terms or 'first term'}); lower --lr or the method's weights"
        )
