"""How well a mean is known, and whether two groups of numbers differ beside how far those of one group lie apart.

Few numbers in each group, normal within a group, of unlike variances.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence

import numpy as np
from scipy import stats


def student(values: Sequence[float]) -> tuple[float, float, float]:
    """The mean and its 95 % interval by Student's t; NaN bounds with fewer than two numbers."""
    number = len(values)
    mean = math.fsum(values) / number
    if number < 2:
        return mean, math.nan, math.nan
    deviation = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (number - 1))
    half = float(stats.t.ppf(0.975, number - 1)) * deviation / math.sqrt(number)
    return mean, mean - half, mean + half


def welch(
    one: Sequence[float],
    other: Sequence[float],
    one_blocks: Sequence[Hashable] = (),
    other_blocks: Sequence[Hashable] = (),
) -> float:
    """Two-sided p of Welch's t-test, 0 to 1; NaN with fewer than two numbers in a group.

    Where every block holds as many numbers of one group as of the other, what the blocks differ by is taken out first: each
    number less its block's mean, and each group gives up half of the blocks' degrees of freedom. Otherwise blocks are left
    alone, which is the careful side: what they differ by then counts as spread. Where neither group varies at all, p is that
    of the permutation test, ``2 / C(n + m, n)``, which no t stands behind.  Welch 1947.
    """
    groups = [np.asarray(each, dtype=np.float64) for each in (one, other)]
    sizes = [len(group) for group in groups]
    if min(sizes) < 2:
        return math.nan
    lost = 0.0
    blocks = [list(one_blocks), list(other_blocks)]
    names = set(blocks[0]) | set(blocks[1])
    alike = all(blocks[0].count(name) == blocks[1].count(name) for name in names)
    if alike and [len(each) for each in blocks] == sizes and sizes[0] - 1 - (len(names) - 1) / 2 > 0:
        lost = (len(names) - 1) / 2
        everything, where = np.concatenate(groups), [*blocks[0], *blocks[1]]
        means = {name: everything[[each == name for each in where]].mean() for name in names}
        groups = [group - [means[name] for name in own] for group, own in zip(groups, blocks)]
    degrees = [size - 1 - lost for size in sizes]
    errors = [
        float(((group - group.mean()) ** 2).sum()) / free / size for group, free, size in zip(groups, degrees, sizes)
    ]
    distance, error = abs(float(groups[0].mean() - groups[1].mean())), sum(errors)
    smallest = 1e-12 * float(np.abs(np.concatenate([one, other])).max())
    if math.sqrt(error) <= smallest:
        return 1.0 if distance <= smallest else 2 / math.comb(sum(sizes), sizes[0])
    free = error**2 / sum(part**2 / each for part, each in zip(errors, degrees))
    return float(2 * stats.t.sf(distance / math.sqrt(error), free))


def odd_one_out(one: float, other: float, others: Sequence[float]) -> float:
    """Two-sided p that two numbers lie no further apart than two of a group of which ``others`` are the rest, 0 to 1.

    ``t = (a − b) / (s √2)`` with the standard deviation s of the others. NaN with fewer than two others, 1 where these do not
    vary: nothing can be told from them.
    """
    rest = np.asarray(others, dtype=np.float64)
    if len(rest) < 2:
        return math.nan
    spread = float(rest.std(ddof=1))
    if spread <= 1e-12 * max(abs(one), abs(other)):
        return 1.0
    return float(2 * stats.t.sf(abs(one - other) / (spread * math.sqrt(2)), len(rest) - 1))


def holm(ps: Sequence[float]) -> list[float]:
    """The same p values so that at most 5 % of families have any below 0.05 by chance; NaN stays and counts as no test.

    Sorted, the i-th smallest of k times ``k + 1 − i``, never less than the one before, at most 1.  Holm 1979.
    """
    places = sorted((place for place, p in enumerate(ps) if not math.isnan(p)), key=lambda place: ps[place])
    adjusted, highest = [math.nan] * len(ps), 0.0
    for rank, place in enumerate(places):
        highest = max(highest, min(1.0, (len(places) - rank) * ps[place]))
        adjusted[place] = highest
    return adjusted


def share_over_pairs(called: np.ndarray, draws: int = 2000, seed: int = 0) -> tuple[float, float, float]:
    """Mean over pairs and its 95 % bootstrap interval over what the pairs are of.

    ``called`` is ``[number, number]``, symmetric, NaN on the diagonal and where nothing was compared. Members are drawn anew
    with replacement, never pairs: pairs with a member in common are not independent. A member is not paired with itself.
    """
    known = ~np.isnan(called)
    values = np.where(known, called, 0.0)
    if not known.any():
        return math.nan, math.nan, math.nan
    drawn = np.random.default_rng(seed).multinomial(len(called), np.full(len(called), 1 / len(called)), draws)
    weights = np.einsum("di,dj->dij", drawn, drawn) * known
    total = weights.sum((1, 2))
    shares = (weights * values).sum((1, 2))[total > 0] / total[total > 0]
    low, high = np.quantile(shares, (0.025, 0.975))
    return float(values.sum() / known.sum()), float(low), float(high)
