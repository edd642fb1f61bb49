"""Uncertainty by resampling texts, against values worked out by hand."""

import math

import numpy as np
import pytest
import torch

from brittle.mathematics import intervals
from brittle.records import column, spread_columns, with_spread


def test_every_draw_has_as_many_texts_as_there_are():
    drawn = intervals.resampled(7, seed=1, draws=50)
    assert drawn.shape == (50, 7)
    assert torch.equal(drawn.sum(dim=1), torch.full((50,), 7.0, dtype=torch.float64))
    assert torch.equal(drawn, intervals.resampled(7, seed=1, draws=50))
    assert not torch.equal(drawn, intervals.resampled(7, seed=2, draws=50))


def test_the_interval_of_a_mean_has_the_width_that_theory_gives():
    values = torch.from_numpy(np.random.default_rng(0).normal(5, 2, 400))
    found = intervals.spread(intervals.ratio_of_sums(values, torch.ones(400)), 400, seeds=range(200))
    error = float(values.std()) / math.sqrt(400)
    assert found.value == pytest.approx(float(values.mean()))
    assert found.high - found.low == pytest.approx(2 * 1.96 * error, rel=0.1)
    assert found.std == pytest.approx(error, rel=0.2)
    assert found.low < found.mean < found.high


def test_equal_texts_leave_no_uncertainty_and_long_texts_weigh_more():
    sums, counts = torch.tensor([2.0, 8.0]), torch.tensor([1.0, 4.0])
    found = intervals.spread(intervals.ratio_of_sums(sums, counts), 2, seeds=(1, 2))
    assert (found.value, found.std, found.low, found.high) == (2.0, 0.0, 2.0, 2.0)
    weighted = intervals.ratio_of_sums(torch.tensor([3.0, 8.0]), counts)
    assert float(weighted(torch.ones(1, 2, dtype=torch.float64))) == pytest.approx(11 / 5)


def test_a_row_type_gets_four_columns_behind_the_documented_ones():
    from dataclasses import dataclass, fields

    @dataclass(frozen=True)
    class Row:
        layer: int = column("layer")
        size: float = column("size")

    wider = with_spread(Row, ["size"])
    assert [f.name for f in fields(wider)] == ["layer", "size", "size_mean", "size_std", "size_low", "size_high"]
    row = wider(layer=1, **spread_columns("size", intervals.Spread(1.0, 2.0, 3.0, 4.0, 5.0)))
    assert (row.size, row.size_mean, row.size_std, row.size_low, row.size_high) == (1.0, 2.0, 3.0, 4.0, 5.0)
