"""Times known to lie in intervals: hand-worked examples, Kaplan and Meier as a special case, and what few runs bound."""

from __future__ import annotations

import math

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from brittle.mathematics.survival import distribution, median_time


def intervals(times: list[int], observed: list[bool]) -> list[tuple[float, float]]:
    """Exact times, and times that are only known to be later."""
    return [(time, time if seen else math.inf) for time, seen in zip(times, observed)]


def test_masses_of_overlapping_intervals_by_hand() -> None:
    # mass can lie in (0, 1], (1, 2] and (2, 3] only: a, 1 − 2a, a by symmetry. The likelihood is
    # a · (1 − a)² · (1 − a)² · a = a² (1 − a)⁴, largest at a = 1/3  (Gentleman and Geyer 1994)
    known = [(0, 1), (1, 3), (1, 3), (0, 2), (0, 2), (2, 3)]
    found = distribution(known)
    assert found.after.tolist() == [0, 1, 2] and found.by.tolist() == [1, 2, 3]
    assert found.mass == pytest.approx([1 / 3] * 3, abs=1e-5)
    median = median_time(known)
    assert (median.after, median.value) == (1, 2)


def test_a_censored_interval_moves_mass_by_hand() -> None:
    # (0, 20], (20, 40], (10, ∞): no left end is followed at once by ∞, so the third belongs to (10, 20] or (20, 40];
    # p of (10, 20] and 1 − p: p · (1 − p) · 1 is largest at one half
    found = distribution([(0, 20), (20, 40), (10, math.inf)])
    assert found.after.tolist() == [10, 20] and found.mass == pytest.approx([0.5, 0.5], abs=1e-5)
    # censored at 40: a third each in (0, 20], (20, 40] and beyond
    late = median_time([(0, 20), (20, 40), (40, math.inf)])
    assert (late.after, late.value) == (20, 40)


def test_ties_and_censoring_by_hand() -> None:
    # events at 1, 2, 2, 4; censored at 2 (still at risk there), 3, 5
    # S(1) = 6/7; S(2) = 6/7 · (1 − 2/6) = 4/7; S(4) = 4/7 · (1 − 1/2) = 2/7: the median is 4
    found = median_time(intervals([1, 2, 2, 2, 3, 4, 5], [True, True, True, False, False, True, False]))
    assert (found.after, found.value) == (4, 4)
    # of seven times the first and the last enclose the median with probability 1 − 2/2⁷ = 0.984; the last may never come
    assert (found.low, found.high) == (1, math.inf)


def test_three_runs_bound_no_median() -> None:
    found = median_time([(10, 20), (20, 40), (40, 60)])
    assert (found.after, found.value, found.low, found.high) == (20, 40, 0, math.inf)
    six = median_time([(step, step + 10) for step in (0, 10, 20, 30, 40, 50)])
    assert (six.low, six.high) == (0, 60)  # 1 − 2/2⁶ = 0.969


def test_not_reached_and_a_single_run() -> None:
    assert median_time(intervals([5, 5, 5], [False] * 3)).value == math.inf
    waiting = median_time([(0, 5), (9, math.inf), (9, math.inf)])  # two of three still wait
    assert (waiting.after, waiting.value) == (9, math.inf)
    single = median_time([(5, 7)])
    assert (single.after, single.value) == (5, 7) and math.isnan(single.low) and math.isnan(single.high)


@given(st.lists(st.integers(0, 50), min_size=1, max_size=30))
def test_without_censoring_it_is_the_empirical_median(times: list[int]) -> None:
    found = median_time(intervals(times, [True] * len(times)))
    assert found.value == found.after == sorted(times)[math.ceil(len(times) / 2) - 1]


@given(st.lists(st.tuples(st.integers(0, 9), st.booleans()), min_size=1, max_size=12))
def test_with_exact_and_right_censored_times_it_is_kaplan_and_meier(drawn: list[tuple[int, bool]]) -> None:
    times, observed = [time for time, _ in drawn], [seen for _, seen in drawn]
    found = distribution(intervals(times, observed))
    waiting = stats.ecdf(stats.CensoredData.right_censored(times, [not seen for seen in observed])).sf
    for time in range(10):
        assert 1 - found.mass[found.by <= time].sum() == pytest.approx(float(waiting.evaluate(time)), abs=1e-3)


@given(st.lists(st.floats(0.5, 99), min_size=1, max_size=20), st.integers(1, 30))
def test_the_median_of_the_times_lies_in_the_interval_that_is_given(times: list[float], width: int) -> None:
    """Every run is asked at the same steps: then the interval holds the empirical median of the times behind it."""
    looks = [(math.ceil(time / width) - 1) * width for time in times]
    found = median_time([(look, look + width) for look in looks])
    assert found.after < sorted(times)[math.ceil(len(times) / 2) - 1] <= found.value


def test_many_runs_bound_it_on_both_sides() -> None:
    found = median_time(intervals(list(range(1, 41)), [True] * 40))
    assert found.value == 20
    assert found.low == pytest.approx(14, abs=2) and found.high == pytest.approx(26, abs=2)
    assert numpy.isfinite([found.low, found.high]).all()
