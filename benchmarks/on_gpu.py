"""What unlearning and diagnosing take on one GPU: peak memory beside the plan, seconds per step, GPU against CPU.

``on_gpu.py measure FILE`` needs a GPU and a few minutes; it adds one object a line to FILE. ``on_gpu.py plan FILE`` needs
none: it rehearses every measured training (``brittle.training.rehearsal``) and puts what the plan says beside.
Models have the published shapes and random weights, built on the device; nothing is downloaded.
"""

from __future__ import annotations

import contextlib
import gc
import io
import json
import os
import random
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).parent.parent / "docs"))
from memory_page import FRUGAL, PLAIN, SHAPES, Shape

from brittle.discovery import plugins
from brittle.models.adapters import add_adapters
from brittle.models.anatomy import anatomy_of
from brittle.training import memory
from brittle.training.batches import Example, Sampler, Supply
from brittle.training.hyperparameters import TrainingSettings
from brittle.training.loop import LoopSettings, train
from brittle.training.reference import reference_states
from brittle.training.rehearsal import rehearse

SIZES = {shape.name: shape for shape in SHAPES} | {
    "tiny": Shape("tiny", "a shape for tests", "gpt_neox", 64, 8, 4, 256, 512)
}
METHODS = ("grad_diff", "npo", "simnpo", "rmu", "cb")
KINDS = {
    "float32": PLAIN,
    "bfloat16": replace(PLAIN, weight_dtype="bf16"),
    "adapters of rank 16": replace(PLAIN, lora_rank=16),
}
STEPS = 4
"""The first two warm up; the rest are timed."""


@dataclass(frozen=True)
class Case:
    """One training: a size, a method, settings, and what float32 weights compute in."""

    size: str
    method: str
    kind: str
    training: TrainingSettings
    options: str = ""
    compute: str = "bf16"

    @property
    def half(self) -> bool:
        """Whether autocast is on: not where the weights are bfloat16 themselves."""
        return self.compute == "bf16" and self.training.weight_dtype != "bf16"


def cases(size: str) -> Iterator[Case]:
    """What is measured at a size, least memory first where the card may not hold all."""
    whole = [] if size == "7B" else ["float32", "bfloat16"]
    for kind in ("adapters of rank 16", *whole):
        for method in METHODS:
            yield Case(size, method, kind, KINDS[kind])
    for name, changes in (
        ("--gradient-checkpointing", {"gradient_checkpointing": True}),
        ("--loss-chunk 1024", {"loss_chunk": 1024}),
        ("--gradient-checkpointing --loss-chunk 1024", {"gradient_checkpointing": True, "loss_chunk": 1024}),
    ):
        kind = "float32" if whole else "adapters of rank 16"
        yield Case(size, "npo", kind, replace(KINDS[kind], **changes), name)
    if size == "7B":
        name = "--optimizer adafactor --batch-size 1 --grad-accum-steps 4 --loss-chunk 1024"
        for method in ("grad_diff", "rmu"):
            yield Case(size, method, "bfloat16", FRUGAL, name)
    else:
        for method in ("grad_diff", "rmu"):
            yield Case(size, method, "float32", PLAIN, "--dtype fp32", "fp32")
    if size == "160M":
        for optimizer in ("sgd", "sign_sgd", "lion", "muon", "adafactor"):
            yield Case(size, "rmu", "float32", replace(PLAIN, optimizer=optimizer), f"--optimizer {optimizer}")


