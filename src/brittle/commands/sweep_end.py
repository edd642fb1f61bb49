"""What a sweep leaves at its end: one table of attacks, one plan of models, and lines about what to do next."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from brittle import progress
from brittle.commands.options import next_step
from brittle.commands.rank import rank
from brittle.commands.sweep_model import SweepModel
from brittle.commands.sweep_stages import attack_runs, work_on
from brittle.models.references import Located
from brittle.records import fingerprint, read_record, write_text
from brittle.runs import roles
from brittle.runs.attack_tables import combine
from brittle.runs.roles import Arm
from brittle.settings import BadInput
from brittle.sweeps.file import Sweep
from brittle.sweeps.state import Place

RANKING = "ranking.md"


def finish(sweep: Sweep, models: Sequence[SweepModel], outputs: Path, score: str) -> list[str]:
    """Write the tables over all models that went through every stage, also those whose weights are gone, and rank them.

    What was written of the same models before stands.
    """
    places = list(dict.fromkeys(model.outputs for model in models))
    there = {place: [m for m in models if m.outputs == place and m.finished()] for place in places}
    note = Place(outputs).gathered
    content = {
        "models": fingerprint([[m.identity.fingerprint for m in some] for some in there.values()]),
        "score": score,
    }
    lines = []
    if not (note.is_file() and note.read_text(encoding="utf-8") == json.dumps(content)):
        for place, some in there.items():
            if located := [found for model in some if (found := model.measured())]:
                _gather(sweep, some[0].plan.make.model, place, located)
        lines = _ranked(models, outputs, score)
        write_text(note, json.dumps(content))
    if deleted := _deleted(models):
        lines.append(f"weights deleted after the last stage: of {progress.several(deleted, 'model')}")
    if (outputs / RANKING).is_file():
        lines.append(f"-> {outputs / RANKING}")
    for place in places if sweep.diagnose or sweep.attack else ():
        lines += [f"-> {place}", next_step("brittle", "report", place)]
    return lines


def _ranked(models: Sequence[SweepModel], outputs: Path, score: str) -> list[str]:
    """Rank the folders with the sweep's models: ``ranking.md`` beside a table and a page; nothing where none is made."""
    from brittle.views import ranking as view

    places = list(dict.fromkeys(model.outputs for model in models))
    try:
        found = rank(
            sorted({model.folder_of_models for model in models}), places, outputs / RANKING,
            None if score == "auto" else score,
        )  # fmt: skip
    except BadInput as problem:
        return [f"not ranked: {problem}"]
    return list(view.lines(found))


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
