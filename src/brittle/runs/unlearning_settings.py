"""The settings of making an unlearned model: which base, which method, which texts, what follows."""

from __future__ import annotations

from dataclasses import dataclass

from brittle import discovery
from brittle.data.corpora import text_column
from brittle.data.files import DOCUMENTED_TEXTS
from brittle.evaluation.published_benchmarks import DEFAULT_TASKS
from brittle.settings import setting

DEFAULT_BASE = "EleutherAI/deep-ignorance-unfiltered"

"""Where create_datasets.py writes; these files add nothing to a model's name."""

PRESET_NAMES = ("laboratory",)


@dataclass(frozen=True)
class MakeSettings:
    """Which model is made from what, and what happens to it."""

    model: str = setting(
        DEFAULT_BASE, "base model: hub id, folder, GGUF file, laboratory:NAME or smollm2:base", environment="BASE"
    )
    method: str = setting(None, f"unlearning method: {', '.join(discovery.plugins('methods'))}")
    preset: str | None = setting(
        None, "named settings of the method; flags still win", choices=PRESET_NAMES, environment="PRESET"
    )
    forget_data: str | None = setting(
        None,
        f"texts to forget, one a line (or jsonl, csv, parquet) (default: {DOCUMENTED_TEXTS['forget']}, or a laboratory model's own)",
        environment="FORGET_DATA", flag="--forget-text", aliases=("--forget-data",),
    )  # fmt: skip
    retain_data: str | None = setting(
        None, f"texts to keep (default: {DOCUMENTED_TEXTS['retain']}, or a laboratory model's own)", environment="RETAIN_DATA",
        flag="--retain-text", aliases=("--retain-data",),
    )  # fmt: skip
    text_column: str | None = text_column()
    device: str = setting("auto", "auto (best GPU), cuda, cuda:N, mps or cpu", environment="DEVICE")
    dtype: str = setting(
        "auto",
        "compute type; weights train in float32 whatever it is",
        choices=("auto", "fp32", "fp16", "bf16"),
        environment="DTYPE",
    )
    outdir: str = setting(
        "unlearned_models", "folder under which the model's own folder is made", environment="UNLEARNED_ROOT"
    )
    push_to_hub: bool = setting(False, "upload the finished model to the Hugging Face hub", environment="PUSH_TO_HUB")
    no_save: bool = setting(False, "delete the weights once evaluation is done; records stay", environment="NO_SAVE")
    no_eval: bool = setting(False, "skip the questions and benchmarks after training", environment="NO_EVAL")
    eval_tasks: str = setting(
        ",".join(DEFAULT_TASKS), "lm-eval benchmarks after training (a laboratory model is asked its own questions instead)",
        environment="EVAL_TASKS",
    )  # fmt: skip
    eval_limit: int | None = setting(None, "questions per benchmark task", environment="EVAL_LIMIT", minimum=1)
    check_wandb_only: bool = setting(
        False, "exit 0 if this run has finished, here or in W&B, 1 otherwise, without loading a model"
    )
    strict: bool = setting(
        False, "a run that other code made, or other data in W&B, does not count as this one (else: a warning)",
        environment="STRICT",
    )  # fmt: skip
    merge: bool = setting(
        False, "after adapter training, save whole weights with the update added (else the adapters alone)",
        environment="MERGE",
    )  # fmt: skip
    resume: bool = setting(
        False, "go on from the last checkpoint of exactly this run, if there is one", environment="RESUME"
    )
    checkpoint_interval: int = setting(
        200, "optimizer steps between checkpoints (0: none)", environment="CHECKPOINT_INTERVAL", minimum=0
    )
    probe: bool = setting(
        False, "take five steps, write no model, and say what the run is about to do: nothing, or too much?"
    )
    force: bool = setting(False, "train again even if the record is complete")
