"""Diagnostics: two passes over a pair of models against a program per step, as the original system runs them.

The other sides are written from what the original's steps compute, with the same result: *weights* loads both models
for each of steps 1, 7, 10 and 11 and takes full singular value decompositions; *activations* loads models and runs them
to the logits for each of steps 3, 5 (one model at a time), 8, 9 and 11, texts in the order of the file, padded to the
longest of a batch; *lens* unembeds every position of every row at every depth, four rows a question.
"""

from __future__ import annotations

import functools
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy
import pair_of_models
import torch
from measuring import Benchmark, Measured, Pair, Way, peak_memory, seconds
from pair_of_models import SHAPES, Shape
from torch import Tensor

from brittle.discovery import plugins
from brittle.models.checkpoints import matrix_names, matrix_pairs
from brittle.models.likelihood import lens, score
from brittle.models.loading import LoadedModel, load
from brittle.models.observation import ActivationObservation, observe, pad
from brittle.models.perturbation import digest_of
from brittle.models.references import locate

WEIGHTS = ("weight_comparison", "null_space_analysis", "mlp_nullspace", "row_space_projection")
ACTIVATIONS = ("activation_comparison", "linear_probes", "activation_separation", "activation_covariance")
BATCH = 8
TURNS = 2
"""Some of the other sides take minutes."""
K = 20


def loaded(folder: Any) -> LoadedModel:
    """A model in float32 on the CPU."""
    return load(locate(str(folder)), "cpu", "fp32")


def fitters(names: Sequence[str]) -> list[Any]:
    """New fitters with the documented settings."""
    modules = [plugins("diagnostics")[name].load() for name in names]
    return [module.Fitter(module.Settings()) for module in modules]


# --- weights


def weight_suite(shape: Shape) -> list[float]:
    """Ours: one pass over both checkpoints for all steps."""
    a, b = pair_of_models.folders(shape)
    chosen = fitters(WEIGHTS)
    for fitter in chosen:
        if hasattr(fitter, "expect"):
            fitter.expect(matrix_names(a))
    for pair in matrix_pairs(a, b, ["cpu"]):
        for fitter in chosen:
            fitter.update(pair)
    weights, null_space, nullspace = (fitter.finish() for fitter in chosen[:3])
    energy = [matrix.energy_share for matrix in chosen[3].matrices]
    return [
        weights.summary["mean_stable_rank"], null_space.summary["mean_subspace_alignment"],
        nullspace.summary["avg_nullspace_ratio"], sum(energy) / len(energy),
    ]  # fmt: skip


def weight_steps(shape: Shape) -> list[float]:
    """The other: a load of both models and full decompositions for every step."""
    ranks, alignments, ratios, energies = [], [], [], []
    for _name, w, d in _matrices(shape):
        ranks.append(float(d.norm() ** 2 / _svd(d)[1][0] ** 2))
        _svd(w)
    for _name, w, d in _matrices(shape):
        torch.linalg.svdvals(d)
        one, two = _svd(w)[0][:, :K], _svd(w + d)[0][:, :K]
        alignments.append(float(torch.linalg.svdvals(one.T @ two).clamp(max=1).mean()))
    for name, w, d in _matrices(shape):
        if "mlp" in name:
            left, values, _ = torch.linalg.svd(w)  # all left vectors, as the original takes them
            rank = int((values.square().cumsum(0) < 0.99 * values.square().sum()).sum()) + 1
            torch.linalg.svdvals(w)
            torch.linalg.svdvals(w + d)
            inside = left[:, :rank].T @ d
            ratios.append(math.sqrt(max(0.0, 1 - float(inside.norm() ** 2 / d.norm() ** 2))))
    for name, _w, d in _matrices(shape):
        if "mlp" in name:
            values = _svd(d)[1].square()
            energies.append(float(values[:K].sum() / values.sum()))
    return [sum(each) / len(each) for each in (ranks, alignments, ratios, energies)]


