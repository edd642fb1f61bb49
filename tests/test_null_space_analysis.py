"""Step 7 against updates whose shape is known beforehand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from test_spectra import gaussian, rotation

from brittle.diagnostics.null_space_analysis import Fitter, Settings
from brittle.mathematics.matrix_pair import MatrixPair

SHAPES = [(60, 60), (50, 120), (120, 50)]


def row(base, modified):
    pair = MatrixPair("layers.0.mlp", 0, "mlp_expand", "mlp", base, modified)
    return Fitter(Settings()).update(pair).finish().tables["null_space_results"][0]


def numbers(found):
    return {key: value for key, value in vars(found).items() if isinstance(value, int | float)}


@pytest.mark.parametrize("shape", SHAPES)
def test_a_rank_one_update(shape):
    base = gaussian(*shape, 1, torch.float64)
    change = torch.outer(gaussian(shape[0], 1, 2, torch.float64)[:, 0], gaussian(shape[1], 1, 3, torch.float64)[:, 0])
    found = row(base, base + change)
    assert found.effective_rank == 1
    assert found.top10_variance_ratio == pytest.approx(1, abs=1e-12)
    assert found.max_singular_value == pytest.approx(float(change.norm()), rel=1e-9)
    assert found.singular_value_decay < 1e-7


@pytest.mark.parametrize("shape", SHAPES)
def test_every_number_equals_numpy_s(shape):
    base, change = gaussian(*shape, 1, torch.float64), 0.3 * gaussian(*shape, 2, torch.float64)
    found = row(base, base + change)
    (left_a, a, right_a), (left_b, b, right_b) = (
        np.linalg.svd(matrix.numpy(), full_matrices=False) for matrix in (base, base + change)
    )
    values = np.linalg.svd(change.numpy(), compute_uv=False)
    energy = values**2 / (values**2).sum()
    assert found.effective_rank == int(np.searchsorted(energy.cumsum(), 0.99)) + 1
    assert found.top10_variance_ratio == pytest.approx(energy[:10].sum(), rel=1e-9)
    assert found.singular_value_decay == pytest.approx(values[9] / values[0], rel=1e-9)  # the tenth, not the eleventh
    assert found.singular_value_ratio == pytest.approx(b[0] / a[0], rel=1e-9)
    cosines = np.linalg.svd(left_a[:, :20].T @ left_b[:, :20], compute_uv=False)
    assert found.subspace_dimension == 20
    assert found.subspace_alignment == pytest.approx(cosines.mean(), rel=1e-8)
    assert found.grassmann_distance == pytest.approx(math.sqrt(20 - (cosines**2).sum()), rel=1e-8)
    assert found.geodesic_distance == pytest.approx(np.linalg.norm(np.arccos(cosines)), rel=1e-6)
    inputs = np.linalg.svd(right_a[:20] @ right_b[:20].T, compute_uv=False)
    assert found.input_subspace_alignment == pytest.approx(inputs.mean(), rel=1e-8)
    assert found.subspace_gap == pytest.approx(1 - a[20] / a[19], rel=1e-8)


@pytest.mark.parametrize("shape", SHAPES)
def test_rotating_both_models_changes_nothing(shape):
    base, modified = gaussian(*shape, 1, torch.float64), gaussian(*shape, 2, torch.float64)
    left, right = rotation(shape[0], 3), rotation(shape[1], 4)
    expected = numbers(row(base, modified))
    assert numbers(row(left @ base @ right, left @ modified @ right)) == pytest.approx(expected, rel=1e-7)
    scaled = numbers(row(-3 * base, -3 * modified))
    assert scaled.pop("max_singular_value") == pytest.approx(3 * expected.pop("max_singular_value"))
    assert scaled == pytest.approx(expected, rel=1e-7)


def test_scaling_the_base_keeps_its_directions():
    base = gaussian(60, 40, 1, torch.float64)
    found = row(base, 1.5 * base)
    assert found.singular_value_ratio == pytest.approx(1.5)
    assert (found.subspace_alignment, found.input_subspace_alignment) == (pytest.approx(1), pytest.approx(1))
    assert (found.grassmann_distance, found.geodesic_distance) == (
        pytest.approx(0, abs=1e-6),
        pytest.approx(0, abs=1e-6),
    )


def test_identical_matrices():
    base = gaussian(60, 40, 1)
    found = row(base, base.clone())
    assert (found.effective_rank, found.top10_variance_ratio, found.max_singular_value) == (0, 0, 0)
    assert (found.singular_value_decay, found.grassmann_distance, found.geodesic_distance) == (0, 0, 0)
    assert (found.subspace_alignment, found.input_subspace_alignment, found.singular_value_ratio) == (1, 1, 1)


@pytest.mark.parametrize("shape", [(60, 60), (80, 240), (240, 80)])
def test_a_gaussian_update_gives_the_expected_columns(shape):
    base = gaussian(*shape, 1)
    found = row(base, base + 0.01 * gaussian(*shape, 2))
    assert found.top10_variance_ratio == pytest.approx(found.expected_top10_variance_ratio, rel=0.05)
    unrelated = [row(base, gaussian(*shape, seed)) for seed in range(3, 23)]
    alignment = np.mean([each.subspace_alignment for each in unrelated])
    assert alignment == pytest.approx(unrelated[0].expected_random_alignment, rel=0.03)


def test_fewer_directions_where_a_matrix_has_a_lower_rank():
    base = gaussian(40, 3, 1, torch.float64) @ gaussian(3, 30, 2, torch.float64)
    turned = base @ rotation(30, 3)
    found = row(base, turned)
    assert (found.subspace_dimension, found.subspace_gap) == (3, pytest.approx(1, abs=1e-6))
    assert found.subspace_alignment == pytest.approx(1)  # the outputs are the same three
    assert found.input_subspace_alignment < 0.9
    zero = row(torch.zeros(12, 9), gaussian(12, 9))
    assert zero.subspace_dimension == 0
    assert math.isnan(zero.subspace_alignment) and math.isnan(zero.singular_value_ratio)


def names_sampled(names, order, **given):
    fitter = Fitter(Settings(**given)).expect(names)
    for name in order:
        fitter.update(MatrixPair(name, 0, "proj", "attn", torch.eye(3), 2 * torch.eye(3)))
    findings = fitter.finish()
    assert findings.summary["matrices"] == len(order)
    assert findings.summary["analysed_matrices"] == len(findings.tables["null_space_results"])
    return [row.name for row in findings.tables["null_space_results"]]


def test_the_sample_depends_on_the_seed_and_not_on_the_order():
    names = [f"layers.{index}.weight" for index in range(40)]
    first = names_sampled(names, names, num_samples=12)
    assert len(set(first)) == 12
    assert names_sampled(names[::-1], names[::-1], num_samples=12) == first
    assert names_sampled(names, names, num_samples=12, seed=1) != first
    assert set(names_sampled(names, names, num_samples=5)) < set(first)
    assert len(names_sampled(names, names, num_samples=100)) == 40
    counts = np.zeros(40)
    for seed in range(300):
        chosen = Fitter(Settings(num_samples=10, seed=seed)).expect(names).chosen
        counts += [name in chosen for name in names]
    assert counts.sum() == 3000
    assert abs(counts - 75).max() < 5 * math.sqrt(300 * 0.25 * 0.75)  # each name equally often


def test_without_being_told_the_names_every_matrix_is_analysed():
    fitter = Fitter(Settings(num_samples=1))
    for index in range(3):
        fitter.update(MatrixPair(f"{index}", index, "proj", "attn", torch.eye(3), torch.eye(3)))
    findings = fitter.finish()
    assert [row.layer for row in findings.tables["null_space_results"]] == [0, 1, 2]
    assert findings.summary["changed_matrices"] == 0
    assert findings.summary["mean_effective_rank"] == 0
    assert findings.summary["attn"]["mean_subspace_alignment"] == 1
