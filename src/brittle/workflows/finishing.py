"""What follows a training: evaluation, upload, deletion of the weights, and a few lines about the result."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from brittle import tracking
from brittle.records import read_record, write_json
from brittle.settings import BadInput
from brittle.workflows import knowledge, laboratory, stages

if TYPE_CHECKING:
    from brittle.workflows.make import Plan


def finish(chosen: Plan) -> Path:
    """What is left after the training: each stage once, each after the one before; weights go last and only if all held."""
    left = stages.outstanding(chosen) if not chosen.make.force else _after_force(chosen)
    evaluated = stages.EVALUATION not in left or _evaluate(chosen)
    if stages.UPLOAD in left:
        from brittle.workflows import publish

        repository = publish.upload(chosen.folder)
        stages.amend(chosen.folder, uploaded=repository)
        print(f"uploaded: {repository}")
    if stages.REMOVAL in left and evaluated:
        _drop_weights(chosen.folder)
    elif stages.REMOVAL in left:
        print(
            f"the weights stay in {chosen.folder}, because they were not evaluated; the same command finishes that, or "
            "with --no-eval (NO_EVAL=1) deletes them unevaluated",
            file=sys.stderr,
        )
    return chosen.folder


def _after_force(chosen: Plan) -> list[str]:
    """The stages after a training that was forced: all that are asked for and not done by the training itself."""
    import dataclasses

    made = dataclasses.replace(chosen, make=dataclasses.replace(chosen.make, force=False))
    return stages.outstanding(made)


def _evaluate(chosen: Plan) -> bool:
    """Ask a finished model what is missing; without data or lm-eval it stays finished, unmeasured, and False comes back."""
    try:
        if laboratory.behind(chosen.base.text):
            _ask(chosen)
        else:
            _benchmark(chosen)
    except BadInput as problem:
        print(f"not evaluated: {problem}. Later: the same command", file=sys.stderr)
        return False
    stages.amend(chosen.folder, uploaded=None)
    return True


def _ask(chosen: Plan) -> None:
    """The laboratory's questions, to a model that was trained without asking them."""
    from brittle.models.loading import load
    from brittle.models.references import locate

    _refuse_adapters(chosen)
    loaded = load(locate(str(chosen.folder)), chosen.make.device, "fp32")
    found = knowledge.accuracies(loaded, chosen.make.model)
    write_json(chosen.folder / "summary.json", stages.read_summary(chosen.folder) | found)
    stages.amend(chosen.folder)
    tracking.add(chosen.folder, chosen.folder / "summary.json")


def _benchmark(chosen: Plan) -> None:
    """The published benchmarks."""
    from brittle.models.references import locate
    from brittle.workflows import benchmark

    _refuse_adapters(chosen)
    given = benchmark.BenchmarkSettings(
        limit=chosen.make.eval_limit, device=chosen.make.device, dtype=chosen.make.dtype
    )
    folder = chosen.folder / benchmark.FOLDER
    benchmark.benchmarks(locate(str(chosen.folder)), folder, stages.tasks_of(chosen), {}, given)
    stages.amend(chosen.folder, benchmarks=stages.asked(chosen))


def _refuse_adapters(chosen: Plan) -> None:
    if chosen.training.lora_rank and not chosen.make.merge:
        raise BadInput("adapters alone are no model that can be asked; --merge (MERGE=1) saves whole weights")


def _drop_weights(folder: Path) -> None:
    digest = stages.weights_digest(folder)
    for path in stages.heavy_files(folder):
        path.unlink()
    measured = "benchmarks" in (read_record(folder) or {})["notes"] or "accuracy_retain" in stages.read_summary(folder)
    how = "deleted after evaluation (--no-save)" if measured else "deleted without evaluation (--no-save --no-eval)"
    stages.amend(folder, weights=how, deleted_weights=digest)


def describe(folder: Path) -> list[str]:
    """What a finished model knows, in a few lines."""
    summary = stages.read_summary(folder)
    notes = (read_record(folder) or {}).get("notes", {})
    lines = []
    for split in ("forget", "retain"):
        before, after = summary.get(f"{split}_nll_before"), summary.get(f"{split}_nll")
        if before is not None or after is not None:
            shown = ["not a number" if value is None else f"{value:.3f}" for value in (before, after)]
            lines.append(f"   {split} likelihood loss {' -> '.join(shown)} nats per token")
    words = {"t": "hazardous questions, half T", "v": "hazardous questions, half V", "retain": "benign questions"}
    lines += [
        f"   {words[side]}: {summary[f'accuracy_{side}']:.0%} right" for side in words if f"accuracy_{side}" in summary
    ]
    if notes.get("unmoved_share") is not None:
        lines.append(f"   weights that training left exactly as they were: {notes['unmoved_share']:.1%}")
    return lines
