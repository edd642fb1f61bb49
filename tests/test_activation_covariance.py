"""Step 9 on activations whose covariance is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from planted_states import found_by, gaussian, observed, rotation

from brittle.diagnostics import activation_covariance as step
from brittle.models import devices
from brittle.settings import BadInput

WIDTH = 12
LENGTHS = [9, 4, 7, 9, 1, 6]


def states(seed=0):
    return 50 + gaussian(6, 9, WIDTH, seed=seed) * torch.linspace(1, 3, WIDTH)


def table(forget, retain, batch_size=None, filler=float("nan"), **settings):
    """``forget`` and ``retain`` are pairs of A's and B's states."""
    seen = [
        observed(split, *pair, LENGTHS, batch_size=batch_size, filler=filler)
        for split, pair in (("forget", forget), ("retain", retain))
    ]
    findings = found_by(step, *seen, **settings)
    return findings.tables["covariance_metrics"], findings.summary


def real(hidden):
    return torch.cat([text[:length] for text, length in zip(hidden, LENGTHS)]).double().numpy()


def test_the_columns_against_numpy_over_real_tokens():
    a, b, retain = states(), states(1) * 1.5, states(2)
    (row,), summary = table((a, b), (retain, retain))
    spectra = [np.linalg.eigvalsh(np.cov(real(each), rowvar=False))[::-1] for each in (a, b)]
    for side, values in zip("ab", spectra):
        shares = values / values.sum()
        assert getattr(row, f"forget_eff_rank_{side}") == np.searchsorted(shares.cumsum(), 0.99) + 1
        assert getattr(row, f"forget_entropy_{side}") == pytest.approx(-(shares * np.log(shares)).sum(), rel=1e-6)
    difference = np.abs(spectra[0] - spectra[1])
    assert row.forget_wasserstein == pytest.approx(difference.mean(), rel=1e-5)
    assert row.forget_relative_wasserstein == pytest.approx(difference.mean() / spectra[0].mean(), rel=1e-5)
    assert row.forget_top10_change == pytest.approx(difference[:10].mean() / spectra[0][:10].mean(), rel=1e-5)
    assert row.forget_log_change == pytest.approx(np.abs(np.log(spectra[1] / spectra[0])).mean(), rel=1e-5)
    assert row.retain_wasserstein == row.retain_log_change == row.retain_wasserstein_std == 0
    assert math.isnan(row.selectivity_ratio)
    assert (summary["model_a"], summary["model_b"], summary["layers_analyzed"]) == ("base", "unlearned", [0])
    assert summary["forget_more_affected"] is True


def test_scaling_by_c_scales_eigenvalues_by_c_squared():
    a = states()
    rows, summary = table((a, 2 * a), (a, 3 * a))
    row = rows[0]
    assert row.forget_relative_wasserstein == pytest.approx(3, rel=1e-5)
    assert row.retain_relative_wasserstein == pytest.approx(8, rel=1e-5)
    assert row.forget_log_change == pytest.approx(math.log(4), rel=1e-5)
    assert row.retain_top10_change == pytest.approx(8, rel=1e-5)
    assert (row.forget_eff_rank_a, row.forget_entropy_a) == pytest.approx((row.forget_eff_rank_b, row.forget_entropy_b))
    for ratio in (row.selectivity_ratio, summary["selective_ratio"], summary["relative_selective_ratio"]):
        assert ratio == pytest.approx(3 / 8, rel=1e-5)
    assert summary["log_selective_ratio"] == pytest.approx(math.log(4) / math.log(9), rel=1e-5)


def test_rotation_and_shift_leave_the_spectrum_alone():
    a = states()
    (row,), _ = table((a, a @ rotation(WIDTH)), (a, a + 7))
    for column in ("forget_relative_wasserstein", "retain_relative_wasserstein", "forget_log_change"):
        assert getattr(row, column) == pytest.approx(0, abs=2e-5)


def test_batches_and_padding_change_nothing():
    pairs = (states(), states(1)), (states(2), states(3))
    whole, _ = table(*pairs)
    for options in ({"batch_size": 1}, {"batch_size": 4, "filler": 1e6}):
        parts, _ = table(*pairs, **options)
        for name, value in vars(whole[0]).items():
            assert getattr(parts[0], name) == pytest.approx(value, rel=1e-5), name


def test_one_giant_direction_rules_all_but_the_logarithms():
    """Half of the other eleven eigenvalues is gone; the plain distance does not see it."""
    a = states() - 50
    a[..., 0] *= 300
    b = a.clone()
    b[..., 1:] *= math.sqrt(0.5)
    (row,), _ = table((a, b), (a, a))
    assert row.forget_relative_wasserstein < 1e-3
    assert row.forget_log_change == pytest.approx(11 / 12 * math.log(2), rel=0.05)


def test_seeds_decide_the_spread_and_nothing_else():
    pairs = (states(), states(1)), (states(2), states(3))
    one, two = (table(*pairs, seeds=seeds)[0][0] for seeds in ((1, 2, 3), (4, 5, 6)))
    assert one.forget_wasserstein == two.forget_wasserstein
    assert one.forget_wasserstein_std != two.forget_wasserstein_std
    assert one.forget_wasserstein_low < one.forget_wasserstein < one.forget_wasserstein_high
    single = table(*pairs, seeds=(1,))[0][0]
    assert single.forget_wasserstein_std == 0
    assert math.isnan(single.forget_wasserstein_low)


@pytest.mark.parametrize(
    "asked, expected",
    [
        ({}, [0, 1, 2, 3, 4, 5, 6]),
        ({"layer_stride": 4}, [0, 4, 6]),
        ({"layers_to_analyze": (5, 1)}, [1, 5]),
        ({"layers_to_analyze": (5,), "layer_stride": 4}, [5]),
    ],
)
def test_depths(asked, expected):
    hidden = [states(seed) for seed in range(7)]
    rows, _ = table((hidden, hidden), (hidden, hidden), **asked)
    assert [row.layer for row in rows] == expected


def test_covariances_that_memory_cannot_hold_are_refused(monkeypatch):
    needed = 2 * 2 * 3 * (1 + 3) * WIDTH**2 * 8
    hidden = [states(seed) for seed in range(3)]
    monkeypatch.setattr(devices, "free_memory", lambda device: needed)
    table((hidden, hidden), (hidden, hidden))
    monkeypatch.setattr(devices, "free_memory", lambda device: needed - 1)
    with pytest.raises(BadInput, match="the covariances of 3 depths need .* larger --layer-stride"):
        table((hidden, hidden), (hidden, hidden))


def test_a_depth_out_of_range_is_refused():
    with pytest.raises(BadInput, match="depth 1 is not among the model's depths 0 to 0"):
        table((states(), states()), (states(), states()), layers_to_analyze=(1,))
