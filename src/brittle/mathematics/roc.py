"""How well a score tells two groups of models apart, and how far that could be off."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np

DRAWS = 1000


@dataclass(frozen=True)
class Scored:
    """One model's score, whether it belongs to the group that should score higher, and what it was drawn with."""

    score: float
    positive: bool
    outer: Hashable
    """What is drawn first, such as the world."""
    inner: Hashable
    """What is drawn within it, such as the kind of hiding."""


@dataclass(frozen=True)
class Area:
    """An area under the ROC curve, 0 to 1, with its 95 % interval; NaN where one of the groups is empty."""

    value: float
    low: float = math.nan
    high: float = math.nan


def roc_area(models: Sequence[Scored], seed: int = 0, interval: bool = True) -> Area:
    """The probability that a positive model scores higher than another one; a tie counts half (Mann and Whitney 1947).

    0.5 is what a guess reaches, 1 tells all apart, 0 all the wrong way round. The interval is a hierarchical bootstrap: outer
    groups are drawn with replacement, within each the inner ones (positive and other models of one inner group stay together);
    a group that is there once does not vary. Draws without a model of both kinds do not count, and with fewer than two
    groups to draw from, or without ``interval``, there is no interval.
    """
    known = [model for model in models if not math.isnan(model.score)]
    positive, other = ([model for model in known if model.positive is side] for side in (True, False))
    if not positive or not other:
        return Area(math.nan)
    left, right = (np.array([model.score for model in part])[:, None] for part in (positive, other))
    above = (left > right.T) + 0.5 * (left == right.T)
    weights = _weights(known, seed) if interval else None
    if weights is None:
        return Area(float(above.mean()))
    first, second = (weights[:, [model.positive is side for model in known]] for side in (True, False))
    counted = first.sum(1) * second.sum(1)
    drawn = ((first @ above) * second).sum(1)[counted > 0] / counted[counted > 0]
    low, high = np.quantile(drawn, [0.025, 0.975])
    return Area(float(above.mean()), float(low), float(high))


def _weights(models: Sequence[Scored], seed: int) -> np.ndarray | None:
    """How often each model is drawn, ``[draws, models]``; None where there is nothing to draw."""
    generator = np.random.default_rng(seed)
    groups = {
        outer: sorted({model.inner for model in models if model.outer == outer}, key=str)
        for outer in sorted({model.outer for model in models}, key=str)
    }
    if sum(map(len, groups.values())) < 2:
        return None
    outers, weights = list(groups), np.zeros((DRAWS, len(models)))
    for _ in outers:
        drawn = generator.integers(len(outers), size=DRAWS)
        for number, outer in enumerate(outers):
            inner, rows = groups[outer], np.flatnonzero(drawn == number)
            counts = generator.multinomial(len(inner), np.full(len(inner), 1 / len(inner)), size=len(rows))
            own = np.array([place for place, model in enumerate(models) if model.outer == outer])
            of = [inner.index(models[place].inner) for place in own]
            weights[np.ix_(rows, own)] += counts[:, of]
    return weights
