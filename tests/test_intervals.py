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


def test_the_weights_of_one_split_do_not_follow_those_of_another():
    one, other = (intervals.weights_of_texts(9, (1, 2), split) for split in (0, 1))
    assert one.shape == (1 + 2 + intervals.DRAWS, 9)
    assert torch.equal(one[0], torch.ones(9, dtype=torch.float64))
    assert torch.equal(one[2], intervals.resampled(9, 2)[0])
    assert not (one[1:] == other[1:]).all(dim=1).any()


def test_columns_have_the_spread_that_each_has_alone():
    values = torch.from_numpy(np.random.default_rng(0).normal(5, 2, (30, 2)))
    statistic = intervals.ratio_of_sums(values, torch.ones(30, 1))
    found = intervals.spreads(statistic(intervals.weights_of_texts(30, (1, 2, 3))), 3)
    for part, together in zip(values.T, found):
        alone = intervals.spread(intervals.ratio_of_sums(part, torch.ones(30)), 30, (1, 2, 3))
        assert vars(alone) == pytest.approx(vars(together))


def test_draws_without_a_value_do_not_count():
    values = torch.tensor([[1.0, 1], [2, math.nan], [4, 3], *[[0, math.inf]] * 10, *[[0, 7]] * 10]).double()
    found = intervals.spreads(values, 2)
    assert (found[0].mean, found[0].std) == pytest.approx((3, math.sqrt(2)))
    assert (found[1].value, found[1].mean, found[1].std, found[1].low, found[1].high) == (1, 3, 0, 7, 7)
    assert all(math.isnan(each) for each in vars(intervals.spreads(torch.full((20, 1), math.nan), 2)[0]).values())
