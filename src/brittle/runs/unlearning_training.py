"""Carry out one unlearning run: prepare, train, ask what is left, save."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from brittle import progress
from brittle.contracts import DAMAGE_MARGIN
from brittle.models.devices import mixed_precision, resolve_device
from brittle.models.loading import load
from brittle.records import Draft
from brittle.runs import evaluation
from brittle.runs.saving import rescued, save_result
from brittle.runs.unlearning_checks import is_sharded
from brittle.runs.unlearning_identity import processes
from brittle.runs.unlearning_plan import Plan, optimizer_steps, process
from brittle.runs.unlearning_preparation import Run, likelihoods, prepare
from brittle.training import memory
from brittle.training.batches import Sampler, Supply
from brittle.training.checkpoint import Checkpoints
from brittle.training.loop import LoopSettings, is_spread, train
from brittle.training.norms import mean_norms, norm_change
from brittle.training.rehearsal import Rehearsed, try_to_rehearse
from brittle.training.step import LossTerms, Step

PRECISION = {torch.float32: "no", torch.float16: "fp16", torch.bfloat16: "bf16"}


def unlearn(
    chosen: Plan, draft: Draft, checkpoints: Checkpoints, tick: Callable[[int], None] | None = None
) -> None:  # fmt: skip
    """Train as planned and fill the record's draft. ``tick`` reports optimizer steps; without it a bar is shown."""
    training = chosen.training
    device = own_device(chosen)
    precision = "no" if training.weight_dtype == "bf16" else PRECISION[mixed_precision(chosen.make.dtype, device)]
    run = prepare(chosen, device)
    device = run.loaded.device  # of the embeddings, where layers are spread over several GPUs
    before = run.before
    steps = optimizer_steps(training, len(run.examples.get("forget", ())), len(run.examples.get("retain", ())))
    if tick is None:
        rehearsed, why_not = _rehearsed(chosen, run, precision)
        print(memory.plan(run.loaded.model, training, chosen.needs.initial_weights, rehearsed, why_not))
    remarks: dict[str, int] = {}
    passed = 0 if is_sharded() else checkpoints.taken()
    with progress.work(f"unlearning ({chosen.make.method})", steps, done=passed) as bar:
        loop = LoopSettings(
            steps, training.lr, training.optimizer, weight_decay=training.weight_decay, grad_clip=training.grad_clip,
            mixed_precision=precision, seed=training.seed, deterministic=training.deterministic,
        )  # fmt: skip
        listener = Watch(chosen, run, before, tick or bar.update)
        history = train(
            run.loaded.model, _supply(chosen, run),
            _objective(chosen, run, device), loop, device=device, listeners=[listener], checkpoints=checkpoints,
            anatomy=run.loaded.anatomy, reference=run.reference, initial=run.initial, chunk=training.loss_chunk,
            together=chosen.needs.together and not training.norm_reg_lambda, remarks=remarks,
        )  # fmt: skip
    terms = history.terms
    if history.weights is not None:
        if process() > 0:
            return
        run.loaded = load(chosen.base, device, "fp32")
        run.loaded.model.load_state_dict(history.weights)
    if hasattr(chosen.module, "finish") and steps:
        chosen.module.finish(chosen.method, run.loaded.model, run.initial)
    summary: dict[str, Any] = {"model": chosen.folder.name, "method": chosen.make.method, "steps": len(terms)}
    summary |= {f"{key}_before": value for key, value in before.items()}
    summary |= likelihoods(run.loaded, run.held_out, training.max_length)
    if not chosen.make.no_eval:
        summary |= evaluation.accuracies(run.loaded, chosen.make.model)
    summary["collapsed"] = collapsed(before, summary)
    base = chosen.base.name if Path(chosen.base.text).exists() else chosen.base.text
    draft.note(device=device, compute=precision, stopped_at=history.stopped_at, base=base)
    if remarks:
        draft.note(remarks=remarks)
    if history.weights is not None:
        draft.note(sharded_over=processes())
    with rescued(chosen, run.loaded, run.adapters, draft):
        draft.summary(summary)
        if terms:
            draft.table("training", [{"step": number, **row} for number, row in enumerate(terms, 1)])
        save_result(chosen, run.loaded, run.adapters, draft)


def _rehearsed(chosen: Plan, run: Run, precision: str) -> tuple[Rehearsed | None, str]:
    """What a step will hold at its peak, or why that is not known; nothing on the CPU, and where one process does not
    hold and run the whole model."""
    if not run.loaded.device.startswith("cuda") or is_sharded() or is_spread(run.loaded.model):
        return None, ""
    longest = max(len(example.tokens) for part in run.examples.values() for example in part)
    training = replace(chosen.training, max_length=longest)
    return try_to_rehearse(
        run.loaded.model, run.loaded.anatomy, training, chosen.module, chosen.method, half=precision != "no"
    )


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


class Watch:
    """Told after every step: reports progress, evaluates at intervals, warns of a collapse and may end the training."""

    def __init__(self, chosen: Plan, run: Run, before: dict[str, float], report: Callable[[int], Any]) -> None:
        self.chosen, self.run, self.before, self.report, self.warned = chosen, run, before, report, False

    def __call__(self, number: int, model: Any, terms: dict[str, float]) -> bool:
        """One optimizer step is done; what is measured joins its terms."""
        self.report(1)
        training = self.chosen.training
        if not training.eval_interval or number % training.eval_interval:
            return False
        model.eval()
        terms |= likelihoods(self.run.loaded, self.run.held_out, training.max_length)
        if not self.chosen.make.no_eval:
            terms |= evaluation.accuracies(self.run.loaded, self.chosen.make.model)
        model.train()
        if collapsed(self.before, terms) and not self.warned:
            self.warned = True
            name = next(name for name in WATCHED if _rose(self.before, terms, name))
            progress.say(
                f"step {number}: the {name.removesuffix('_nll')} likelihood collapsed ({self.before[name]:.2f} -> "
                f"{terms[name]:.2f} nats per token); lower --lr or give the retain term more weight"
            )
        return self.warned and training.stop_on_collapse


WATCHED = ("retain_nll", "benign_nll")


def collapsed(before: Mapping[str, float], after: Mapping[str, Any]) -> bool:
    """Whether held-out retain or other benign texts cost more than the base by :data:`brittle.contracts.DAMAGE_MARGIN`, or are no number."""
    return any(_rose(before, after, name) for name in WATCHED)


def _rose(before: Mapping[str, float], after: Mapping[str, Any], name: str) -> bool:
    return name in before and name in after and not after[name] - before[name] <= DAMAGE_MARGIN