def _svd(matrix: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    return torch.linalg.svd(matrix, full_matrices=False)


def _matrices(shape: Shape) -> Iterator[tuple[str, Tensor, Tensor]]:
    """Block matrices and their changes, both models in memory."""
    a, b = (loaded(folder).model.state_dict() for folder in pair_of_models.folders(shape))
    for name, w in a.items():
        if w.dim() == 2 and ".layers." in name:
            yield name, w, b[name] - w


# --- activations


class Nothing:
    """A fitter that wants nothing."""

    def update(self, observation: ActivationObservation) -> None:
        """Take in one batch."""


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
                _hidden(model, input_ids, mask, inside if model is a and sites else None) for model in (a, b) if model
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
def _hidden(model: LoadedModel, ids: Tensor, mask: Tensor, inside: dict[str, list[Tensor]] | None) -> list[Tensor]:
    handles, last = [], []
    for block in model.anatomy.blocks(model.model):
        if inside is not None:
            for key, path in (("mlp_inputs_a", "mlp.dense_h_to_4h"), ("contract_inputs_a", "mlp.dense_4h_to_h")):
                hook = lambda _module, inputs, key=key: inside[key].append(inputs[0])  # noqa: E731
                handles.append(block.get_submodule(path).register_forward_pre_hook(hook))
    handles.append(block.register_forward_hook(lambda _module, _inputs, output: last.append(output)))
    found = model.model(input_ids=ids, attention_mask=mask, use_cache=False, output_hidden_states=True).hidden_states
    for handle in handles:
        handle.remove()
    return [*found[:-1], last[0][0] if isinstance(last[0], tuple) else last[0]]


@torch.no_grad()
def two_forward_passes(shape: Shape, models: Sequence[LoadedModel], times: int = 1) -> None:
    """Both models to the logits over the same tokens, in the same batches."""
    for texts in pair_of_models.texts(shape, times).values():
        rows = sorted(models[0].tokenizer(texts)["input_ids"], key=len, reverse=True)
        for start in range(0, len(rows), BATCH):
            ids, mask = pad(rows[start : start + BATCH], 0)
            for each in models:
                each.model(input_ids=ids, attention_mask=mask, use_cache=False)


# --- questions


def lens_everywhere(shape: Shape, model: LoadedModel) -> Tensor:
    """The other lens: every row of every question whole, every position unembedded at every depth, ``[depths, questions]``."""
    chosen = []
    for question in pair_of_models.questions(shape):
        rows = model.tokenizer([f"{question.question} {choice}" for choice in question.choices])["input_ids"]
        start = len(model.tokenizer(question.question)["input_ids"])
        ids, mask = pad(rows, model.tokenizer.pad_token_id)
        by_depth = []
        for hidden in _hidden(model, ids, mask, None):
            with torch.no_grad():
                logs = lens(model, hidden).log_softmax(-1)[:, :-1].gather(2, ids[:, 1:, None])[..., 0]
            by_depth.append([float(logs[i, start - 1 : len(row) - 1].mean()) for i, row in enumerate(rows)])
        chosen.append(by_depth)
    return torch.tensor(chosen).argmax(-1).T


def lm_eval_scoring(size: str) -> Way:
    """The other: lm-eval's own scorer asked for the likelihood of every choice; its task machinery is not timed."""
    from lm_eval.api.instance import Instance
    from lm_eval.models.huggingface import HFLM

    shape = SHAPES[size]
    model = loaded(pair_of_models.folders(shape)[1])
    asked = pair_of_models.questions(shape)
    requests = [
        Instance("loglikelihood", {}, (question.question, f" {choice}"), place)
        for question in asked
        for place, choice in enumerate(question.choices)
    ]
    scorer = HFLM(pretrained=model.model, tokenizer=model.tokenizer, batch_size=BATCH, backend="causal")

    def run() -> list[int]:
        found = scorer.loglikelihood(requests, disable_tqdm=True)
        lengths = [len(model.tokenizer(request.args[1])["input_ids"]) for request in requests]
        means = numpy.array([value / length for (value, _), length in zip(found, lengths, strict=True)])
        return means.reshape(len(asked), -1).argmax(1).tolist()

    return Way(run)


def _with_models(work: Callable[..., Any]) -> Callable[[str], Way]:
    def build(size: str) -> Way:
        shape = SHAPES[size]
        models = [loaded(folder) for folder in pair_of_models.folders(shape)]
        return Way(lambda: work(shape, models))

    return build


def _way(work: Callable[[Shape], Any]) -> Callable[[str], Way]:
    return lambda size: Way(lambda: work(SHAPES[size]))


def slope(units: Sequence[float], spent: Sequence[float]) -> float:
    """The exponent of growth: least squares of log time on log units; 1 is linear."""
    return float(numpy.polyfit(numpy.log(units), numpy.log(spent), 1)[0])


def growth(work: Callable[[Shape, int], Any], unit: str, size: str) -> Measured:
    """Ratio 1 / exponent: 1 is linear, below 1 grows faster. The fastest of three runs counts at each of three sizes."""
    spent = []
    for times in (1, 2, 4):
        run = functools.partial(work, SHAPES[size], times)
        run()
        turns = []
        for _ in range(3):
            start = time.perf_counter()
            run()
            turns.append(time.perf_counter() - start)
        spent.append(min(turns))
    found = slope((1, 2, 4), spent)
    return Measured(
        1 / found, found, 1.0, f"as exponent of {unit} (seconds {', '.join(f'{each:.2f}' for each in spent)})"
    )


def _deeper(shape: Shape, times: int) -> None:
    weight_suite(replace(shape, layers=times * max(1, shape.layers // 4), vocabulary=320))


def _longer(shape: Shape, times: int) -> None:
    activation_suite(shape, _kept(shape), times)


@functools.cache
def _kept(shape: Shape) -> list[LoadedModel]:
    return [loaded(folder) for folder in pair_of_models.folders(shape)]


weight_pair = Pair(
    "weight suite against four programs with full decompositions", _way(weight_suite), _way(weight_steps)
)
activation_pair = Pair("activation suite against a program per step", _way(activation_suite), _way(activation_steps))
plain_pair = Pair(
    "activation suite against two plain forward passes",
    _with_models(lambda shape, models: [0.0 * len(activation_suite(shape, models))]),
    _with_models(lambda shape, models: [float(two_forward_passes(shape, models) or 0)]),
)
lens_pair = Pair(
    "lens at all depths against unembedding every position",
    _with_models(
        lambda shape, models: score(
            models[1], pair_of_models.questions(shape), "all", BATCH, normalise=False
        ).predictions.ravel()
    ),
    _with_models(lambda shape, models: lens_everywhere(shape, models[1]).numpy().ravel()),
)
scoring_pair = Pair(
    "multiple choice against lm-eval, same predictions",
    _with_models(
        lambda shape, models: score(
            models[1], pair_of_models.questions(shape), batch_size=BATCH, normalise=False
        ).predictions.ravel()
    ),
    lm_eval_scoring,
)
BENCHMARKS = [
    Benchmark(f"{weight_pair.name}: seconds", 10, functools.partial(seconds, weight_pair, turns=TURNS), weight_pair),
    Benchmark(f"{weight_pair.name}: peak memory", 4, functools.partial(peak_memory, weight_pair), weight_pair),
    Benchmark(
        f"{activation_pair.name}: seconds",
        6,
        functools.partial(seconds, activation_pair, turns=TURNS),
        activation_pair,
    ),
    Benchmark(f"{plain_pair.name}: seconds", 1 / 1.3, functools.partial(seconds, plain_pair, turns=TURNS), plain_pair),
    Benchmark(f"{lens_pair.name}: seconds", 5, functools.partial(seconds, lens_pair, turns=TURNS), lens_pair),
    Benchmark(f"{scoring_pair.name}: seconds", 3, functools.partial(seconds, scoring_pair, turns=TURNS), scoring_pair),
    Benchmark("weight suite grows linearly in parameters", 0.9, functools.partial(growth, _deeper, "layers")),
    Benchmark("activation suite grows linearly in tokens", 0.9, functools.partial(growth, _longer, "texts")),
]
