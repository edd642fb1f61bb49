"""What a sweep leaves at its end: one table of attacks, one plan of models, and lines about what to do next."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from brittle import progress
from brittle.commands.options import next_step
from brittle.commands.rank import rank
from brittle.commands.sweep_model import SweepModel
from brittle.commands.sweep_stages import attack_runs, work_on
from brittle.models.references import Located
from brittle.records import read_record
from brittle.runs import roles
from brittle.runs.attack_tables import combine
from brittle.runs.roles import Arm
from brittle.settings import BadInput
from brittle.sweeps.file import Sweep


def finish(sweep: Sweep, models: Sequence[SweepModel], outputs: Path, score: str) -> list[str]:
    """Write the tables over all models that went through every stage, also those whose weights are gone, and rank them."""
    lines = (
        [f"weights deleted after the last stage: of {progress.several(deleted, 'model')}"]
        if (deleted := _deleted(models))
        else []
    )
    for place in dict.fromkeys(model.outputs for model in models):
        mine = [model for model in models if model.outputs == place]
        there = [located for model in mine if (located := model.measured())]
        if there:
            _gather(sweep, mine[0].plan.make.model, place, there)
            lines += [f"-> {place}", next_step("brittle", "report", place)]
    return [*_ranked(models, outputs, score), *lines]


def _ranked(models: Sequence[SweepModel], outputs: Path, score: str) -> list[str]:
    """Rank the folders with the sweep's models: ``ranking.md`` beside a table and a page; nothing where none is made."""
    from brittle.views import ranking as view

    places = list(dict.fromkeys(model.outputs for model in models))
    try:
        found = rank(
            sorted({model.folder_of_models for model in models}), places, outputs / "ranking.md",
            None if score == "auto" else score,
        )  # fmt: skip
    except BadInput as problem:
        return [f"not ranked: {problem}"]
    return [*view.lines(found), f"-> {outputs / 'ranking.md'}"]


def _deleted(models: Sequence[SweepModel]) -> int:
    """How many of the models have lost their weights, as NO_SAVE asks for."""
    return sum("deleted_weights" in (read_record(model.plan.folder) or {}).get("notes", {}) for model in models)


def _gather(sweep: Sweep, base: str, outputs: Path, models: Sequence[Located]) -> None:
    work = work_on(sweep, base, outputs)
    arms = [*work.arms, *(Arm(model, "unlearned") for model in models)]
    pairs = [*work.pairs, *((work.arms[0].located, model) for model in models)]
    roles.describe(outputs, arms, pairs if sweep.diagnose else None)
    for name, runs in attack_runs(sweep, work, arms).items():
        combine(name, runs, outputs / "recovery")
