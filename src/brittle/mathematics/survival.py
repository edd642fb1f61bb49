"""Times until something happens that were only looked for now and then: they lie between two looks, or beyond the last.

A model is asked at some steps only. If it was not there at step 20 and was at step 40, it got there after 20 and at or
before 40; a run that never got there did so, if ever, after its end.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy
from numpy.typing import NDArray
from scipy import stats

ROUNDING = 1e-4
"""The masses are found by iteration: one half may come out a little below one half."""
ITERATIONS = 5_000


@dataclass(frozen=True)
class MedianTime:
    """A median that lies after ``after`` and at or before ``value``: ∞ where fewer than half got there.

    ``low`` and ``high`` bound it at 95 % over runs: 0 and ∞ where the runs give no bound, NaN with fewer than two.
    """

    value: float
    after: float = math.nan
    low: float = math.nan
    high: float = math.nan


@dataclass(frozen=True)
class Masses:
    """A distribution of times: how much probability lies after ``after[i]`` and at or before ``by[i]``."""

    after: NDArray[numpy.float64]
    by: NDArray[numpy.float64]
    mass: NDArray[numpy.float64]


def median_time(intervals: Sequence[tuple[float, float]]) -> MedianTime:
    """Where the median of times lies of which only intervals are known.

    It is the first interval of :func:`distribution` up to whose end at least half of the mass lies. The 95 % interval over
    runs assumes nothing of the distribution: of n times in their order the k-th and the (n + 1 − k)-th enclose the median
    with probability 1 − 2 · P(Binomial(n, ½) < k); the k-th of all left ends lies at or before the k-th time, the same of
    all right ends at or after it. With fewer than six runs there is no k for 95 %, so they bound nothing.

    Args:
        intervals: at least one ``(after, by)`` as in :func:`distribution`.
    """
    found, number = distribution(intervals), len(intervals)
    place = int(numpy.argmax(numpy.cumsum(found.mass) >= 0.5 - ROUNDING))
    value, after = float(found.by[place]), float(found.after[place])
    if number < 2:
        return MedianTime(value, after)
    k = int(stats.binom.ppf(0.025, number, 0.5))
    if k == 0:
        return MedianTime(value, after, 0.0, math.inf)
    left, right = sorted(start for start, _ in intervals), sorted(end for _, end in intervals)
    return MedianTime(value, after, left[k - 1], right[number - k])


def distribution(intervals: Sequence[tuple[float, float]]) -> Masses:
    """The distribution under which intervals that hold one time each are likeliest.

    Mass can only lie where a left end is followed at once by a right end, and where it lies within these does not matter.
    Started at equal masses, each becomes the mean over times of its share in what the time's interval holds, until nothing
    moves. With right-censored and exact times alone this is the estimate of Kaplan and Meier.
    Turnbull 1976; Peto 1973.

    Args:
        intervals: ``(after, by)`` with after < by: the time lies after the first and at or before the second, which is ∞ for
            one that had not come when observation ended; after = by: exactly then.
    """
    # at one place a time that is known exactly begins before intervals end there, and others begin after that
    ends = [((left, 0 if left == right else 2), (right, 1)) for left, right in intervals]
    marks = sorted({(end, place) for pair in ends for place, end in enumerate(pair)})
    inner = [(one, two) for (one, kind), (two, other) in itertools.pairwise(marks) if (kind, other) == (0, 1)]
    holds = numpy.array([[left <= one and two <= right for one, two in inner] for left, right in ends], dtype=float)
    mass = numpy.full(len(inner), 1 / len(inner))
    for _ in range(ITERATIONS):
        now = (holds * mass / (holds @ mass)[:, None]).mean(axis=0)
        moved, mass = float(numpy.abs(now - mass).max()), now
        if moved < 1e-12:
            break
    return Masses(numpy.array([one[0] for one, _ in inner]), numpy.array([two[0] for _, two in inner]), mass)
