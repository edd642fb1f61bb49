"""Carry out one unlearning run: prepare, train, ask what is left, save."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from brittle import progress
from brittle.contracts import DAMAGE_MARGIN
from brittle.models.loading import load
from brittle.records import Draft
from brittle.results.no_effect import effect
from brittle.runs import evaluation
from brittle.runs.saving import rescued, save_result
from brittle.runs.unlearning_checks import is_sharded
from brittle.runs.unlearning_identity import processes
from brittle.runs.unlearning_plan import Plan, process
from brittle.runs.unlearning_preparation import Run, likelihoods
from brittle.runs.unlearning_steps import Steps, begin
from brittle.training import memory
from brittle.training.checkpoint import Checkpoints
from brittle.training.loop import is_spread, train
from brittle.training.pulls import Pulls
from brittle.training.rehearsal import Rehearsed, try_to_rehearse


def unlearn(
    chosen: Plan, draft: Draft, checkpoints: Checkpoints, tick: Callable[[int], None] | None = None
) -> None:  # fmt: skip
    """Train as planned and fill the record's draft. ``tick`` reports optimizer steps; without it a bar is shown."""
    steps = begin(chosen)
    run = steps.run
    if tick is None:
        rehearsed, why_not = _rehearsed(chosen, run, steps.loop.mixed_precision)
        print(memory.plan(run.loaded.model, chosen.training, chosen.needs.initial_weights, rehearsed, why_not))
    remarks: dict[str, int] = {}
    passed = 0 if is_sharded() else checkpoints.taken()
    first, lengths = steps.pulls(), steps.state_norms()
    with progress.work(f"unlearning ({chosen.make.method})", steps.loop.steps, done=passed) as bar:
        listener = Watch(chosen, run, run.before, tick or bar.update)
        history = train(
            run.loaded.model, steps.supply, steps.objective, steps.loop, device=steps.device, listeners=[listener],
            checkpoints=checkpoints, remarks=remarks, **steps.details,
        )  # fmt: skip
    terms, device = history.terms, steps.device
    if history.weights is not None:
        if process() > 0:
            return
        run.loaded = load(chosen.base, device, "fp32")
        run.loaded.model.load_state_dict(history.weights)
    steps.finish()
    summary: dict[str, Any] = {"model": chosen.folder.name, "method": chosen.make.method, "steps": len(terms)}
    summary |= measured(steps, first, lengths)
    base = chosen.base.name if Path(chosen.base.text).exists() else chosen.base.text
    draft.note(device=device, compute=steps.loop.mixed_precision, stopped_at=history.stopped_at, base=base)
    draft.note(l2_distance=summary["update_norm"])
    if remarks:
        draft.note(remarks=remarks)
    if history.weights is not None:
        draft.note(sharded_over=processes())
    with rescued(chosen, run.loaded, run.adapters, draft):
        draft.summary(summary)
        if terms:
            draft.table("training", [{"step": number, **row} for number, row in enumerate(terms, 1)])
        save_result(chosen, run.loaded, run.adapters, draft)


def measured(
    steps: Steps, first: Pulls | None, lengths: Mapping[str, float], last: Pulls | None = None
) -> dict[str, Any]:  # fmt: skip
    """What ``summary.json`` says of a model that was trained: likelihoods and answers before and after, the update, what pulled.

    Args:
        first: how hard each term pulled at the first step. ``lengths``: of hidden states then, by layer.
        last: how hard at the end; measured here where nothing was unlearned and it is not given.
    """
    chosen, run = steps.chosen, steps.run
    found: dict[str, Any] = {f"{key}_before": value for key, value in run.before.items()}
    found |= likelihoods(run.loaded, run.held_out, chosen.training.max_length)
    if not chosen.make.no_eval:
        found |= evaluation.compared(run.right, evaluation.answers(run.loaded, chosen.make.model))
    found["collapsed"] = collapsed(run.before, found)
    found["nothing_unlearned"] = effect(found).nothing_unlearned
    update = steps.update()
    found |= {"update_norm": update.norm, "update_share": update.relative}
    if lengths:
        found["state_norms"] = dict(lengths)
    if first is not None:
        found["gradient_norms"] = {"first": first.gradient_norms}
        if found["nothing_unlearned"] and last is None:
            last = steps.pulls(steps.loop.steps - 1)
        if last is not None:
            found["gradient_norms"]["last"] = last.gradient_norms
    return found


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
