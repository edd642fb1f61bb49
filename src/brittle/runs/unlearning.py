"""What follows a training: evaluation, upload, deletion of the weights, and a few lines about the result."""

from __future__ import annotations

import shlex
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from brittle import leases, places, progress, tracking
from brittle.evaluation import multiple_choice_accuracy as accuracy
from brittle.records import Draft, Identity, check_place, parents_of, read_record, write_json, writing
from brittle.results.no_effect import effect
from brittle.runs import evaluation, stages
from brittle.runs.job import missing
from brittle.runs.unlearning_plan import Plan, plan, planned_steps, process
from brittle.settings import BadInput
from brittle.suites import laboratory


def finish(chosen: Plan) -> Path:
    """What is left after the training: each stage once, each after the one before; weights go last and only if all held."""
    left = stages.outstanding(chosen) if not chosen.make.force else _after_force(chosen)
    evaluated = stages.EVALUATION not in left or _evaluate(chosen)
    if stages.UPLOAD in left:
        from brittle.runs import publish

        repository = publish.upload(chosen.folder)
        stages.amend(chosen.folder, uploaded=repository)
        print(f"uploaded: {repository}")
    if stages.REMOVAL in left and evaluated:
        _drop_weights(chosen.folder)
    elif stages.REMOVAL in left:
        progress.say(
            f"the weights stay in {chosen.folder}, because they were not evaluated; the same command finishes that, or "
            "with --no-eval (NO_EVAL=1) deletes them unevaluated"
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
        ways = "without it: --no-eval (NO_EVAL=1)"
        if not laboratory.behind(chosen.base.text):
            own = f"uv run brittle diagnose {accuracy.NAME} --model {shlex.quote(str(chosen.folder))}"
            ways += f"; with questions of your own: {own} --forget-questions FILE --retain-questions FILE"
        progress.say(f"not evaluated: {problem}. Later: the same command; {ways}")
        return False
    stages.amend(chosen.folder, uploaded=None)
    return True


def _ask(chosen: Plan) -> None:
    """The laboratory's questions, to a model that was trained without asking them."""
    from brittle.models.loading import load
    from brittle.models.references import locate

    _refuse_adapters(chosen)
    before, after = (
        evaluation.answers(load(each, chosen.make.device, "fp32"), chosen.make.model)
        for each in (chosen.base, locate(str(chosen.folder)))
    )
    found = places.read_summary(chosen.folder) | evaluation.compared(before, after)
    found["nothing_unlearned"] = effect(found).nothing_unlearned
    write_json(chosen.folder / "summary.json", found)
    stages.amend(chosen.folder)
    tracking.add(chosen.folder, chosen.folder / "summary.json")


def _benchmark(chosen: Plan) -> None:
    """The published benchmarks."""
    from brittle.models.references import locate
    from brittle.runs import benchmark

    _refuse_adapters(chosen)
    given = benchmark.BenchmarkSettings(
        limit=chosen.make.eval_limit, device=chosen.make.device, dtype=chosen.make.dtype
    )
    folder = chosen.folder / benchmark.FOLDER
    job = benchmark.Benchmark(locate(str(chosen.folder)), folder, tuple(stages.tasks_of(chosen)), {}, given)
    for each in missing([job]):
        each.carry_out(lambda _: None)
    stages.amend(chosen.folder, benchmarks=stages.asked(chosen))


def _refuse_adapters(chosen: Plan) -> None:
    if chosen.training.lora_rank and not chosen.make.merge:
        raise BadInput("adapters alone are no model that can be asked; --merge (MERGE=1) saves whole weights")


def _drop_weights(folder: Path) -> None:
    from brittle.models.references import digest_of

    digest = stages.weights_digest(folder)
    own = digest_of(folder) if (folder / "config.json").is_file() else None  # adapters alone are no model
    for path in stages.heavy_files(folder):
        path.unlink()
    measured = "benchmarks" in (read_record(folder) or {})["notes"] or "accuracy_retain" in places.read_summary(folder)
    how = "deleted after evaluation (--no-save)" if measured else "deleted without evaluation (--no-save --no-eval)"
    stages.amend(folder, weights=how, deleted_weights=digest, digest=own)


def make_model(chosen: Plan, tick: Callable[[int], None] | None = None) -> Path:
    """Carry out a plan: train unless the model is there as wanted, then what follows (:func:`finishing.finish`)."""
    from brittle.training.checkpoint import Checkpoints

    checkpoints = Checkpoints(
        chosen.folder.parent / f".{chosen.folder.name}.checkpoint",
        chosen.identity.fingerprint,
        chosen.make.checkpoint_interval,
    )
    if stages.TRAINING not in stages.outstanding(chosen):
        checkpoints.remove()  # a kill between the record and this would leave them for ever
        return finish(chosen)
    from brittle.runs.unlearning_training import unlearn

    if process() > 0:  # helps to train; the first process writes
        with tempfile.TemporaryDirectory() as folder:
            unlearn(chosen, Draft(Path(folder)), checkpoints, tick or (lambda _: None))
        return chosen.folder
    smallest = sum(path.stat().st_size for path in chosen.base.folder.glob("*.safetensors"))  # they are saved in fp32
    check_place(chosen.folder, chosen.identity.kind, space=smallest)
    with parents_of(chosen.folder), leases.held(chosen.folder):  # another process's checkpoint is not deleted
        if not chosen.make.resume:
            checkpoints.remove()
        with writing(chosen.folder, chosen.identity) as draft:
            unlearn(chosen, draft, checkpoints, tick)
            stages.keep_evaluation(chosen, draft)
        checkpoints.remove()
    return finish(chosen)


@dataclass(frozen=True)
class Making:
    """An unlearned model that flags ask for, as a :class:`brittle.runs.job.Job`; each process plans it for itself."""

    flags: Mapping[str, Any]

    @cached_property
    def plan(self) -> Plan:
        """The flags with their defaults, the model and the texts that they name."""
        return plan(self.flags)

    def __getstate__(self) -> dict[str, Any]:
        return {"flags": self.flags}

    @property
    def identity(self) -> Identity:
        """The base, the texts, the method and its settings."""
        return self.plan.identity

    @property
    def folder(self) -> Path:
        """Where the model lies."""
        return self.plan.folder

    @property
    def size(self) -> int:
        """Optimizer steps."""
        return planned_steps(self.plan)

    def carry_out(self, tick: Callable[[int], None]) -> None:
        """Make the model, and what follows."""
        make_model(self.plan, tick)
