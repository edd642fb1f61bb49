"""Kaplan-Meier medians: a hand-worked example with ties and censoring, and the case without censoring."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brittle.mathematics.survival import median_time


def test_ties_and_censoring_by_hand() -> None:
    # events at 1, 2, 2, 4; censored at 2 (still at risk there), 3, 5
    # S(1) = 6/7; S(2) = 6/7 · (1 − 2/6) = 4/7; S(4) = 4/7 · (1 − 1/2) = 2/7: the median is 4
    times = [1, 2, 2, 2, 3, 4, 5]
    observed = [True, True, True, False, False, True, False]
    found = median_time(times, observed)
    assert found.value == 4
    # S(1): Greenwood 1/(7·6), standard error of log(−log S) 0.1543 / 0.15415 = 1.0010, so the lower bound there is
    # exp(−0.15415 · exp(1.96 · 1.0010)) = 0.334 and one half is inside the band from the first event on.
    # S(4): Greenwood 1/42 + 2/24 + 1/2 = 0.607, error 0.779 / 1.2528 = 0.622, upper bound exp(−1.2528 · exp(−1.219))
    # = 0.690: the band never falls below one half.
    assert (found.low, found.high) == (1, math.inf)


def test_three_runs_bound_the_median_from_below_alone() -> None:
    found = median_time([20, 40, 60], [True, True, True])
    assert (found.value, found.low, found.high) == (40, 20, math.inf)


def test_not_reached_and_a_single_run() -> None:
    assert median_time([5, 5, 5], [False, False, False]).value == math.inf
    assert median_time([5, 9, 9], [True, False, False]).value == math.inf  # two of three still wait
    single = median_time([7], [True])
    assert single.value == 7 and math.isnan(single.low) and math.isnan(single.high)


@given(st.lists(st.integers(0, 50), min_size=1, max_size=30))
def test_without_censoring_it_is_the_empirical_median(times: list[int]) -> None:
    found = median_time(times, [True] * len(times))
    assert found.value == sorted(times)[math.ceil(len(times) / 2) - 1]


def test_many_runs_bound_it_on_both_sides() -> None:
    found = median_time(list(range(1, 41)), [True] * 40)
    assert found.value == 20
    assert found.low == pytest.approx(14, abs=2) and found.high == pytest.approx(26, abs=2)
