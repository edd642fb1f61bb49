"""What a training will hold in memory, from its settings and ``config.json`` alone, and how many GPUs it takes.

The model is built without content, what trains is chosen as the training chooses it, and one step of the method, the
reading of the untouched model and of held-out texts are rehearsed (:mod:`brittle.training.rehearsal`). No weights are
read, nothing is fitted, and CUDA is not started.
"""

from __future__ import annotations

import csv
import functools
import os
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from brittle.settings import BadInput

if TYPE_CHECKING:
    from brittle.runs.unlearning_plan import Resolved
    from brittle.training.rehearsal import Held
    from brittle.training.step import Step

MIB, GIB = 2**20, 2**30
PROCESS = 850 * MIB
"""Resident set of a training without its tensors: the interpreter and the libraries. Measured on Linux with torch 2.15
(CUDA 13.2 build, no GPU): 783 MiB after the imports, 835 in the first step (``benchmarks/memory_on_cpu.py``)."""
CONTEXT = 512 * MIB
"""What CUDA itself takes of every GPU (measured on one H100)."""
RULE_OF_THUMB = 4.5
"""The documented estimate: weights, gradients and Adam's two numbers are about 4.5 times the weights."""
GROUPS = (1, 2, 4, 8, 16)
READ_AT_ONCE = 16
"""Texts in a batch where the untouched model or held-out texts are read."""


@dataclass(frozen=True)
class Estimate:
    """Bytes that one training holds at its peak, by purpose."""

    parts: Mapping[str, float]
    cache_per_text: float
    """Bytes on disk (under ``BRITTLE_HOME``) for each text whose states or likelihoods under the base are kept; they are
    mapped, and what is read of them the system takes back when it needs the memory, so they are not in the sum."""
    why_not: str = ""
    """Why activations are not in it, where they are not."""

    @property
    def total(self) -> float:
        """The sum."""
        return sum(self.parts.values())

    def line(self) -> str:
        """The plan in the words of :mod:`brittle.training.memory`."""
        from brittle.training import memory

        return memory.in_words(self.parts, not self.why_not, self.why_not)


def estimate(
    resolved: Resolved,
    configuration_folder: Path | str,
    half: bool,
    texts_longest: int | None = None,
    on_cpu: bool | None = None,
) -> Estimate:
    """The memory of one training.

    Args:
        configuration_folder: a folder with a ``config.json``, or a hub id, of which only that file is fetched.
        half: whether float32 weights compute in bfloat16 (autocast), as they do on a GPU by default.
        texts_longest: tokens of the longest row, where it is known to be shorter than ``--max-length``.
        on_cpu: whether it is a resident set: with the process itself, what its allocator keeps, loading and saving. By
            default where ``--device cpu`` is said or there is no GPU.

    Trainings that differ in learning rates, weights of terms or seeds are estimated once.
    """
    from brittle.models.references import configuration_folder as found

    folder = found(str(configuration_folder))
    if on_cpu is None:
        on_cpu = resolved.make.device == "cpu" or not gpus()
    training = resolved.training
    tokens = min(training.max_length, texts_longest or training.max_length)
    training = replace(training, max_length=tokens, lr=1.0, epochs=1, max_steps=0, seed=0, weight_decay=0.0)
    merge = resolved.make.merge or not training.lora_rank
    return _estimated(folder, resolved.module, _with_usual_weights(resolved.method), training, half, on_cpu, merge)


def _with_usual_weights(method: Any) -> Any:
    """The method's settings with every factor that is not zero at its default: no shape depends on it."""
    usual = type(method)()
    return replace(method, **{
        field.name: getattr(usual, field.name) for field in fields(method)
        if isinstance(value := getattr(method, field.name), float) and value and getattr(usual, field.name)
    })  # fmt: skip


@functools.lru_cache(maxsize=256)
def _estimated(
    folder: Path, module: Any, method: Any, training: Any, half: bool, on_cpu: bool, merge: bool
) -> Estimate:
    import torch

    from brittle.models.anatomy import anatomy_of
    from brittle.models.configuration import skeleton
    from brittle.models.encoding import longest_row
    from brittle.models.references import Located
    from brittle.runs.unlearning_checks import check_model
    from brittle.runs.unlearning_preparation import choose_what_trains
    from brittle.training import memory
    from brittle.training.rehearsal import Held, try_to_rehearse

    needs = module.NEEDS
    check_model(Located(str(folder), folder.name, folder, ""), needs, replace(training, lora_rank=0), method)
    model = skeleton(folder)
    stored = model.dtype
    model = model.to(torch.bfloat16 if training.weight_dtype == "bf16" else torch.float32)
    in_files = sum(parameter.numel() for parameter in model.parameters()) * stored.itemsize
    anatomy = anatomy_of(model.config)
    training = replace(training, max_length=longest_row(model, training.max_length))
    held_out, base = _readings(model, anatomy, needs, method, training)
    with torch.device("meta"):
        choose_what_trains(model, anatomy, training)
    step, why_not = try_to_rehearse(model, anatomy, training, module, method, half=half)
    parts = memory.parts(model, training, needs.initial_weights, step)
    head = anatomy.unembedding(model).weight
    parts["unembedding of the base"] = head.numel() * head.element_size() * bool(needs.reference_logits)
    others: dict[str, float] = {"reading held-out texts and the base": max(held_out.most, base.most)}
    if on_cpu:
        heap = max(held_out.heap, base.heap)
        of_step = step or Held(0, 0, 0)
        parts["freed and kept by the allocator"] = max(heap, of_step.heap) + of_step.mapped - of_step.most
        afterwards = max(heap, of_step.heap) + held_out.mapped
        others["reading held-out texts and the base"] = max(heap + base.mapped, afterwards)
        others["loading"] = in_files * (stored != model.dtype)  # of the same type they stay mapped until they change
        others["comparing with the base's files"] = in_files * merge
    stays = parts["weights"] + (parts["optimizer"] + parts["initial weights"] if training.eval_interval else 0)
    phase = max(others, key=lambda name: others[name])
    parts[f"{phase}, beyond a step"] = max(0.0, others[phase] - (sum(parts.values()) - stays))
    if on_cpu:
        parts["this process"] = PROCESS
    return Estimate(parts, _cache_per_text(model.config, needs, method, training.max_length), why_not)


