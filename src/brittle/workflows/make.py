"""Make an unlearned model: one method, one base, one folder that says how.

``unlearned_models/<model>__<method>__<settings>/`` holds the weights as safetensors (float32, as trained), the
tokenizer, ``training.csv`` (loss terms by step), ``summary.json`` (what it knows afterwards) and the record.
"""

from __future__ import annotations

import math
import os
import random
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from brittle import discovery, leases
from brittle.contracts import MethodNeeds
from brittle.data.corpora import text_column
from brittle.evaluation.published_benchmarks import DEFAULT_TASKS
from brittle.records import Draft, Identity, check_place, parents_of, writing
from brittle.settings import BadInput, resolve, setting
from brittle.training.hyperparameters import TrainingSettings
from brittle.workflows import finishing, laboratory, make_checks, stages
from brittle.workflows.run_identity import PROCESSES, Texts, folder_name, identity_of

DEFAULT_BASE = "EleutherAI/deep-ignorance-unfiltered"
DATA = {"forget": "data/forget.txt", "retain": "data/retain.txt"}
"""Where create_datasets.py writes; these files add nothing to a model's name."""
PRESET_NAMES = ("laboratory",)


@dataclass(frozen=True)
class MakeSettings:
    """Which model is made from what, and what happens to it."""

    model: str = setting(DEFAULT_BASE, "base model: hub id, folder or laboratory:NAME", environment="BASE")
    method: str = setting(None, f"unlearning method: {', '.join(discovery.plugins('methods'))}")
    preset: str | None = setting(
        None, "named settings of the method; flags still win", choices=PRESET_NAMES, environment="PRESET"
    )
    forget_data: str | None = setting(
        None,
        f"texts to forget, one a line (or jsonl, csv, parquet) (default: {DATA['forget']}, or a laboratory model's own)",
        environment="FORGET_DATA",
    )
    retain_data: str | None = setting(
        None, f"texts to keep (default: {DATA['retain']}, or a laboratory model's own)", environment="RETAIN_DATA"
    )
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
    force: bool = setting(False, "train again even if the record is complete")


@dataclass(frozen=True)
class Plan:
    """Everything that decides a run: resolved settings, the method's file, data, folder and identity."""

    make: MakeSettings
    training: TrainingSettings
    method: Any
    module: ModuleType
    base: Any
    texts: Mapping[str, Sequence[str]]
    folder: Path
    identity: Identity

    @property
    def needs(self) -> MethodNeeds:
        """What the method reads."""
        return self.module.NEEDS


def plan(given: Mapping[str, Any], environment: Mapping[str, str] | None = None) -> Plan:
    """Resolve flags, environment and preset into a plan; refuses what does not fit before anything is loaded."""
    from brittle.models.devices import mixed_precision, resolve_device, word_for

    make = resolve(MakeSettings, given, environment)
    if not make.method:
        raise BadInput("--method is required, for example: --model laboratory:base --method cb_lat --preset laboratory")
    module = discovery.find("methods", make.method).load()
    make_checks.refuse_unused(make.method, module.Settings, given)
    preset = module.PRESETS.get(make.preset, {}) if make.preset else {}
    training = resolve(TrainingSettings, given, environment, preset)
    method = resolve(module.Settings, given, environment, preset)
    make_checks.check_fit(make, training, module.NEEDS)
    device = resolve_device(make.device)
    dtype, usual = (word_for(mixed_precision(text, device)) for text in (make.dtype, "auto"))
    if training.weight_dtype == "bf16":
        dtype = usual = "bf16"
    base = laboratory.find(make.model)
    make_checks.check_model(base, module.NEEDS, training, method)
    training = make_checks.within_context(base, training)
    texts = read_texts(make)
    make_checks.check_texts(training, texts.splits)
    common = (make.method, base, texts, training, method, make.merge)
    name = folder_name(*common, None if dtype == usual else dtype)
    identity = identity_of(make.method, module, base, texts, training, method, make.merge, dtype)
    folder = Path(make.outdir) / name
    return Plan(make, training, method, module, base, texts.splits, folder, identity)


def read_texts(make: MakeSettings) -> Texts:
    """Forget and retain texts: of the file that is named, else a laboratory model's own, else of the documented file."""
    from brittle.data.corpora import read_texts as read

    own = laboratory.parse(make.model)[1].texts() if make.model.startswith(laboratory.PREFIX) else {}
    splits, named = {}, []
    for split, usual in DATA.items():
        path = {"forget": make.forget_data, "retain": make.retain_data}[split]
        splits[split] = own[split] if own and not path else read(path or usual, make.text_column)
        if path and (own or Path(path).resolve() != Path(usual).resolve()):
            named.append(split)
    return Texts(splits, tuple(named))


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
        return finishing.finish(chosen)
    from brittle.workflows.unlearning import unlearn

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
    return finishing.finish(chosen)


def process() -> int:
    """This process's number among those that ``accelerate launch`` started."""
    return int(os.environ.get("RANK", 0))


def finished(chosen: Plan) -> bool:
    """Whether everything that a plan asks for has been done."""
    return not stages.outstanding(chosen)


def planned_steps(chosen: Plan) -> int:
    """About how many optimizer steps a plan takes, for a progress bar."""
    return optimizer_steps(chosen.training, len(chosen.texts["forget"]), len(chosen.texts["retain"])) or 1


def make_in_worker(given: Mapping[str, Any], tick: Callable[[int], None]) -> Path:
    """Plan and make in a worker process."""
    return make_model(plan(given), tick)


def optimizer_steps(training: TrainingSettings, forget: int, retain: int) -> int:
    """Optimizer steps of a run: ``epochs`` passes over the forget texts (retain texts where a method reads no others).

    ``--max-steps`` sets the number outright; ``--epochs 0`` trains nothing.
    """
    per_step = training.batch_size * training.grad_accum_steps * PROCESSES
    if training.epochs == 0:
        return 0
    return training.max_steps or training.epochs * math.ceil((forget or retain) / per_step)


def split_for_evaluation(texts: Sequence[str], share: float, seed: int) -> tuple[list[str], list[str]]:
    """Shuffle, then hold out the first ``share`` of the texts (at least one, if a share is asked for)."""
    shuffled = list(texts)
    random.Random(seed).shuffle(shuffled)
    held_out = min(len(shuffled) - 1, max(1, int(len(shuffled) * share))) if share > 0 else 0
    return shuffled[held_out:], shuffled[:held_out]
