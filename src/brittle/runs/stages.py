"""What a model still lacks of what its plan asks for: the one place that says whether a run has finished.

Weights that are there, evaluation, upload and the removal of weights are asked about one by one, so that a model whose
weights were deleted after a sweep is trained again when they are wanted, and one without its benchmarks is only measured.
"""

from __future__ import annotations

import functools
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from brittle import progress, tracking
from brittle.places import read_summary
from brittle.records import (
    RECORD,
    check_place,
    contents_of,
    digest_of_file,
    fingerprint,
    is_whole,
    read_record,
    write_json,
)
from brittle.results.no_effect import effect
from brittle.runs import benchmark, unlearning_identity
from brittle.settings import BadInput
from brittle.suites import laboratory

if TYPE_CHECKING:
    from brittle.records import Draft
    from brittle.runs.unlearning_plan import Plan

TRAINING, EVALUATION, UPLOAD, REMOVAL = "training", "evaluation", "upload", "removal of the weights"
HEAVY_FILES = ("*.safetensors", "*.safetensors.index.json")


def outstanding(chosen: Plan) -> list[str]:
    """The stages that are left to do, in their order; none for a run that has finished.

    Raises:
        BadInput: the folder holds a finished model of another run, or something that is no model of ours, and
            ``--force`` was not given.
    """
    make = chosen.make
    record = own_record(chosen)
    if make.force or record is None:
        check_place(chosen.folder, chosen.identity.kind)
        return [TRAINING]
    held = bool(heavy_files(chosen.folder))
    left = [] if make.no_eval or evaluated(chosen, record) else [EVALUATION]
    left += [UPLOAD] if make.push_to_hub and "uploaded" not in record["notes"] else []
    if not held and (left or not make.no_save):
        return [TRAINING]
    return left + ([REMOVAL] if held and make.no_save else [])


def finished_anywhere(chosen: Plan) -> bool:
    """Whether nothing is left to do here, or nothing was begun here and W&B has the run finished.

    An upload and ``--force`` need the model itself, so that runs elsewhere do not count for them.
    """
    if not outstanding(chosen):
        return True
    if chosen.make.force or chosen.make.push_to_hub or own_record(chosen) is not None:
        return False
    return bool(tracking.finished(chosen.folder.name, chosen.identity.fingerprint, chosen.make.strict))


def own_record(chosen: Plan) -> dict[str, Any] | None:
    """The complete record of this run in its folder, or None; a record of another run is refused, or replaced by force."""
    record = read_record(chosen.folder)
    if not record or record.get("status") != "complete":
        return None
    different = unlearning_identity.differences(record, chosen.identity)
    if different == [unlearning_identity.WORDS["source"]] and not chosen.make.strict:
        _say_once(
            f"note: {chosen.folder} was made by other code of Brittle; it counts as this run (--strict: it does not)",
        )
        different = []
    if different and not chosen.make.force:
        raise BadInput(
            f"{chosen.folder} holds a finished model of another run ({'; '.join(different[:4])}); "
            "--force replaces it, another --outdir keeps both"
        )
    whole = is_whole(chosen.folder, record) and isinstance(record.get("notes"), dict)
    return record if whole and not different else None


@functools.cache
def _say_once(line: str) -> None:
    progress.say(line)


def heavy_files(folder: Path) -> list[Path]:
    """The weight files of a model or an adapter."""
    return sorted(path for pattern in HEAVY_FILES for path in folder.glob(pattern))


def weights_digest(folder: Path) -> str:
    """The content hash of a folder's weights."""
    return fingerprint([[path.name, digest_of_file(path)] for path in heavy_files(folder)])


def tasks_of(chosen: Plan) -> list[str]:
    """The published benchmarks that a run asks for; none for a laboratory model, which answers its own questions."""
    tasks = chosen.make.eval_tasks.replace(",", " ").split()
    return [] if tasks == ["none"] or laboratory.behind(chosen.base.text) else tasks


def asked(chosen: Plan) -> dict[str, Any]:
    """What is noted on the record when the benchmarks are there."""
    return {"tasks": tasks_of(chosen), "limit": chosen.make.eval_limit}


def evaluated(chosen: Plan, record: dict[str, Any]) -> bool:
    """Whether a finished model has been asked what this run wants to know."""
    if laboratory.behind(chosen.base.text):
        return "accuracy_retain" in read_summary(chosen.folder)
    return not tasks_of(chosen) or record["notes"].get("benchmarks") == asked(chosen)


def amend(folder: Path, **notes: Any) -> None:
    """Change notes of a record (None removes one) and list the files as they are now."""
    content = read_record(folder) or {}
    kept = {**content["notes"], **notes}
    content["notes"] = {name: value for name, value in kept.items() if value is not None}
    names = [name for name in content["files"] if (folder / name).is_file()]
    content |= {"files": names, "contents": contents_of(folder, names)}
    write_json(folder / RECORD, content)


def keep_evaluation(chosen: Plan, draft: Draft) -> None:
    """What was measured of the same weights before they were deleted goes along when they are made again."""
    record = read_record(chosen.folder) or {}
    notes = record.get("notes", {})
    if chosen.make.force or notes.get("deleted_weights") != weights_digest(draft.folder):
        return
    if (chosen.folder / benchmark.FOLDER).is_dir():
        shutil.copytree(chosen.folder / benchmark.FOLDER, draft.folder / benchmark.FOLDER)
        draft.note(benchmarks=notes.get("benchmarks"))
    measured = read_summary(chosen.folder)
    found = measured | {k: v for k, v in read_summary(draft.folder).items() if v is not None}
    draft.summary(found | {"nothing_unlearned": effect(found).nothing_unlearned})


def finished(chosen: Plan) -> bool:
    """Whether everything that a plan asks for has been done."""
    return not outstanding(chosen)
