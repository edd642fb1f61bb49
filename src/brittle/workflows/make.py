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
from dataclasses import dataclass, fields
from pathlib import Path
from types import ModuleType
from typing import Any

from brittle import discovery, leases, training
from brittle.contracts import MethodNeeds
from brittle.data.corpora import text_column
from brittle.evaluation.published_benchmarks import DEFAULT_TASKS
from brittle.records import (
    Draft,
    Identity,
    check_place,
    digest_of_source,
    fingerprint,
    is_complete,
    parents_of,
    writing,
)
from brittle.settings import BadInput, as_dictionary, fields_of, flag_of, folder_tags, resolve, setting
from brittle.training.hyperparameters import VOCABULARY, TrainingSettings
from brittle.workflows import finishing, laboratory

TRAINING_SOURCES = tuple(
    Path(str(training.__file__)).parent / f"{name}.py"
    for name in ("adversary", "batches", "loop", "norms", "optimizers", "reference", "step", "terms")
)
"""The code besides the method's own file that decides what weights come out."""
PRESET_NAMES = ("laboratory",)
SHARDED = any(os.environ.get(name) == "true" for name in ("ACCELERATE_USE_FSDP", "ACCELERATE_USE_DEEPSPEED"))
"""Whether ``accelerate launch`` was told to give each process only a part of the weights."""

PROCESSES = int(os.environ.get("WORLD_SIZE", 1))


@dataclass(frozen=True)
class MakeSettings:
    """Which model is made from what, and what happens to it."""

    model: str = setting(None, "base model: hub id, folder or laboratory:NAME", environment="BASE")
    method: str = setting(None, "unlearning method (see: brittle methods)")
    preset: str | None = setting(
        None, "named settings of the method; flags still win", choices=PRESET_NAMES, environment="PRESET"
    )
    forget_data: str = setting(
        "data/forget.txt",
        "texts to forget, one a line (or jsonl, csv, parquet); a laboratory model brings its own",
        environment="FORGET_DATA",
    )
    retain_data: str = setting("data/retain.txt", "texts to keep", environment="RETAIN_DATA")
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
        False, "exit 0 if exactly this run has finished, 1 otherwise, without loading a model"
    )
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
    make = resolve(MakeSettings, given, environment)
    if not make.model or not make.method:
        raise BadInput(
            "--model and --method are required, for example: --model laboratory:base --method cb_lat --preset laboratory"
        )
    module = discovery.find("methods", make.method).load()
    refuse_unused(make.method, module.Settings, given)
    preset = module.PRESETS.get(make.preset, {}) if make.preset else {}
    training = resolve(TrainingSettings, given, environment, preset)
    method = resolve(module.Settings, given, environment, preset)
    check_fit(make, training, module.NEEDS)
    base = laboratory.find(make.model)
    check_layers(base, module.NEEDS, method)
    texts = read_texts(make, given)
    name = f"{base.name}__{make.method}__{folder_tags(training, method)}"
    if texts["source"] != "default":
        name += f"_data{fingerprint(texts['source'])[:6]}"
    inputs = {
        "base": base.digest, "forget": fingerprint(texts["forget"]), "retain": fingerprint(texts["retain"]),
        "source": digest_of_source(module, *TRAINING_SOURCES),
    }  # fmt: skip
    settings = as_dictionary(training) | as_dictionary(method) | {"method": make.method, "dtype": make.dtype}
    split = {key: texts[key] for key in ("forget", "retain")}
    return Plan(
        make,
        training,
        method,
        module,
        base,
        split,
        Path(make.outdir) / name,
        Identity("unlearned model", inputs, settings),
    )


def refuse_unused(name: str, settings_type: type, given: Mapping[str, Any]) -> None:
    """A hyper-parameter that the method does not read is an error, not a silent no-op."""
    own = {field.name for field in fields(settings_type)}
    for key in given:
        if key in VOCABULARY and key not in own:
            used = ", ".join(flag_of(field) for field in fields_of(settings_type)) or "none of its own"
            raise BadInput(f"--{key.replace('_', '-')} is not used by {name}; its settings are: {used}")


