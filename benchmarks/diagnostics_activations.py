"""Activations: all steps from one pass against a load and a pass per step, and against two plain forward passes.

The other side runs the models to the logits for each of steps 3, 5 (one model at a time), 8, 9 and 11, texts in the
order of the file, padded to the longest of a batch.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import pair_of_models
import torch
from diagnostic_ways import BATCH, TURNS, fitters, growth, hidden_states_and_logits, loaded, way, with_models
from measuring import Benchmark, Pair, seconds
from pair_of_models import Shape
from torch import Tensor

from brittle.discovery import plugins
from brittle.models.checkpoints import matrix_pairs
from brittle.models.loading import LoadedModel
from brittle.models.observation import ActivationObservation, observe, pad
from brittle.models.perturbation import digest_of

ACTIVATIONS = ("activation_comparison", "linear_probes", "activation_separation", "activation_covariance")


@functools.cache
def _directions(shape: Shape) -> Any:
    fitter = fitters(["row_space_projection"])[0]
    for pair in matrix_pairs(*pair_of_models.folders(shape), ["cpu"]):
        fitter.update(pair)
    return fitter


def row_space(shape: Shape) -> Any:
    """Step 11's fitter, its weights already seen: they belong to the weight suite."""
    fitter = fitters(["row_space_projection"])[0]
    fitter.matrices = list(_directions(shape).matrices)
    return fitter


def _headlines(found: Sequence[Any]) -> list[float]:
    norms, probes, separation, covariance, projection = (each.summary for each in found)
    return [
        norms["forget"]["mean_dh_L2"], probes["best_accuracy"], separation["avg_cosine_change"],
        covariance["avg_forget_wasserstein"], projection["projection_ratio"],
    ]  # fmt: skip


def activation_suite(shape: Shape, models: Sequence[LoadedModel] = (), times: int = 1) -> list[float]:
    """Ours: both models loaded once (or given), one pass, every fitter at once."""
    a, b = models or [loaded(folder) for folder in pair_of_models.folders(shape)]
    chosen = [*fitters(ACTIVATIONS), row_space(shape)]
    sites = plugins("diagnostics")["row_space_projection"].load().SITES
    observe(a, b, pair_of_models.texts(shape, times), chosen, BATCH, sites=sites)
    return _headlines([fitter.finish() for fitter in chosen])


def activation_steps(shape: Shape) -> list[float]:
    """The other: models loaded and run for every step; step 5 is a program per model."""
    found = []
    for name in (*ACTIVATIONS, "row_space_projection"):
        sides = 2 if name == "linear_probes" else 1
        for side in range(sides):
            a, b = (loaded(folder) for folder in pair_of_models.folders(shape))
            fitter = row_space(shape) if name == "row_space_projection" else fitters([name])[0]
            alone = (a, None) if side == 0 else (b, None)
            for observation in _plain_pass(*(alone if sides == 2 else (a, b)), shape, name == "row_space_projection"):
                fitter.update(observation)
            result = fitter.finish()
            if side == 0:
                found.append(result)
    return _headlines(found)


def _plain_pass(a: LoadedModel, b: LoadedModel | None, shape: Shape, sites: bool) -> Iterator[ActivationObservation]:
    """Texts in the file's order, whole forward passes with logits; the last hidden state is taken before the norm."""
    for split, texts in pair_of_models.texts(shape).items():
        for start in range(0, len(texts), BATCH):
            rows = a.tokenizer(texts[start : start + BATCH])["input_ids"]
            input_ids, mask = pad(rows, a.tokenizer.pad_token_id)
            inside: dict[str, list[Tensor]] = {"mlp_inputs_a": [], "contract_inputs_a": []}
            hidden = [
                hidden_states_and_logits(model, input_ids, mask, inside if model is a and sites else None)
                for model in (a, b)
                if model
            ]
            digests = tuple(digest_of(row) for row in rows)
            observation = ActivationObservation(
                split,
                tuple(range(start, start + len(rows))),
                mask,
                hidden[0],
                hidden[1] if b else None,
                digests=digests,
            )
            yield replace(observation, **inside) if sites else observation


@torch.no_grad()
def two_forward_passes(shape: Shape, models: Sequence[LoadedModel], times: int = 1) -> None:
    """Both models to the logits over the same tokens, in the same batches."""
    for texts in pair_of_models.texts(shape, times).values():
        rows = sorted(models[0].tokenizer(texts)["input_ids"], key=len, reverse=True)
        for start in range(0, len(rows), BATCH):
            ids, mask = pad(rows[start : start + BATCH], 0)
            for each in models:
                each.model(input_ids=ids, attention_mask=mask, use_cache=False)


def _longer(shape: Shape, times: int) -> None:
    activation_suite(shape, _kept(shape), times)


@functools.cache
def _kept(shape: Shape) -> list[LoadedModel]:
    return [loaded(folder) for folder in pair_of_models.folders(shape)]


STEPS = Pair("activation suite against a program per step", way(activation_suite), way(activation_steps))
PLAIN = Pair(
    "activation suite against two plain forward passes",
    with_models(lambda shape, models: [0.0 * len(activation_suite(shape, models))]),
    with_models(lambda shape, models: [float(two_forward_passes(shape, models) or 0)]),
)
BENCHMARKS = [
    Benchmark(f"{STEPS.name}: seconds", 6, functools.partial(seconds, STEPS, turns=TURNS), STEPS),
    Benchmark(f"{PLAIN.name}: seconds", 1 / 1.3, functools.partial(seconds, PLAIN, turns=TURNS), PLAIN),
    Benchmark("activation suite grows linearly in tokens", 0.9, functools.partial(growth, _longer, "texts")),
]
