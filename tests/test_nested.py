"""Means over nested levels: intervals by hand, and how often they hold the truth."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from brittle.mathematics.groups import student
from brittle.mathematics.nested import nested_mean, resampled, tree_of

T_OF_ONE = 12.706
"""Student's t at 97.5 % with one degree of freedom."""


def labels(*counts: int) -> list[tuple[int, ...]]:
    """Every member of so many worlds, seeds in each, … in order."""
    return list(itertools.product(*map(range, counts)))


def test_what_differs_between_two_worlds_alone_spans_both() -> None:
    """Means 0 and 1, standard error ½: Student's half width is 12.7 / 2, the percentiles are the two worlds."""
    found = nested_mean([0, 0, 0, 1, 1, 1], labels(2, 3))
    assert found.mean == 0.5
    assert (found.low, found.high) == pytest.approx((0.5 - T_OF_ONE / 2, 0.5 + T_OF_ONE / 2), abs=1e-3)
    drawn = resampled(tree_of([0, 0, 0, 1, 1, 1], labels(2, 3)), np.random.default_rng(0))
    assert set(drawn) == {0.0, 0.5, 1.0} and np.mean(drawn == 0.5) == pytest.approx(0.5, abs=0.05)


def test_what_differs_within_worlds_alone_is_tighter() -> None:
    """Both worlds have mean ½: Student's interval has no width, and the draws within are what is left.

    Of four draws of 0 or 1, two in each of two worlds, 1/16 give no 1 and 1/4 give one: the 2.5 % quantile is 0.
    """
    inner = nested_mean([0, 1, 0, 1], labels(2, 2))
    assert (inner.mean, inner.low, inner.high) == (0.5, 0.0, 1.0)
    outer = nested_mean([0, 0, 1, 1], labels(2, 2))
    assert outer.mean == 0.5 and outer.high - outer.low > 10 * (inner.high - inner.low)


def test_a_level_with_one_member_changes_nothing() -> None:
    values = [0.2, 0.5, 0.9]
    expected = nested_mean(values, labels(3))
    assert expected == nested_mean(values, labels(1, 1, 3)) == nested_mean(values, labels(1, 3, 1))
    assert (expected.mean, expected.low, expected.high) == pytest.approx(student(values))


def test_a_mean_of_means_and_not_of_numbers() -> None:
    """One number in the first world, three in the second: each world counts the same."""
    assert nested_mean([1, 0, 0, 0], [(0, 0), (1, 0), (1, 1), (1, 2)]).mean == 0.5


def test_one_number_has_no_interval() -> None:
    found = nested_mean([0.3], [(0, 42)])
    assert found.mean == 0.3 and math.isnan(found.low) and math.isnan(found.high)


def test_the_same_label_in_two_worlds_is_two_members_and_the_same_draws_come_again() -> None:
    values = [0.1, 0.4, 0.5, 0.9]
    alike = [(0, 42), (0, 43), (1, 42), (1, 43)]
    assert nested_mean(values, alike) == nested_mean(values, [(0, 1), (0, 2), (1, 3), (1, 4)])
    assert nested_mean(values, alike) == nested_mean(values, alike)


@pytest.mark.parametrize(("values", "given"), [([], []), ([1.0], []), ([1.0, 2.0], [(0, 1), (0, 1)])])
def test_numbers_that_labels_do_not_tell_apart_are_refused(values: list[float], given: list[tuple[int, int]]) -> None:
    with pytest.raises(ValueError, match="labels"):
        nested_mean(values, given)


@pytest.mark.parametrize("spreads", [(1.0, 0.5, 0.3), (0.0, 1.0, 0.3), (0.0, 0.0, 1.0)])
@pytest.mark.parametrize("worlds", [2, 3, 6])
def test_intervals_hold_the_truth_in_at_least_95_per_cent(worlds: int, spreads: tuple[float, float, float]) -> None:
    """A nested normal model with mean 0; of 400 intervals 95 % ± 3 points or more hold it."""
    generator, names = np.random.default_rng(1), labels(worlds, 2, 3)
    held = 0
    for _ in range(400):
        shape = worlds, 2, 3
        parts = (generator.normal(0, each, shape[: depth + 1]) for depth, each in enumerate(spreads))
        drawn = sum(part.reshape(part.shape + (1,) * (3 - part.ndim)) for part in parts)
        found = nested_mean(np.broadcast_to(drawn, shape).ravel().tolist(), names, draws=200)
        held += found.low <= 0 <= found.high
    assert held / 400 >= 0.92


def test_percentiles_alone_would_be_too_narrow_with_three_worlds() -> None:
    """As the docstring says: about three of four, where worlds differ."""
    generator, names, held = np.random.default_rng(2), labels(3, 2), 0
    for _ in range(400):
        drawn = generator.normal(0, 1, (3, 1)) + generator.normal(0, 0.1, (3, 2))
        low, high = np.quantile(resampled(tree_of(drawn.ravel().tolist(), names), generator, 500), (0.025, 0.975))
        held += low <= 0 <= high
    assert 0.65 < held / 400 < 0.85