def _readings(model: Any, anatomy: Any, needs: Any, method: Any, training: Any) -> tuple[Held, Held]:
    """What is held, beside the weights, while held-out texts are read, and while the base is asked what the loss compares with."""
    from brittle.models.likelihood import ROWS_AT_ONCE
    from brittle.runs.unlearning_preparation import reference_layers
    from brittle.training.rehearsal import Held, rehearse_reading

    def held(read: Callable[[Step], Any], chunk: int = 0) -> Held:
        try:
            return rehearse_reading(model, anatomy, READ_AT_ONCE, training.max_length, read, chunk)
        except Exception:  # whatever the model's own code does without numbers; the step's rehearsal says so
            return Held(0, 0, 0)

    layers = reference_layers(needs, method)
    asked = [held(lambda step: step.hidden_states("texts", layers))] if layers else []
    asked += [held(lambda step: step.token_losses("texts"))] if needs.reference_log_probabilities else []
    most = (max((getattr(each, field.name) for each in asked), default=0) for field in fields(Held))
    return held(lambda step: step.token_losses("texts"), ROWS_AT_ONCE), Held(*most)


def _cache_per_text(config: Any, needs: Any, method: Any, tokens: int) -> float:
    from brittle.runs.unlearning_preparation import reference_layers

    states = 4.0 * tokens * int(config.hidden_size) * len(reference_layers(needs, method))
    return states + 8.0 * bool(needs.reference_log_probabilities)


def gpus() -> list[int]:
    """Bytes of every NVIDIA GPU that a program started here would see; empty where there is none or nvidia-smi is not there."""
    command = ["nvidia-smi", "--query-gpu=index,uuid,memory.total", "--format=csv,noheader,nounits"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True).stdout
        rows = [[cell.strip() for cell in row] for row in csv.reader(answer.splitlines()) if row]
        known = [(index, uuid, int(size) * MIB) for index, uuid, size in rows]
    except (OSError, ValueError, subprocess.SubprocessError):
        return []
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    if chosen is None:
        return [size for _, _, size in known]
    visible = []
    for name in (part.strip() for part in chosen.split(",")):
        fits = [size for index, uuid, size in known if name == index or name and uuid.startswith(name)]
        if not fits:  # CUDA ignores what follows a name that it does not know
            break
        visible.append(fits[0])
    return visible


def group(needed: float | None, gpu_bytes: float, number: int, named: int | None = None) -> int:
    """How many GPUs each training gets: the smallest of 1, 2, 4, 8, 16 that divides their number and holds ``needed`` bytes.

    ``named`` (GPUS_PER_JOB) decides where it is given. 1 where the need is not known; 0 without GPUs.
    """
    if named is not None and number:
        if not 1 <= named <= number:
            raise BadInput(f"GPUS_PER_JOB is {named}, and there are {number} GPUs; name 1 to {number}, or leave it out")
        return named
    if not number or needed is None:
        return min(number, 1)
    sizes = [size for size in GROUPS if number % size == 0]
    found = next((size for size in sizes if needed <= size * (gpu_bytes - CONTEXT)), None)
    if found is None:
        from brittle.training.memory import ADVICE

        several = f"; groups of GPUS_PER_JOB={number} are possible" if sizes[-1] < number else ""
        raise BadInput(
            f"a training needs {needed / GIB:.1f} GiB, and the largest group, {sizes[-1]} of {number} GPUs, has "
            f"{sizes[-1] * (gpu_bytes - CONTEXT) / GIB:.1f}{several}; try {ADVICE}"
        )
    return found


def grouped(plan: Estimate, gpu_bytes: float, number: int, named: int | None = None) -> tuple[int, str]:
    """The group of :func:`group`, and a line with the plan beside the documented rule of thumb."""
    found = group(plan.total, gpu_bytes, number, named)
    if not number:
        return found, "no GPU here: trainings share the processor cores"
    thumb = RULE_OF_THUMB * plan.parts["weights"]
    by_thumb = next((size for size in GROUPS if thumb <= size * (gpu_bytes - CONTEXT)), GROUPS[-1])
    decided = "GPUS_PER_JOB" if named is not None else "the memory plan"
    return found, (
        f"{found} of {number} GPUs a training, by {decided}: planned {plan.total / GIB:.1f} GiB, by the rule of thumb "
        f"({RULE_OF_THUMB} times the weights) {thumb / GIB:.1f} GiB on {by_thumb}, of {gpu_bytes / GIB:.1f} GiB each"
    )


__all__ = ["Estimate", "estimate", "gpus", "group", "grouped"]
