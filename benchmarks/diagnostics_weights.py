"""Weights: the whole suite in one pass against a program per step with full decompositions.

The other side is written from what the original's steps 1, 7, 10 and 11 compute, with the same result: both models are
loaded for each, and every matrix is decomposed whole.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator
from dataclasses import replace

import pair_of_models
import torch
from diagnostic_ways import TURNS, fitters, growth, loaded, way
from measuring import Benchmark, Pair, peak_memory, seconds
from pair_of_models import Shape
from torch import Tensor

from brittle.models.checkpoints import matrix_names, matrix_pairs

WEIGHTS = ("weight_comparison", "null_space_analysis", "mlp_nullspace", "row_space_projection")
K = 20


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


def _deeper(shape: Shape, times: int) -> None:
    weight_suite(replace(shape, layers=times * max(1, shape.layers // 4), vocabulary=320))


PAIR = Pair("weight suite against four programs with full decompositions", way(weight_suite), way(weight_steps))
BENCHMARKS = [
    Benchmark(f"{PAIR.name}: seconds", 10, functools.partial(seconds, PAIR, turns=TURNS), PAIR),
    Benchmark(f"{PAIR.name}: peak memory", 4, functools.partial(peak_memory, PAIR), PAIR),
    Benchmark("weight suite grows linearly in parameters", 0.9, functools.partial(growth, _deeper, "layers")),
]
