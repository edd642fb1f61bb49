"""Step 10 against updates that lie inside or outside the column space of W by construction."""

from __future__ import annotations

import math

import pytest
import torch
from test_spectra import gaussian, rotation

from brittle.diagnostics.mlp_nullspace import Fitter, Settings
from brittle.mathematics.matrix_pair import MatrixPair

SHAPES = [(40, 40), (30, 90), (90, 30)]
RANK = 8


def findings(*pairs, **given):
    fitter = Fitter(Settings(**given))
    for component, layer, base, modified in pairs:
        name = f"layers.{layer}.{component}.{len(fitter.rows)}"
        fitter.update(MatrixPair(name, layer, component, "mlp", base, modified))
    return fitter.finish()


def row(base, modified, **given):
    return findings(("mlp_expand", 0, base, modified), **given).tables["mlp_nullspace_metrics"][0]


def flat(rows, columns):
    """W of rank 8 with equal singular values (all of them are needed for 99 %), and its output and input bases."""
    outputs, inputs = rotation(rows, 1), rotation(columns, 2)
    return 2 * outputs[:, :RANK] @ inputs[:, :RANK].T, outputs, inputs


@pytest.mark.parametrize("shape", SHAPES)
def test_an_update_inside_the_column_space_and_one_orthogonal_to_it(shape):
    base, outputs, inputs = flat(*shape)
    inside = outputs[:, :RANK] @ gaussian(RANK, shape[1], 3, torch.float64)
    outside = outputs[:, RANK:] @ gaussian(shape[0] - RANK, shape[1], 4, torch.float64)
    for change, colspace, nullspace in ((inside, 1, 0), (outside, 0, 1)):
        found = row(base, base + change)
        assert (found.original_eff_rank, found.nullspace_dimension) == (RANK, shape[0] - RANK)
        assert found.colspace_projection_ratio == pytest.approx(colspace, abs=1e-6)
        assert found.nullspace_projection_ratio == pytest.approx(nullspace, abs=1e-6)
        assert found.update_norm == pytest.approx(float(change.norm()), rel=1e-9)
        assert found.relative_update_size == pytest.approx(float(change.norm() / base.norm()), rel=1e-9)
    both = row(base, base + 3 * inside / inside.norm() + 4 * outside / outside.norm())
    assert both.colspace_projection_ratio == pytest.approx(0.6)
    assert both.nullspace_projection_ratio == pytest.approx(0.8)
    assert both.colspace_energy_share + both.nullspace_energy_share == pytest.approx(1, abs=1e-12)
    unread = gaussian(shape[0], shape[1] - RANK, 5, torch.float64) @ inputs[:, RANK:].T
    assert row(base, base + unread).input_nullspace_energy_share == pytest.approx(1, abs=1e-9)
    assert row(base, base + base).input_nullspace_energy_share == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("shape", [(100, 100), (80, 320), (320, 80)])
def test_a_gaussian_update_gives_the_expected_columns(shape):
    base = gaussian(*shape, 1)
    found = row(base, base + 0.01 * gaussian(*shape, 2))
    assert found.original_eff_rank < min(shape)
    noise = 4 * math.sqrt(0.5 / (shape[0] * shape[1]))  # four standard deviations of a share that is a half
    assert found.colspace_energy_share == pytest.approx(found.expected_colspace_ratio**2, abs=noise)
    assert found.nullspace_energy_share == pytest.approx(found.expected_nullspace_ratio**2, abs=noise)
    assert found.input_nullspace_energy_share == pytest.approx(found.expected_input_nullspace_energy_share, abs=noise)
    assert found.expected_colspace_ratio**2 + found.expected_nullspace_ratio**2 == pytest.approx(1)


@pytest.mark.parametrize("shape", [(16, 16), (16, 64)])
def test_where_the_column_space_is_everything_the_null_part_is_exactly_zero(shape):
    base = rotation(shape[1], 1)[: shape[0]]  # equal singular values
    found = row(base, base + gaussian(*shape, 2, torch.float64))
    assert (found.original_eff_rank, found.nullspace_dimension) == (shape[0], 0)
    assert (found.colspace_projection_ratio, found.nullspace_projection_ratio) == (1.0, 0.0)
    assert (found.expected_colspace_ratio, found.expected_nullspace_ratio) == (1.0, 0.0)


def test_ranks_and_their_threshold():
    values = torch.tensor([3.0, 2.0, 1.0, 0.5])  # energy 9, 4, 1, 0.25
    base = torch.diag(values)
    found = row(base, base + torch.diag(torch.tensor([0.0, 0.0, 0.0, 2.5])))  # 3, 3, 2, 1
    assert (found.original_eff_rank, found.updated_eff_rank, found.rank_increase) == (4, 4, 0)
    found = row(base, torch.diag(torch.tensor([3.0, 3.0, 3.0, 0.5])), rank_threshold=0.9)
    assert (found.original_eff_rank, found.updated_eff_rank, found.rank_increase) == (2, 3, 1)
    assert found.colspace_energy_share == pytest.approx(1 / 5)  # the change is diag(0, 1, 2, 0)
    assert found.nullspace_dimension == 2


