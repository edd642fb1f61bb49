"""What does not fit a model, its method or its texts, refused before weights are loaded."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

from brittle.contracts import MethodNeeds
from brittle.models.anatomy import COMPONENTS
from brittle.models.references import Located
from brittle.runs.unlearning_identity import processes
from brittle.settings import BadInput, fields_of, flag_of, suggestion
from brittle.training.hyperparameters import VOCABULARY, TrainingSettings

if TYPE_CHECKING:
    from brittle.runs.unlearning_settings import MakeSettings

REPEATS, ALWAYS = 4, 64
"""An optimizer step may show every text this many times, and may always hold this many texts."""


def is_sharded() -> bool:
    """Whether ``accelerate launch`` was told to give each process only a part of the weights."""
    return any(os.environ.get(name) == "true" for name in ("ACCELERATE_USE_FSDP", "ACCELERATE_USE_DEEPSPEED"))


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
    if training.lora_alpha != TrainingSettings.lora_alpha and not training.lora_rank:
        raise BadInput("--lora-alpha scales adapters; there are none without --lora-rank")
    if training.weight_dtype == "bf16" and is_sharded():
        raise BadInput("--weight-dtype bf16 rounds whole weights; sharded ones (FSDP, DeepSpeed) stay in fp32")
    if training.weight_dtype == "bf16" and make.dtype not in ("auto", "bf16"):
        raise BadInput(f"--dtype {make.dtype}: weights in bf16 (--weight-dtype) compute in bf16; leave --dtype out")
    if make.merge and not training.lora_rank:
        raise BadInput("--merge adds adapters to the weights; there are none without --lora-rank")
    if training.gradient_checkpointing and needs.layers:
        raise BadInput(
            f"--gradient-checkpointing: {make.method} reads or changes hidden states, which a recomputation would miss; leave it out"
        )
    if training.stop_on_collapse and not training.eval_interval:
        raise BadInput("--stop-on-collapse looks at the held-out likelihood every --eval-interval steps; set that too")
    check_launch(make.method, training, needs)


def check_launch(method: str, training: TrainingSettings, needs: MethodNeeds) -> None:
    """Refuse what several processes, or processes that each hold a part of the weights, cannot do."""
    if is_sharded() and (needs.whole_model or needs.initial_weights or training.lora_rank or training.eval_interval):
        raise BadInput(
            f"{method} with these settings needs the whole model in one process (shifted or initial weights, adapters or "
            "--eval-interval); launch it without FSDP or DeepSpeed"
        )
    if training.grad_accum_steps > 1 and os.environ.get("ACCELERATE_USE_DEEPSPEED") == "true":
        raise BadInput(
            "--grad-accum-steps: DeepSpeed takes a step after every micro-batch; launch with more processes or use FSDP"
        )
    if needs.whole_model and processes() > 1:
        raise BadInput(
            f"{method} shifts the weights by the gradient of the whole step, which one process must see: "
            "launch it alone, with --grad-accum-steps for larger steps"
        )


def check_texts(training: TrainingSettings, texts: Mapping[str, Sequence[str]]) -> None:
    """Refuse an optimizer step that would show the same texts again and again."""
    number = max(map(len, texts.values()))
    per_step = training.batch_size * training.grad_accum_steps * processes()
    if per_step > max(ALWAYS, REPEATS * number):
        raise BadInput(
            f"--batch-size times --grad-accum-steps is {_short(per_step)} texts per step, and there are {number}; "
            f"at most {max(ALWAYS, REPEATS * number)}"
        )


def check_model(base: Located, needs: MethodNeeds, training: TrainingSettings, method: Any) -> None:
    """Refuse layers, components and ranks that the model does not have, before its weights are loaded."""
    from brittle.models.configuration import number_of_layers

    if unknown := [name for name in training.train_only if name not in COMPONENTS]:
        raise BadInput(
            f"--train-only: '{unknown[0]}' is not one of {', '.join(COMPONENTS)}{suggestion(unknown[0], COMPONENTS)}"
        )
    depth = number_of_layers(base.folder)
    chosen = {"--layer-id": (method.layer_id, needs.first_layer)} if needs.layers else {}
    chosen["--train-layers"] = (training.train_layers, 0)
    for flag, (layers, first) in chosen.items():
        wrong = [layer for layer in layers if not first <= layer < depth + first]
        if wrong or (flag == "--layer-id" and not layers):
            middle = range(first + max(0, depth // 2 - 1), first + min(depth, depth // 2 + 1))
            raise BadInput(
                f"{flag}: {', '.join(_short(layer) for layer in wrong) or 'no layer'} is outside {base.text}, whose layers are {first} to "
                f"{depth - 1 + first}; give others, for example {flag} {','.join(map(str, middle))} "
                f"(environment: {flag.removeprefix('--').replace('-', '_').upper()})"
            )
    if training.lora_rank and training.lora_rank > (largest := smallest_side(base)):
        raise BadInput(
            f"--lora-rank: {_short(training.lora_rank)} is more than {base.text}'s smallest matrix has rows or "
            f"columns; at most {largest}"
        )


def smallest_side(base: Located) -> int:
    """The fewest rows or columns that any matrix inside the blocks has, read from the files' headers."""
    from brittle.models.inventory import inventory

    shapes = [side.stored.shape for side in inventory(base.folder).values() if side.place.layer >= 0]
    return min(min(shape) for shape in shapes)


def within_context(base: Located, training: TrainingSettings) -> TrainingSettings:
    """The settings with ``max_length`` no longer than the model reads; a longer one than the default is refused."""
    from brittle.models.configuration import most_positions

    limit = most_positions(base.folder)
    if limit is None or training.max_length <= limit:
        return training
    if training.max_length == TrainingSettings.max_length:
        return replace(training, max_length=limit)
    raise BadInput(f"--max-length: {base.text} reads at most {limit} tokens, not {_short(training.max_length)}")


def _short(number: int) -> str:
    """A whole number of any size in a few characters."""
    text = str(number)
    return text if len(text) <= 12 else f"{text[0]}e{len(text) - 1}"
