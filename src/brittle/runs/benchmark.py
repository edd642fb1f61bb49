"""Published benchmarks of one model (``experiment/eval.py``) as a record: ``<model>/benchmarks/``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from brittle import source
from brittle.evaluation import published_benchmarks as published
from brittle.models.references import Located
from brittle.records import Draft, Identity, check_place, is_complete, write_json, writing
from brittle.runs import laboratory_models, material
from brittle.settings import LARGEST_SEED, BadInput, setting

if TYPE_CHECKING:
    from brittle.models.loading import LoadedModel

FOLDER = "benchmarks"


@dataclass(frozen=True)
class BenchmarkSettings:
    """Which model is asked what."""

    model: str | None = setting(None, "model: hub id, folder or laboratory:NAME")
    tasks: str = setting(
        ",".join(published.DEFAULT_TASKS),
        "lm-eval tasks with commas between them; a laboratory model is asked its own world's questions unless tasks are named",
    )
    include_path: str | None = setting(None, "folder with further lm-eval task files (YAML)")
    limit: int | None = setting(None, "questions per task, for a quick look", minimum=1)
    batch_size: str = setting("auto", "auto, or rows per forward pass")
    device: str = setting("auto", "auto (best GPU), cuda, cuda:N, mps or cpu", environment="DEVICE")
    dtype: str = setting("auto", "compute type", choices=("auto", "fp32", "fp16", "bf16"), environment="DTYPE")
    outroot: str = setting("outputs", "folder for results", environment="OUTROOT")
    outdir: str | None = setting(None, "folder of this result (default: <outroot>/<model>/benchmarks)")
    seed: int = setting(42, "seed of lm-eval's few-shot examples and samples", minimum=0, maximum=LARGEST_SEED)
    wandb_project: str | None = setting(None, "W&B project of this run", environment="WANDB_PROJECT")
    wandb_name: str | None = setting(None, "name of this run in W&B (default: the model and the folder)")
    force: bool = setting(False, "run again even if the record is complete")


def run(settings: BenchmarkSettings, given: Mapping[str, Any]) -> Path:
    """Run the benchmarks that have no complete record; returns their folder."""
    if not settings.model:
        raise BadInput("--model is required: a hub id, a folder or laboratory:NAME")
    if settings.batch_size != "auto" and not (settings.batch_size.isascii() and settings.batch_size.isdigit()):
        raise BadInput(f"--batch-size: '{settings.batch_size}' is neither auto nor a number of rows")
    if settings.batch_size.strip("0") == "":
        raise BadInput("--batch-size must be at least 1, or auto")
    located = laboratory_models.find(settings.model)
    folder = Path(settings.outdir) if settings.outdir else Path(settings.outroot) / located.name / FOLDER
    questions = {} if "tasks" in given else material.questions_for(settings.model) or {}
    tasks = [] if questions else settings.tasks.replace(",", " ").split()
    if not tasks and not questions:
        raise BadInput("--tasks names no task; give one or more with commas between them, for example mmlu,wikitext")
    check_place(folder)
    benchmarks(located, folder, tasks, questions, settings)
    return folder


def benchmarks(
    located: Located, folder: Path, tasks: list[str], questions: Mapping[str, Any], settings: BenchmarkSettings
) -> None:
    """One record of a model's benchmarks."""
    from brittle.models.loading import load

    identity = Identity(
        FOLDER,
        {"model": located.digest, "source": source.digest_of(published.__name__)},
        {
            "tasks": tasks,
            "own": sorted(questions),
            "limit": settings.limit,
            "seed": settings.seed,
            "dtype": settings.dtype,
        },
    )
    if is_complete(folder, identity) and not settings.force:
        return
    loaded = load(located, settings.device, settings.dtype)
    own = {f"laboratory_{side}": part for side, part in questions.items()}
    results = published.evaluate(
        loaded, tasks, own, settings.include_path, settings.limit, settings.batch_size, settings.seed
    )
    with writing(folder, identity) as draft:
        draft.note(**({"run_name": settings.wandb_name} if settings.wandb_name else {}))
        _write(draft, loaded, [*tasks, *own], results)


def _write(draft: Draft, loaded: LoadedModel, tasks: list[str], results: Mapping[str, Any]) -> None:
    draft.summary({"model": loaded.name, "tasks": tasks, "results": results})
    for task, found in results.items():
        write_json(draft.folder / f"{task}.json", {"model": loaded.name, "task": task, **found})
    (draft.folder / "high_level_summary.md").write_text(
        published.summary_markdown(loaded.name, results), encoding="utf-8"
    )