def check_fit(make: MakeSettings, training: TrainingSettings, needs: MethodNeeds) -> None:
    """Refuse options that this method cannot honour."""
    if training.lora_rank and not needs.adapters:
        raise BadInput(f"--lora-rank: {make.method} works on the weights themselves; train it without adapters")
    if training.weight_dtype == "bf16" and SHARDED:
        raise BadInput("--weight-dtype bf16 rounds whole weights; sharded ones (FSDP, DeepSpeed) stay in fp32")
    if make.merge and not training.lora_rank:
        raise BadInput("--merge adds adapters to the weights; there are none without --lora-rank")
    if training.gradient_checkpointing and needs.layers:
        raise BadInput(
            f"--gradient-checkpointing: {make.method} reads or changes hidden states, which a recomputation would miss; leave it out"
        )
    if SHARDED and (needs.whole_model or needs.initial_weights or training.lora_rank or training.eval_interval):
        raise BadInput(
            f"{make.method} with these settings needs the whole model in one process (shifted or initial weights, adapters or "
            "--eval-interval); launch it without FSDP or DeepSpeed"
        )
    if training.grad_accum_steps > 1 and os.environ.get("ACCELERATE_USE_DEEPSPEED") == "true":
        raise BadInput(
            "--grad-accum-steps: DeepSpeed takes a step after every micro-batch; launch with more processes or use FSDP"
        )
    if needs.whole_model and PROCESSES > 1:
        raise BadInput(
            f"{make.method} shifts the weights by the gradient of the whole step, which one process must see: "
            "leave out further processes (--grad-accum-steps instead)"
        )
    if training.stop_on_collapse and not training.eval_interval:
        raise BadInput("--stop-on-collapse looks at the held-out likelihood every --eval-interval steps; set that too")


def check_layers(base: Any, needs: MethodNeeds, method: Any) -> None:
    """Refuse target layers that the model does not have, before its weights are loaded."""
    from brittle.models.loading import number_of_layers

    if needs.layers:
        depth = number_of_layers(base)
        wrong = [layer for layer in method.layer_id if not 0 <= layer < depth]
        if wrong or not method.layer_id:
            raise BadInput(
                f"--layer-id: {wrong or 'no layer'} is outside {base.text}, whose layers are 0 to {depth - 1}"
            )


def read_texts(make: MakeSettings, given: Mapping[str, Any]) -> dict[str, Any]:
    """Forget and retain texts; a laboratory model brings its own unless files are named."""
    from brittle.data.corpora import read_texts as read

    named = [key for key in ("forget_data", "retain_data") if key in given]
    if make.model.startswith(laboratory.PREFIX) and not named:
        _, chosen = laboratory.parse(make.model)
        return chosen.texts() | {"source": "default"}
    source = [getattr(make, key) for key in named] or "default"
    column = make.text_column
    return {"forget": read(make.forget_data, column), "retain": read(make.retain_data, column), "source": source}


def make_model(chosen: Plan, tick: Callable[[int], None] | None = None) -> Path:
    """Carry out a plan; a complete record of the same identity is left as it is, and only what follows it is done."""
    from brittle.training.checkpoint import Checkpoints

    checkpoints = Checkpoints(
        chosen.folder.parent / f".{chosen.folder.name}.checkpoint",
        chosen.identity.fingerprint,
        chosen.make.checkpoint_interval,
    )
    if finished(chosen) and not chosen.make.force:
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
        checkpoints.remove()
    return finishing.finish(chosen)


def process() -> int:
    """This process's number among those that ``accelerate launch`` started."""
    return int(os.environ.get("RANK", 0))


def finished(chosen: Plan) -> bool:
    """Whether a complete record of exactly this plan exists."""
    return is_complete(chosen.folder, chosen.identity)


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
