"""Subspaces, expectations under chance, elbows and codes against numpy and against what theory says."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from test_spectra import gaussian, pair, rotation

from brittle.mathematics import quantisation, random_matrices, spectra, subspaces

SHAPES = ((1, 1), (1, 9), (7, 5), (30, 30), (40, 90), (90, 40))
shapes, seeds = st.sampled_from(SHAPES), st.integers(0, 10_000)


def decomposed(matrix):
    return np.linalg.svd(matrix.double().numpy(), full_matrices=True)


def with_spectrum(rows, columns, values, seed=0):
    """A matrix of those singular values and random singular vectors, float64."""
    values = torch.as_tensor(values, dtype=torch.float64)
    left, right = rotation(rows, seed + 1)[:, : len(values)], rotation(columns, seed + 2)[:, : len(values)]
    return (left * values) @ right.T


@settings(max_examples=25, deadline=None)
@given(shapes, seeds)
def test_gram_matrices_equal_the_products(shape, seed):
    a, b = gaussian(*shape, seed), gaussian(*shape, seed + 1)
    x, y = (matrix.double() if shape[0] <= shape[1] else matrix.double().T for matrix in (a, b))
    assert torch.allclose(spectra.gram(a), x @ x.T, rtol=1e-12, atol=1e-12)
    assert torch.allclose(spectra.cross_gram(a, b), x @ y.T, rtol=1e-12, atol=1e-12)


def test_gram_matrices_in_pieces(monkeypatch):
    a, b = gaussian(50, 12, 1), gaussian(50, 12, 2)
    whole = spectra.gram(a), spectra.cross_gram(a, b), spectra.times(a, torch.eye(12, dtype=torch.float64))
    monkeypatch.setattr(spectra, "ROWS_AT_ONCE", 7)
    pieces = spectra.gram(a), spectra.cross_gram(a, b), spectra.times(a, torch.eye(12, dtype=torch.float64))
    for one, other in zip(whole, pieces):
        assert torch.allclose(one, other, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("shape", [(60, 60), (60, 150), (150, 60)])
@pytest.mark.parametrize(
    "values",
    [
        torch.logspace(0, -4, 60, dtype=torch.float64),  # ill-conditioned
        torch.cat([torch.logspace(3, 0, 20, dtype=torch.float64), torch.zeros(40, dtype=torch.float64)]),  # rank 20
    ],
    ids=["condition 1e4", "rank 20"],
)
def test_spectra_equal_numpy_to_a_relative_1e_6(shape, values):
    matrix = with_spectrum(*shape, values)
    expected = decomposed(matrix)[1]
    found = subspaces.decompose(matrix)
    present = expected > 1e-10 * expected[0]
    for singular_values in (found.singular_values.numpy(), spectra.singular_values(matrix).numpy()):
        assert np.allclose(singular_values[present], expected[present], rtol=1e-6, atol=0)
        assert np.abs(singular_values - expected).max() <= 1e-7 * expected[0]  # also where there is nothing
    assert found.resolved == present.sum()
    assert spectra.empirical_rank(found.singular_values, 0.99) == spectra.empirical_rank(torch.tensor(expected), 0.99)


@settings(max_examples=25, deadline=None)
@given(shapes, seeds, st.booleans())
def test_leading_bases_span_what_numpy_says(shape, seed, outputs):
    matrix = gaussian(*shape, seed)
    left, _, right = decomposed(matrix)
    count = (min(shape) + 1) // 2
    expected = left[:, :count] if outputs else right[:count].T
    basis = subspaces.leading_basis(matrix, subspaces.decompose(matrix, count), count, outputs).numpy()
    assert np.allclose(basis.T @ basis, np.eye(count), atol=1e-9)
    assert np.allclose(basis @ basis.T, expected @ expected.T, atol=1e-6)


def test_principal_angles_of_planes_turned_by_hand():
    axes = torch.eye(4, dtype=torch.float64)
    for small, large in ((0.0, 0.0), (1e-9, 0.3), (0.2, math.pi / 2)):
        first = math.cos(small) * axes[0] + math.sin(small) * axes[2]
        second = math.cos(large) * axes[1] + math.sin(large) * axes[3]
        turned = torch.stack([first, second], dim=1) @ rotation(2, 1)
        angles = subspaces.principal_angles(axes[:, :2] @ rotation(2, 2), turned)
        assert angles.tolist() == pytest.approx([small, large], rel=1e-6, abs=1e-15)
        assert subspaces.mean_cosine(angles) == pytest.approx((math.cos(small) + math.cos(large)) / 2)
        assert subspaces.geodesic_distance(angles) == pytest.approx(math.hypot(small, large), abs=1e-15)
        chordal = math.sqrt(2 - math.cos(small) ** 2 - math.cos(large) ** 2)
        assert subspaces.chordal_distance(angles) == pytest.approx(chordal, abs=1e-9)


@settings(max_examples=30, deadline=None)
@given(st.sampled_from([(30, 30), (40, 90), (90, 40)]), seeds, st.floats(0.1, 0.999))
def test_update_shares_equal_the_projections_and_add_to_one(shape, seed, threshold):
    base, change = gaussian(*shape, seed), gaussian(*shape, seed + 1)
    changed = pair(base, base + change)
    left, values, right = decomposed(base)
    rank = spectra.empirical_rank(torch.tensor(values), threshold)
    shares, update = changed.update_shares(rank), changed.difference.double().numpy()
    total = (update**2).sum()
    assert shares.outputs_inside == pytest.approx(((left[:, :rank].T @ update) ** 2).sum() / total, abs=1e-9)
    assert shares.inputs_inside == pytest.approx(((update @ right[:rank].T) ** 2).sum() / total, abs=1e-9)
    assert shares.outputs_inside + shares.outputs_outside == pytest.approx(1, abs=1e-12)
    assert shares.inputs_inside + shares.inputs_outside == pytest.approx(1, abs=1e-12)


def test_no_null_space_is_exactly_zero_by_arithmetic():
    """As many directions as outputs: the sum over the others is empty."""
    for shape in ((20, 20), (20, 50)):
        shares = pair(gaussian(*shape, 1), gaussian(*shape, 2)).update_shares(20)
        assert (shares.outputs_inside, shares.outputs_outside) == (1.0, 0.0)
    assert pair(gaussian(50, 20, 1), gaussian(50, 20, 2)).update_shares(20).inputs_outside == 0.0


def test_gap_and_resolved_directions():
    decomposition = subspaces.decompose(with_spectrum(12, 9, [4.0, 4.0, 3.0, 1.0, 0.0]))
    assert decomposition.resolved == 4
    assert [decomposition.gap(count) for count in (0, 1, 2, 3, 4, 5)] == pytest.approx(
        [0, 0, 1 / 4, 2 / 3, 1, 0], abs=1e-6
    )
    assert subspaces.decompose(torch.zeros(3, 4)).resolved == 0


@pytest.mark.parametrize("shape", [(12, 12), (60, 60), (200, 50), (50, 200), (300, 290)])
def test_expected_top_share_is_the_mean_over_gaussian_matrices(shape):
    drawn = [spectra.top_share(spectra.singular_values(gaussian(*shape, seed))) for seed in range(40)]
    expected = random_matrices.expected_top_share(*shape)
    # Sixteen draws against forty: three standard errors of their difference.
    assert expected == pytest.approx(np.mean(drawn), abs=3 * np.std(drawn) * math.sqrt(1 / 40 + 1 / 16))
    assert random_matrices.expected_top_share(*shape[::-1]) == expected


def test_a_corner_is_enough_for_the_top_of_a_large_spectrum(monkeypatch):
    corner = random_matrices.expected_top_share.__wrapped__(1500, 1400)
    monkeypatch.setattr(random_matrices, "int", lambda _: 1400, raising=False)
    monkeypatch.setattr(random_matrices, "DRAWS", 1)
    whole = random_matrices.expected_top_share.__wrapped__(1500, 1400)
    assert corner == pytest.approx(whole, rel=0.03)  # one draw against sixteen
    monkeypatch.undo()
    monkeypatch.setattr(random_matrices, "DRAWS", 1)
    assert random_matrices.expected_top_share.__wrapped__(1500, 1400) == pytest.approx(whole, rel=1e-9)  # same draw


@pytest.mark.parametrize(("dimension", "count"), [(60, 20), (30, 20), (200, 7), (300, 1)])
def test_expected_alignment_is_that_of_random_subspaces(dimension, count):
    def basis(seed):
        return torch.linalg.qr(gaussian(dimension, count, seed).double())[0]

    drawn = [subspaces.mean_cosine(subspaces.principal_angles(basis(seed), basis(seed + 5000))) for seed in range(100)]
    noise = 4 * np.std(drawn) * math.sqrt(1 / 100 + 1 / 400)  # four standard errors of the difference of both means
    assert random_matrices.expected_alignment(dimension, count) == pytest.approx(np.mean(drawn), abs=noise)


def test_expected_alignment_without_room_or_directions():
    assert random_matrices.expected_alignment(20, 20) == pytest.approx(1)
    assert math.isnan(random_matrices.expected_alignment(20, 0))


def test_expectations_leave_the_global_seed_alone():
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    random_matrices.expected_top_share.__wrapped__(40, 30)
    random_matrices.expected_alignment.__wrapped__(40, 5)
    assert torch.rand(1) == expected


def test_elbows_of_planted_spectra():
    planted = torch.tensor([9.0, 8.9, 8.8, 0.2, 0.15, 0.1, 0.05, 0.0])  # three values before the bend
    index, depth = spectra.elbow(planted)
    assert index == 3
    assert depth == pytest.approx((1 - 3 / 7) - 0.2 / 9)
    assert spectra.elbow(1000 * planted) == pytest.approx((index, depth))
    assert spectra.elbow(torch.linspace(1, 0, 50)) == (pytest.approx(0, abs=50), pytest.approx(0, abs=1e-6))
    concave = torch.linspace(0, 1, 30).square().neg() + 1
    for no_bend in (concave, torch.zeros(9), torch.tensor([2.0]), torch.tensor([2.0, 1.0])):
        assert spectra.elbow(no_bend) == (0, 0.0)


def test_four_bit_codes_by_hand():
    matrix = torch.tensor([[0.7, -0.34, 0.06], [0.0, 14.0, -3.1]])  # scales 0.1 and 2
    assert quantisation.four_bit_codes(matrix).tolist() == [[7, -3, 1], [0, 7, -2]]
    assert quantisation.four_bit_codes(torch.zeros(1, 3)).tolist() == [[0, 0, 0]]
    # -0.34 -> -0.36 crosses a boundary, 0.06 -> 0.08 does not; the second row's largest entry rescales it all:
    # 28 is code 7 again, -3.1 / 4 becomes -1.
    modified = torch.tensor([[0.7, -0.36, 0.08], [0.0, 28.0, -3.1]])
    assert quantisation.share_of_equal_codes(matrix, modified) == pytest.approx(4 / 6)
    assert quantisation.share_of_equal_codes(matrix, modified, rows_at_once=1) == pytest.approx(4 / 6)
    changed = pair(matrix, modified)
    assert (changed.share_unmoved, changed.share_same_four_bit_code) == (pytest.approx(3 / 6), pytest.approx(4 / 6))
    assert (pair(matrix, matrix.clone()).share_unmoved, pair(matrix, matrix.clone()).share_same_four_bit_code) == (1, 1)


def test_codes_do_not_depend_on_the_scale_of_a_row():
    matrix = gaussian(20, 30, 1)
    scaled = matrix * torch.logspace(-6, 6, 20)[:, None]
    assert quantisation.share_of_equal_codes(matrix, scaled) == 1


def test_base_quantities_are_shared_between_pairs_with_the_same_base(monkeypatch):
    base = gaussian(30, 50, 1)
    first, second = pair(base, gaussian(30, 50, 2)), pair(base, gaussian(30, 50, 3))
    expected = pair(base, second.modified).update_shares(10)
    assert first.update_shares(10) and first.base_norm and first.difference_norm
    known = first.base_quantities()
    assert known.keys() == {"base_decomposition", "base_norm"}
    decomposed_matrices = []
    original = subspaces.decompose
    monkeypatch.setattr(subspaces, "decompose", lambda *given: decomposed_matrices.append(given) or original(*given))
    assert second.with_base_quantities(known).update_shares(10) == expected
    assert not decomposed_matrices
    assert second.base_decomposition is first.base_decomposition
