"""On one GPU: our step against the plain ways, and passes of diagnostics on the GPU against the CPU beside it."""

from __future__ import annotations

import contextlib
import gc
import io
import random
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import open_unlearning
import torch
from diagnostic_ways import fitters
from memory_page import PLAIN
from on_gpu import SIZES, Case, Prepared, machine, model_of, prepared, steps, tried
from pair_of_models import WORDS
from training_steps import ReferenceInMemory, WholeModel, WholeModelBackward

from brittle.models.anatomy import anatomy_of
from brittle.models.checkpoints import matrix_names, matrix_pairs
from brittle.models.construction import new_tokenizer
from brittle.models.loading import LoadedModel
from brittle.models.observation import observe


def ways(size: str, device: str, file: Path) -> None:
    """Our step against the plain ways of ``training_steps.py``, one after the other on the idle card."""

    def whole(kind: Any, ready: Prepared) -> Any:
        def loss(step: Any) -> Any:
            plain = kind(step.model, step.batches, step.totals, anatomy=step.anatomy, reference=step._reference)
            return ready.module.loss(ready.method, plain)

        return loss

    separate = {"together": False}
    others: dict[str, tuple[str, Callable[[Prepared], tuple[Any, dict[str, Any]]]]] = {
        "rmu, a whole forward pass": ("rmu", lambda ready: (whole(WholeModel, ready), separate)),
        "rmu, a whole forward and backward pass": ("rmu", lambda ready: (whole(WholeModelBackward, ready), separate)),
        "cb, a whole forward pass": ("cb", lambda ready: (whole(WholeModel, ready), separate)),
        "npo, a reference model in memory": (
            "npo", lambda ready: (None, separate | {"reference": ReferenceInMemory(ready.model)}),
        ),
        "grad_diff, one pass per split": ("grad_diff", lambda ready: (None, separate)),
        "grad_diff, OpenUnlearning's step": (
            "grad_diff", lambda _ready: (open_unlearning.grad_diff, separate),
        ),
    }  # fmt: skip
    for name, (method, build) in others.items():
        case = Case(size, method, "float32", PLAIN)

        def work(case: Case = case, build: Any = build) -> dict[str, Any]:
            found = []
            for other in (False, True):
                torch.manual_seed(0)
                with contextlib.redirect_stderr(io.StringIO()):
                    ready = prepared(case, device)
                    objective, changes = build(ready) if other else (None, {})
                    found.append(steps(ready, case, device, objective, **changes))
                del ready, objective, changes
                gc.collect()
            ours, there = found
            return {
                "ours_seconds": round(ours[0], 4), "other_seconds": round(there[0], 4), "ratio": round(there[0] / ours[0], 3),
                "ours_gib": round(ours[1] / 2**30, 3), "other_gib": round(there[1] / 2**30, 3),
                "first_losses": [round(ours[2][0], 4), round(there[2][0], 4)],
            }  # fmt: skip

        tried(machine(device) | {"what": "step", "size": size, "against": name}, file, work)


WEIGHTS = ("weight_comparison", "null_space_analysis", "mlp_nullspace", "singular_value_spectra")
ACTIVATIONS = ("activation_comparison", "activation_separation", "activation_covariance", "representation_similarity")


def diagnose(size: str, device: str, file: Path) -> None:
    """Passes of diagnostics: weights of two blocks of the shape with spectra, activations of the whole shape."""
    shape = replace(SIZES[size], layers=2, vocabulary=1024)
    folders = [Path(tempfile.mkdtemp()) for _ in range(2)]
    for seed, folder in enumerate(folders):
        torch.manual_seed(seed)
        shape.model(device).save_pretrained(folder)

    def weights(where: str) -> dict[str, Any]:
        chosen = fitters(WEIGHTS)
        start = time.perf_counter()
        for fitter in chosen:
            if hasattr(fitter, "expect"):
                fitter.expect(matrix_names(folders[0]))
        for pair in matrix_pairs(folders[0], folders[1], where):
            for fitter in chosen:
                fitter.update(pair)
        rank = chosen[0].finish().summary["mean_stable_rank"]
        for fitter in chosen[1:]:
            fitter.finish()
        return {"seconds": round(time.perf_counter() - start, 3), "value": round(rank, 4)}

    tokenizer = new_tokenizer([" ".join(WORDS)] * 50, 320)
    tokenizer.padding_side, tokenizer.pad_token = "right", tokenizer.eos_token
    draw = random.Random(0)
    shown = {s: [" ".join(draw.choices(WORDS, k=100)) for _ in range(16)] for s in ("forget", "retain", "benign")}

    def activations(where: str) -> dict[str, Any]:
        pair = []
        for seed in range(2):
            torch.manual_seed(seed)
            model = model_of(SIZES[size], device, torch.float32).eval().to(where)
            pair.append(LoadedModel(model, tokenizer, anatomy_of(model.config), f"{seed}", f"{seed}", where))
        chosen = fitters(ACTIVATIONS)
        observe(pair[0], pair[1], {s: part[:2] for s, part in shown.items()}, fitters(ACTIVATIONS), 8)  # warms up
        start = time.perf_counter()
        observe(pair[0], pair[1], shown, chosen, 8)
        middle = time.perf_counter()
        for fitter in chosen:
            fitter.finish()
        return {"seconds": round(middle - start, 3), "finishing_seconds": round(time.perf_counter() - middle, 3)}

    for what, work in (("weights of two blocks, with spectra", weights), ("activations, 48 texts", activations)):
        for where in [device, "cpu"] if device != "cpu" else [device]:
            row = machine(where) | {"what": "diagnosing", "size": size, "pass": what, "device": where}
            with contextlib.redirect_stderr(io.StringIO()):
                if what.startswith("weights") and where != "cpu":
                    weights(where)  # warms up: the first use of a solver loads it
            tried(row, file, lambda where=where, work=work: work(where))
