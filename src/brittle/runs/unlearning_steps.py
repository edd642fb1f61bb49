"""All that the optimizer steps of an unlearning run need, put together once: for the training, and for what is measured of one step."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch

from brittle.models.devices import mixed_precision, resolve_device
from brittle.models.weight_distance import Update, update_of, update_of_adapters, updates_of_adapters
from brittle.runs.unlearning_checks import is_sharded
from brittle.runs.unlearning_identity import processes
from brittle.runs.unlearning_plan import Plan, optimizer_steps, process
from brittle.runs.unlearning_preparation import Run, prepare
from brittle.training import pulls
from brittle.training.batches import Sampler, Supply
from brittle.training.loop import LoopSettings
from brittle.training.norms import mean_norms, norm_change
from brittle.training.step import LossTerms, Step

PRECISION = {torch.float32: "no", torch.float16: "fp16", torch.bfloat16: "bf16"}


@dataclass
class Steps:
    """A run that is ready for its first step: what is shown, what is minimised, and how."""

    chosen: Plan
    run: Run
    loop: LoopSettings
    supply: Supply
    objective: Callable[[Step], LossTerms]
    details: dict[str, Any]
    """What every step is given besides."""

    @property
    def device(self) -> str:
        """That of the embeddings, where layers are spread over several GPUs."""
        return self.run.loaded.device

    def pulls(self, number: int = 0) -> pulls.Pulls | None:
        """How hard each term pulls on the weights as they are now, on the texts of the first optimizer step.

        None where one process does not hold the whole model or does not see the whole step, or where there is no step.
        """
        if is_sharded() or processes() > 1 or not self.loop.steps:
            return None
        return pulls.pulls(
            self.run.loaded.model, self.supply(0), self.objective, self.loop, device=self.device, number=number,
            **self.details,
        )  # fmt: skip

    def state_norms(self) -> dict[str, float]:
        """The median length of forget texts' hidden states at each of ``--layer-id``; empty where the method reads none there."""
        needs = self.chosen.needs
        if not needs.layers or "forget" not in needs.splits or is_sharded() or not self.loop.steps:
            return {}
        blocks = [layer - needs.first_layer for layer in self.chosen.method.layer_id]
        batches = [each["forget"] for each in self.supply(0)]
        found = pulls.state_norms(self.run.loaded.model, self.run.loaded.anatomy, batches, blocks, self.device)
        return {str(block + needs.first_layer): norm for block, norm in found.items()}

    def weights(self) -> Iterable[torch.Tensor]:
        """The weights that train, as they are now; of adapters what they add to the matrices that they stand on."""
        if self.run.adapters is not None:
            return updates_of_adapters(self.run.adapters)
        return (each.detach() for each in self.run.loaded.model.parameters() if each.requires_grad)

    def finish(self) -> None:
        """What the method does to the weights after the last step."""
        if hasattr(self.chosen.module, "finish") and self.loop.steps:
            self.chosen.module.finish(self.chosen.method, self.run.loaded.model, self.run.initial)

    def update(self) -> Update:
        """How far the model is from its base."""
        if self.run.adapters is not None:
            return update_of_adapters(self.run.adapters)
        return update_of(self.run.loaded.model, self.chosen.base.folder)


def begin(chosen: Plan) -> Steps:
    """Load the model and make the run ready for its first step."""
    training = chosen.training
    device = own_device(chosen)
    precision = "no" if training.weight_dtype == "bf16" else PRECISION[mixed_precision(chosen.make.dtype, device)]
    run = prepare(chosen, device)
    steps = optimizer_steps(training, len(run.examples.get("forget", ())), len(run.examples.get("retain", ())))
    loop = LoopSettings(
        steps, training.lr, training.optimizer, weight_decay=training.weight_decay, grad_clip=training.grad_clip,
        mixed_precision=precision, seed=training.seed, deterministic=training.deterministic,
    )  # fmt: skip
    details = dict(
        anatomy=run.loaded.anatomy, reference=run.reference, initial=run.initial, chunk=training.loss_chunk,
        together=chosen.needs.together and not training.norm_reg_lambda,
    )  # fmt: skip
    return Steps(chosen, run, loop, _supply(chosen, run), _objective(chosen, run, run.loaded.device), details)


def own_device(chosen: Plan) -> str:
    """The device of this process: the user's choice, or with several processes on GPUs the one of its own number."""
    device = resolve_device(chosen.make.device)
    return f"cuda:{os.environ['LOCAL_RANK']}" if processes() > 1 and device.startswith("cuda") else device


def _supply(chosen: Plan, run: Run) -> Supply:
    """One sampler per split, independent of each other; refusals go with their questions. Processes share each step."""
    training, padding = chosen.training, run.loaded.tokenizer.pad_token_id
    samplers = [
        Sampler("forget" if name == "refusal" else name, part, training.batch_size, padding, training.seed, split=name)
        for name, part in sorted(run.examples.items())
    ]
    return Supply(samplers, training.grad_accum_steps, process(), processes())


def _objective(chosen: Plan, run: Run, device: str) -> Callable[[Step], LossTerms]:
    """The method's loss, and the activation norms where they are to stay."""
    weight = chosen.training.norm_reg_lambda
    if not weight:
        return lambda step: chosen.module.loss(chosen.method, step)
    padding = run.loaded.tokenizer.pad_token_id
    before = mean_norms(run.loaded.model, run.loaded.anatomy, run.examples["forget"], padding, device)
    return lambda step: {**chosen.module.loss(chosen.method, step), "norms": weight * norm_change(step, before)}
