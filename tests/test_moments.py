"""Streaming moments against numpy's two passes, and what the spectra of known covariances say."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from planted_states import gaussian
from scipy import stats

from brittle.mathematics import moments

WIDTH = 24


def rows(number=3000, seed=0):
    """Unequal variances over five orders of magnitude."""
    return gaussian(number, WIDTH, seed=seed) * torch.logspace(-2, 3, WIDTH)


def streamed(values, size, weights=None):
    found = moments.Moments(1 if weights is None else weights.shape[1])
    for start in range(0, len(values), size):
        part = slice(start, start + size)
        found.update(values[part], None if weights is None else weights[part])
    return found


@pytest.mark.parametrize("size", [1, 30, 1024, 3000])
@pytest.mark.parametrize("offset", [0.0, 1e4])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_stream_gives_the_two_pass_covariance(size, offset, dtype):
    values = (rows() + offset).to(dtype)
    found = streamed(values, size)
    expected = np.cov(values.double().numpy(), rowvar=False)
    scale = np.sqrt(np.outer(expected.diagonal(), expected.diagonal()))
    tolerance = 1e-12 if dtype == torch.float64 else 2e-6
    assert np.abs((found.covariances()[0].numpy() - expected) / scale).max() < tolerance
    difference = found.means()[0].numpy() - values.double().numpy().mean(0)
    assert np.abs(difference / np.sqrt(expected.diagonal())).max() < 1e-7


def test_a_drifting_mean_costs_no_precision():
    """The first rows lie far from the rest: their mean is a bad shift for what comes later."""
    values = torch.linspace(1, 2, WIDTH) * gaussian(6000, WIDTH)
    values[:1024] += 1000
    expected, found = np.cov(values.double().numpy(), rowvar=False), streamed(values, 50).covariances()[0].numpy()
    assert np.abs(found - expected).max() < 1e-8 * np.abs(expected).max()
    rest = np.linalg.eigvalsh(expected)[:-1]
    assert np.linalg.eigvalsh(found)[:-1] == pytest.approx(rest, rel=1e-3)


def test_weights_are_those_of_numpy():
    values, weights = rows(400).double(), gaussian(400, 2, seed=3).abs()
    found = streamed(values, 7, weights).covariances()
    for index in range(2):
        own = weights[:, index].double().numpy()
        expected = np.cov(values.numpy(), rowvar=False, aweights=own, ddof=0) * 400 / 399
        assert np.allclose(found[index].numpy(), expected, rtol=1e-10, atol=1e-12 * np.abs(expected).max())


def test_whole_weights_repeat_rows():
    values = rows(50).double()
    weights = torch.tensor([1.0, 3.0]).repeat(25)[:, None]
    repeated = torch.cat([values, values[1::2], values[1::2]])
    found = streamed(values, 10, weights).covariances()[0] * 49 / 50
    assert torch.allclose(found, torch.cov(repeated.T, correction=0), rtol=1e-10)


def test_text_weights_are_exponential_and_depend_on_seed_and_text_alone():
    drawn = np.array([moments.text_weight(f"text {index}", 42) for index in range(4000)])
    assert stats.kstest(drawn, "expon").pvalue > 0.01
    other = np.array([moments.text_weight(f"text {index}", 43) for index in range(4000)])
    assert abs(np.corrcoef(drawn, other)[0, 1]) < 0.05
    assert moments.text_weight("text 7", 42) == drawn[7] > 0


def test_the_resampled_deviation_is_the_standard_error():
    """Of the variance of a Gaussian: 2 σ⁴ / n, to what 300 replicates can tell."""
    values = gaussian(500, 1, seed=5)
    drawn = [[moments.text_weight(str(text), seed) for seed in range(300)] for text in range(500)]
    found = streamed(values, 100, torch.tensor(drawn, dtype=torch.float64)).covariances().flatten()
    assert float(found.std()) == pytest.approx(math.sqrt(2 / 500) * float(values.var()), rel=0.15)


def test_no_rows_are_refused_and_one_has_no_covariance():
    with pytest.raises(ValueError, match="no rows"):
        moments.Moments().covariances()
    assert moments.Moments().update(rows(1)).covariances().isnan().all()


def test_eigenvalues_are_numpys_and_scale_with_the_square():
    covariance = streamed(rows().double(), 100).covariances()[0]
    found = moments.eigenvalues(covariance)
    expected = np.linalg.svd(covariance.numpy(), compute_uv=False)
    assert np.allclose(found.numpy(), expected, rtol=1e-6, atol=1e-12 * expected[0])
    assert torch.allclose(moments.eigenvalues(9 * covariance), 9 * found)


@pytest.mark.parametrize("values, rank", [([98.0, 2, 0], 2), ([99.5, 0.5, 0], 1), ([1.0] * 100, 99), ([0.0, 0], 0)])
def test_effective_rank_by_hand(values, rank):
    assert moments.effective_rank(torch.tensor(values).double()) == rank


def test_entropy_by_hand():
    assert moments.spectral_entropy(torch.ones(8).double()) == pytest.approx(math.log(8))
    assert moments.spectral_entropy(torch.tensor([5.0, 0, 0]).double()) == 0
    assert moments.spectral_entropy(torch.zeros(3).double()) == 0
    assert moments.spectral_entropy(torch.tensor([3.0, 1]).double()) == pytest.approx(stats.entropy([0.75, 0.25]))


def test_distances_of_spectra_against_scipy_and_by_hand():
    a, b = gaussian(100, seed=1).abs().double(), gaussian(100, seed=2).abs().double()
    assert moments.wasserstein(a, b) == pytest.approx(stats.wasserstein_distance(a.numpy(), b.numpy()))
    before, after = torch.tensor([4.0, 2, 1e-9]).double(), torch.tensor([8.0, 1, 1e-3]).double()
    assert moments.mean_log_ratio(before, after) == pytest.approx(math.log(2))
    assert moments.top_change(before, after, 2) == pytest.approx(2.5 / 3)
    assert math.isnan(moments.top_change(torch.zeros(3), torch.zeros(3)))
    assert math.isnan(moments.mean_log_ratio(torch.zeros(3), torch.zeros(3)))


def test_an_interval_from_few_replicates():
    mean, deviation, half = moments.resampled_spread([1.0, 2.0, 3.0])
    assert (mean, deviation) == (2, 1)
    assert half == pytest.approx(4.3027, rel=1e-4)
    assert moments.resampled_spread([5.0])[:2] == (5, 0)
    assert math.isnan(moments.resampled_spread([5.0])[2])
