"""Make an unlearned model: one method, one base, one folder that says how.

``unlearned_models/<model>__<method>__<settings>/`` holds the weights as safetensors (float32, as trained), the
tokenizer, ``training.csv`` (loss terms by step), ``summary.json`` (what it knows afterwards) and the record.
"""

from __future__ import annotations

import math
import os
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any

from brittle import discovery
from brittle.contracts import MethodNeeds
from brittle.records import Identity
from brittle.runs import laboratory_models, once, unlearning_checks
from brittle.runs.unlearning_identity import Texts, folder_name, identity_of, processes
from brittle.runs.unlearning_settings import MakeSettings
from brittle.settings import BadInput, resolve
from brittle.suites import laboratory
from brittle.training.hyperparameters import TrainingSettings


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
        needs: MethodNeeds = self.module.NEEDS
        return needs


@dataclass(frozen=True)
class Resolved:
    """Settings after flags, environment and preset, and the method's file; nothing was located, read or built."""

    make: MakeSettings
    training: TrainingSettings
    method: Any
    module: ModuleType


def resolved(given: Mapping[str, Any], environment: Mapping[str, str] | None = None) -> Resolved:
    """Settings that fit each other and the method; refuses others."""
    make = resolve(MakeSettings, given, environment)
    if not make.method:
        raise BadInput("--method is required, for example: --model laboratory:base --method cb_lat --preset laboratory")
    module = discovery.find("methods", make.method).load()
    unlearning_checks.refuse_unused(make.method, module.Settings, given)
    preset = module.PRESETS.get(make.preset, {}) if make.preset else {}
    training = resolve(TrainingSettings, given, environment, preset)
    method = resolve(module.Settings, given, environment, preset)
    unlearning_checks.check_fit(make, training, module.NEEDS)
    training = with_own_weights(training, module.NEEDS, method)
    return Resolved(make, training, method, module)


def with_own_weights(training: TrainingSettings, needs: MethodNeeds, method: Any) -> TrainingSettings:
    """The settings with the components and layers that the method trains, where no others are asked for."""
    layers = tuple(layer - needs.first_layer for layer in method.layer_id) if needs.trains_target_layers else ()
    return replace(
        training, train_only=training.train_only or needs.trains, train_layers=training.train_layers or layers
    )


def plan(given: Mapping[str, Any], environment: Mapping[str, str] | None = None) -> Plan:
    """Resolve flags, environment and preset into a plan; refuses what does not fit before anything is loaded."""
    from brittle.models.devices import resolve_device, trained_in

    found = resolved(given, environment)
    make, training, method, module = found.make, found.training, found.method, found.module
    device = resolve_device(make.device)
    dtype, usual = (trained_in(text, device) for text in (make.dtype, "auto"))
    if training.weight_dtype == "bf16":
        dtype = usual = "bf16"
    early = read_texts(make) if make.model.startswith(laboratory.PREFIX) else None  # before a laboratory is built
    base = once.asked(laboratory_models.find, make.model)
    unlearning_checks.check_model(base, module.NEEDS, training, method)
    training = unlearning_checks.within_context(base, training)
    texts = early or read_texts(make)
    unlearning_checks.check_texts(training, texts.splits)
    common = (make.method, base, texts, training, method, make.merge)
    name = folder_name(*common, None if dtype == usual else dtype)
    identity = identity_of(make.method, module, base, texts, training, method, make.merge, dtype)
    folder = Path(make.outdir) / name
    return Plan(make, training, method, module, base, texts.splits, folder, identity)


def read_texts(make: MakeSettings) -> Texts:
    """Forget and retain texts: of the file that is named, else a laboratory model's own, else of the documented file."""
    return once.asked(_read_texts, make.model, make.forget_data, make.retain_data, make.text_column)


def _read_texts(model: str, forget_data: str | None, retain_data: str | None, text_column: str | None) -> Texts:
    from brittle.data.corpora import read_texts as read
    from brittle.data.files import DOCUMENTED_TEXTS
    from brittle.data.overlap import check_apart

    own = laboratory.parse(model)[1].texts() if model.startswith(laboratory.PREFIX) else {}
    splits, named = {}, []
    for split, path in {"forget": forget_data, "retain": retain_data}.items():
        usual = DOCUMENTED_TEXTS[split]
        splits[split] = own[split] if own and not path else read(path or usual, text_column)
        if path and (own or Path(path).resolve() != Path(usual).resolve()):
            named.append(split)
    if forget_data or retain_data or not own:
        check_apart(
            {str(forget_data or "the forget texts"): splits["forget"]},
            {str(retain_data or "the retain texts"): splits["retain"]},
        )
    return Texts(splits, tuple(named))


def process() -> int:
    """This process's number among those that ``accelerate launch`` started."""
    return int(os.environ.get("RANK", 0))


def planned_steps(chosen: Plan) -> int:
    """About how many optimizer steps a plan takes, for a progress bar."""
    return optimizer_steps(chosen.training, len(chosen.texts["forget"]), len(chosen.texts["retain"])) or 1


def optimizer_steps(training: TrainingSettings, forget: int, retain: int) -> int:
    """Optimizer steps of a run: ``epochs`` passes over the forget texts (retain texts where a method reads no others).

    ``--max-steps`` sets the number outright; ``--epochs 0`` trains nothing.
    """
    per_step = training.batch_size * training.grad_accum_steps * processes()
    if training.epochs == 0:
        return 0
    return training.max_steps or training.epochs * math.ceil((forget or retain) / per_step)


def split_for_evaluation(texts: Sequence[str], share: float, seed: int) -> tuple[list[str], list[str]]:
    """Shuffle, then hold out the first ``share`` of the texts (at least one, if a share is asked for)."""
    shuffled = list(texts)
    random.Random(seed).shuffle(shuffled)
    held_out = min(len(shuffled) - 1, max(1, int(len(shuffled) * share))) if share > 0 else 0
    return shuffled[held_out:], shuffled[:held_out]
