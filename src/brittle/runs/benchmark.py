"""Published benchmarks of one model (``experiment/eval.py``) as a record: ``<model>/benchmarks/``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from brittle import source
from brittle.evaluation import published_benchmarks as published
from brittle.models.references import Located
from brittle.records import Draft, Identity, check_place, write_json, writing
from brittle.runs import laboratory_models, material
from brittle.runs.executor import Tick
from brittle.runs.job import missing
from brittle.settings import LARGEST_SEED, BadInput, setting

if TYPE_CHECKING:
    from brittle.models.loading import LoadedModel

FOLDER = "benchmarks"


@dataclass(frozen=True)
class BenchmarkSettings:
    """Which model is asked what."""

    model: str | None = setting(None, "model: hub id, folder, GGUF file, laboratory:NAME or smollm2:base")
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
        raise BadInput("--model is required: a hub id, a folder, a GGUF file, laboratory:NAME or smollm2:base")
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
    for job in missing([Benchmark(located, folder, tuple(tasks), questions, settings)], settings.force):
        job.carry_out(lambda _: None)
    return folder


@dataclass(frozen=True)
class Benchmark:
    """The benchmarks of one model, as a :class:`brittle.runs.job.Job`."""

    located: Located
    folder: Path
    tasks: tuple[str, ...]
    questions: Mapping[str, Any]
    """Questions of the model's own world by side, instead of tasks."""
    settings: BenchmarkSettings

    @property
    def identity(self) -> Identity:
        """The model, the code and what is asked."""
        given = self.settings
        inputs = {"model": self.located.digest, "source": source.digest_of(published.__name__)}
        asked = {"tasks": self.tasks, "own": sorted(self.questions), "limit": given.limit, "seed": given.seed}
        return Identity(FOLDER, inputs, asked | {"dtype": given.dtype})

    @property
    def size(self) -> int:
        """One record."""
        return 1

    def carry_out(self, tick: Tick) -> None:
        """Load the model, ask it through lm-eval, write the record."""
        from brittle.models.loading import load

        given = self.settings
        loaded = load(self.located, given.device, given.dtype)
        own = {f"laboratory_{side}": part for side, part in self.questions.items()}
        results = published.evaluate(
            loaded, list(self.tasks), own, given.include_path, given.limit, given.batch_size, given.seed
        )
        with writing(self.folder, self.identity) as draft:
            draft.note(**({"run_name": given.wandb_name} if given.wandb_name else {}))
            _write(draft, loaded, [*self.tasks, *own], results)
        tick(1)


def _write(draft: Draft, loaded: LoadedModel, tasks: list[str], results: Mapping[str, Any]) -> None:
    draft.summary({"model": loaded.name, "tasks": tasks, "results": results})
    for task, found in results.items():
        write_json(draft.folder / f"{task}.json", {"model": loaded.name, "task": task, **found})
    (draft.folder / "high_level_summary.md").write_text(
        published.summary_markdown(loaded.name, results), encoding="utf-8"
    )