@pytest.mark.parametrize("shape", SHAPES)
def test_rotating_and_scaling_both_models_changes_nothing(shape):
    base, modified = gaussian(*shape, 1, torch.float64), gaussian(*shape, 2, torch.float64)
    left, right = rotation(shape[0], 3), rotation(shape[1], 4)
    expected, turned, scaled = (
        {key: value for key, value in vars(found).items() if not isinstance(value, str)}
        for found in (
            row(base, modified),
            row(left @ base @ right, left @ modified @ right),
            row(1e-3 * base, 1e-3 * modified),
        )
    )
    assert turned == pytest.approx(expected, rel=1e-7)
    for name in ("update_norm", "original_norm"):
        assert scaled.pop(name) == pytest.approx(1e-3 * expected.pop(name))
    assert scaled == pytest.approx(expected, rel=1e-7)


@pytest.mark.parametrize("shape", SHAPES)
def test_scaling_the_base_alone_moves_along_what_it_computes(shape):
    """ΔW = (c − 1) W has W's own energy: the threshold's share inside, the rest outside."""
    base = gaussian(*shape, 1, torch.float64)
    found = row(base, 1.25 * base)
    values = torch.linalg.svdvals(base)
    inside = float(values[: found.original_eff_rank].square().sum() / values.square().sum())
    assert found.colspace_energy_share == pytest.approx(inside, abs=1e-9)
    assert found.colspace_energy_share >= 0.99
    assert found.input_nullspace_energy_share == pytest.approx(1 - inside, abs=1e-9)
    assert (found.relative_update_size, found.rank_increase) == (pytest.approx(0.25), 0)


def test_layers_types_and_summary():
    wide, tall = (16, 48), (48, 16)
    pairs = [
        ("mlp_expand", 0, gaussian(*tall, 1), gaussian(*tall, 2)),
        ("mlp_expand", 0, gaussian(*tall, 3), gaussian(*tall, 4)),
        ("mlp_contract", 0, gaussian(*wide, 5), gaussian(*wide, 6)),
        ("mlp_expand", 1, gaussian(*tall, 7), gaussian(*tall, 7)),
        ("mlp_contract", 1, gaussian(*wide, 8), gaussian(*wide, 9)),
        ("qkv", 1, gaussian(*wide, 8), gaussian(*wide, 9)),
    ]
    found = findings(*pairs)
    rows, (first, second) = found.tables["mlp_nullspace_metrics"], found.tables["layer_nullspace_summary"]
    assert sorted(row.type for row in rows) == ["decoder"] * 2 + ["encoder"] * 3
    ratio = {(row.layer, row.type): [] for row in rows}
    for each in rows:
        ratio[each.layer, each.type].append(each.nullspace_projection_ratio)
    assert first.encoder_nullspace_ratio == pytest.approx(sum(ratio[0, "encoder"]) / 2)
    assert first.decoder_nullspace_ratio == pytest.approx(ratio[0, "decoder"][0])
    assert first.avg_nullspace_ratio == pytest.approx((sum(ratio[0, "encoder"]) + ratio[0, "decoder"][0]) / 3)
    assert (first.num_matrices, first.changed_matrices) == (3, 3)
    # What did not change has no ratio and does not pull the layer's mean to zero.
    assert (second.num_matrices, second.changed_matrices, second.encoder_nullspace_ratio) == (2, 1, 0)
    assert second.avg_nullspace_ratio == second.decoder_nullspace_ratio == ratio[1, "decoder"][0]
    summary = found.summary
    assert found.summary_name == "nullspace_summary"
    assert (summary["total_matrices_analyzed"], summary["changed_matrices"]) == (5, 4)
    changed = [each for each in rows if each.update_norm > 0]
    mean = sum(each.nullspace_projection_ratio for each in changed) / 4
    assert summary["avg_nullspace_ratio"] == pytest.approx(mean)
    assert summary["primarily_off_manifold"] == (mean > 0.6)
    assert summary["expected_avg_nullspace_ratio"] == pytest.approx(
        sum(math.sqrt(1 - each.original_eff_rank / int(each.shape.split("x")[0])) for each in changed) / 4
    )


def test_a_zero_base_has_no_column_space():
    found = row(torch.zeros(6, 4), gaussian(6, 4))
    assert (found.original_eff_rank, found.colspace_projection_ratio, found.nullspace_projection_ratio) == (0, 0, 1)
    assert math.isnan(found.relative_update_size)