def model_of(shape: Shape, device: str, dtype: torch.dtype) -> Any:
    """A model of the shape with random weights, built where it is used."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        return shape.model(device)
    finally:
        torch.set_default_dtype(before)


def texts(shape: Shape, tokens: int, number: int) -> list[Example]:
    """Random rows of full length."""
    draw, counted = random.Random(0), (False,) + (True,) * (tokens - 1)
    return [Example(tuple(draw.randrange(1, shape.vocabulary) for _ in range(tokens)), counted) for _ in range(number)]


@dataclass(frozen=True)
class Prepared:
    """A model and its data, ready for the first step."""

    model: Any
    module: Any
    method: Any
    supply: Supply
    details: dict[str, Any]


def prepared(case: Case, device: str) -> Prepared:
    """What ``brittle unlearn`` does before the first step."""
    shape, training = SIZES[case.size], case.training
    module = plugins("methods")[case.method].load()
    method, needs = module.Settings(), module.NEEDS
    model = model_of(shape, device, torch.bfloat16 if training.weight_dtype == "bf16" else torch.float32)
    anatomy = anatomy_of(model.config)
    length = min(training.max_length, model.config.max_position_embeddings)
    examples = {split: texts(shape, length, 2 * training.batch_size) for split in needs.splits}
    splits = sorted({*needs.reference_hidden_states, *needs.reference_log_probabilities})
    reference = reference_states(
        model, anatomy, {split: examples[split] for split in splits},
        [layer - needs.first_layer for layer in method.layer_id] if needs.reference_hidden_states else (), digest=f"{case.size} {time.time()}", padding=0,
        device=device, batch_size=4, log_probabilities=needs.reference_log_probabilities,
    ) if splits else None  # fmt: skip
    adapt(model, training)
    samplers = [Sampler(split, part, training.batch_size, 0, 42) for split, part in examples.items()]
    details = {"anatomy": anatomy, "reference": reference, "chunk": training.loss_chunk, "together": needs.together}
    return Prepared(model, module, method, Supply(samplers, training.grad_accum_steps), details)


def adapt(model: Any, training: TrainingSettings) -> None:
    """Adapters and recomputation, where the settings ask for them."""
    if training.lora_rank:
        add_adapters(model, anatomy_of(model.config), training.lora_rank, training.lora_alpha)
    if training.gradient_checkpointing:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})


def steps(
    ready: Prepared, case: Case, device: str, objective: Any = None, **changes: Any
) -> tuple[float, float, list[float]]:
    """Train for a few steps: seconds per step (the fastest after two), the peak in bytes, the losses."""
    if device != "cpu":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    moments, losses = [time.perf_counter()], []

    def listen(_number: int, _model: Any, terms: dict[str, float]) -> None:
        if device != "cpu":
            torch.cuda.synchronize()
        moments.append(time.perf_counter())
        losses.append(sum(terms.values()))

    loop = LoopSettings(
        STEPS,
        1e-5,
        case.training.optimizer,
        "constant",
        weight_decay=0.01,
        mixed_precision="bf16" if case.half else "no",
    )
    chosen = objective or (lambda step: ready.module.loss(ready.method, step))
    train(ready.model, ready.supply, chosen, loop, device=device, listeners=[listen], **(ready.details | changes))
    peak = torch.cuda.max_memory_allocated() if device != "cpu" else 0
    return min(b - a for a, b in zip(moments[2:], moments[3:])), peak, losses


def machine(device: str) -> dict[str, str]:
    """The card and what ran on it."""
    name = torch.cuda.get_device_name() if device != "cpu" else "CPU"
    return {"card": name, "torch": torch.__version__}


def told(row: dict[str, Any], file: Path) -> None:
    """Add a row, and say it."""
    with file.open("a") as out:
        out.write(json.dumps(row) + "\n")
    print({key: value for key, value in row.items() if key not in ("card", "torch")}, flush=True)


def tried(row: dict[str, Any], file: Path, work: Callable[[], dict[str, Any]]) -> None:
    """One measurement; what does not fit or fails is said in the row and stops no other."""
    try:
        row |= work()
    except Exception as problem:
        row |= {"failed": f"{type(problem).__name__}: {' '.join(str(problem).split())[:160]}"}
    told(row, file)
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def measure_memory(case: Case, device: str) -> dict[str, Any]:
    """Peak, seconds and tokens per second of one case."""
    with contextlib.redirect_stderr(io.StringIO()):
        ready = prepared(case, device)
        seconds, peak, _ = steps(ready, case, device)
    tokens = 2 * case.training.batch_size * case.training.grad_accum_steps * case.training.max_length
    return {
        "peak_gib": round(peak / 2**30, 3),
        "seconds_per_step": round(seconds, 4),
        "tokens_per_second": round(tokens / seconds),
    }


def described(case: Case) -> dict[str, Any]:
    """A case as a row's first fields."""
    return {"what": "training", "size": case.size, "method": case.method, "weights": case.kind,
            "compute": "bf16" if case.kind == "bfloat16" else case.compute, "options": case.options}  # fmt: skip


def planned(case: Case) -> float:
    """What the plan says, in GiB: the sum of its parts, activations among them."""
    model, training = SIZES[case.size].model("meta"), case.training
    if training.weight_dtype == "bf16":
        model = model.bfloat16()
    adapt(model, training)
    training = replace(training, max_length=min(training.max_length, model.config.max_position_embeddings))
    module = plugins("methods")[case.method].load()
    found = rehearse(model, anatomy_of(model.config), training, module, module.Settings(), case.half)
    return sum(memory.parts(model, training, module.NEEDS.initial_weights, found).values()) / 2**30


def measure(file: Path, sizes: Sequence[str], parts: Sequence[str], device: str, kind: str = "") -> None:
    """Everything that was asked for, row by row; of trainings those of one kind of weights, if it is named."""
    with tempfile.TemporaryDirectory() as home:
        os.environ["BRITTLE_HOME"] = home
        for size in sizes if "training" in parts else ():
            for case in (case for case in cases(size) if kind in ("", case.kind)):
                tried(machine(device) | described(case), file, lambda case=case: measure_memory(case, device))
        middle = "1B" if "1B" in sizes else sizes[0]
        from on_gpu_passes import diagnose, ways  # it builds on this file

        if "step" in parts:
            ways(middle, device, file)
        if "diagnosing" in parts:
            diagnose(middle, device, file)


def plan(file: Path) -> None:
    """Put what the plan says beside every measured training, and how far it is from the peak."""
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    known = {tuple(described(case).values()): case for size in SIZES for case in cases(size)}
    for row in rows:
        if row["what"] == "training" and "failed" not in row:
            case = known[tuple(row[key] for key in ("what", "size", "method", "weights", "compute", "options"))]
            row["planned_gib"] = round(planned(case), 3)
            print(case.size, case.method, case.kind, case.options, row["peak_gib"], row["planned_gib"],
                  f"{row['planned_gib'] / max(row['peak_gib'], 1e-9) - 1:+.1%}", flush=True)  # fmt: skip
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))


def main() -> None:
    """``measure FILE [SIZES] [PARTS] [DEVICE] [KIND]`` or ``plan FILE``."""
    what, file, *rest = sys.argv[1:]
    if what == "plan":
        plan(Path(file))
        return
    sizes, parts, device, kind = (*rest, *["160M,1B,7B", "training,step,diagnosing", "cuda", ""][len(rest) :])
    measure(Path(file), sizes.split(","), parts.split(","), device, kind)


if __name__ == "__main__":
    main()
