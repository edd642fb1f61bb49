"""Spectra of W, W_modified and ΔW with their elbows, and the shares of weights and codes that did not change."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from test_spectra import gaussian
from test_subspaces import with_spectrum

from brittle.diagnostics.singular_value_spectra import POINTS, Fitter, Settings, shown
from brittle.mathematics.matrix_pair import MatrixPair


def findings(*pairs):
    fitter = Fitter(Settings())
    for layer, (base, modified) in enumerate(pairs):
        fitter.update(MatrixPair(f"layers.{layer}.mlp", layer, "mlp_expand", "mlp", base, modified))
    return fitter.finish()


def spectrum(found, matrix, layer=0):
    return [row for row in found.tables["spectra"] if (row.matrix, row.layer) == (matrix, layer)]


@pytest.mark.parametrize("shape", [(60, 60), (50, 120), (120, 50)])
def test_spectra_equal_numpy_also_when_ill_conditioned(shape):
    base = with_spectrum(*shape, torch.logspace(1, -3, 50))
    change = with_spectrum(*shape, [0.5, 0.4, 0.1], seed=7)
    found = findings((base, base + change))
    for matrix, expected in (("W", base), ("W_modified", base + change)):
        values = np.linalg.svd(expected.numpy(), compute_uv=False)[:50]
        rows = spectrum(found, matrix)[:50]
        assert [row.index for row in rows] == list(range(50))
        assert np.allclose([row.singular_value for row in rows], values, rtol=1e-6, atol=0)
        assert np.allclose([row.relative_singular_value for row in rows], values / values[0], rtol=1e-6, atol=0)
    change_values = [row.singular_value for row in spectrum(found, "dW")]
    assert change_values[:3] == pytest.approx([0.5, 0.4, 0.1])
    assert max(change_values[3:]) < 1e-7 * 0.5  # rank three, and below it the noise that the help names


def test_planted_elbows():
    flat_then_low = torch.cat([torch.linspace(1, 0.9, 12), torch.linspace(0.05, 0.01, 48)])
    base = with_spectrum(60, 80, flat_then_low)
    change = with_spectrum(60, 80, torch.cat([torch.linspace(2, 1.9, 4), torch.linspace(0.01, 0.001, 56)]), seed=9)
    row = findings((base, base + change), (base, base)).tables["elbow_summary"][0]
    assert (row.elbow_a, row.elbow_dw) == (12, 4)
    assert row.elbow_b == 16  # four directions more, nearly as strong
    assert row.elbow_shift == row.elbow_b - row.elbow_a == 4
    assert row.shape == "60x80"
    assert row.elbow_depth_a == pytest.approx(1 - 12 / 59 * 0.99 - 0.05, abs=1e-4)


def test_identical_matrices():
    base = gaussian(30, 20, 1)
    found = findings((base, base.clone()))
    row = found.tables["elbow_summary"][0]
    assert (row.elbow_dw, row.elbow_depth_dw, row.elbow_shift) == (0, 0, 0)
    assert (row.share_unmoved, row.share_same_4bit_code) == (1, 1)
    assert {row.singular_value for row in spectrum(found, "dW")} == {0}
    assert {row.relative_singular_value for row in spectrum(found, "dW")} == {0}
    assert [row.singular_value for row in spectrum(found, "W")] == [
        row.singular_value for row in spectrum(found, "W_modified")
    ]


def test_shares_by_hand_and_over_the_model():
    base = torch.tensor([[0.7, -0.34, 0.06], [0.0, 14.0, -3.1]])  # codes 7 -3 1 and 0 7 -2
    modified = torch.tensor([[0.7, -0.36, 0.08], [0.0, 14.0, -3.1]])  # codes 7 -4 1 and 0 7 -2
    found = findings((base, modified), (torch.eye(9), torch.eye(9)))
    row = found.tables["elbow_summary"][0]
    assert (row.share_unmoved, row.share_same_4bit_code) == (pytest.approx(4 / 6), pytest.approx(5 / 6))
    assert found.summary["share_unmoved"] == pytest.approx((4 + 81) / 87)
    assert found.summary["mlp"]["share_same_4bit_code"] == pytest.approx((5 + 81) / 87)


def test_small_updates_vanish_in_four_bits_and_large_ones_do_not():
    base = gaussian(64, 64, 1)
    shares = [
        findings((base, base + size * gaussian(64, 64, 2))).tables["elbow_summary"][0].share_same_4bit_code
        for size in (1e-5, 1e-2, 1.0)
    ]
    assert shares[0] > 0.999
    assert shares[0] > shares[1] > shares[2]
    assert shares[2] < 0.5


@pytest.mark.parametrize("length", [1, 2, POINTS, POINTS + 1, 768, 4096])
def test_what_is_shown_of_a_spectrum(length):
    indices = shown(length)
    assert len(indices) <= POINTS
    assert indices[0] == 0 and indices[-1] == length - 1
    assert indices == sorted(set(indices))
    assert len(indices) == min(length, len(indices)) and (length > POINTS or len(indices) == length)
    assert indices[: min(length, 10)] == list(range(min(length, 10)))


def test_the_middle_layer_and_scaling():
    pairs = [(gaussian(20, 30, seed), gaussian(20, 30, seed + 9)) for seed in range(3)]
    found = findings(*pairs)
    assert {row.layer for row in found.tables["spectra"] if row.middle_layer} == {1}
    scaled = findings(*((4 * base, 4 * modified) for base, modified in pairs))
    for row, other in zip(found.tables["elbow_summary"], scaled.tables["elbow_summary"]):
        assert (row.elbow_a, row.elbow_b, row.elbow_dw) == (other.elbow_a, other.elbow_b, other.elbow_dw)
    for row, other in zip(found.tables["spectra"], scaled.tables["spectra"]):
        assert math.isclose(4 * row.singular_value, other.singular_value, rel_tol=1e-9)
