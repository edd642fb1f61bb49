"""How well a mean over nested levels is known: runs within seeds within trainings within worlds.

Numbers that share a member of an outer level are not independent: ten seeds in one world say nothing about worlds. The members
of every level are drawn anew with replacement, from the outside inwards.  Davison and Hinkley 1997, section 3.8.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy
from numpy.typing import NDArray

from brittle.mathematics.groups import student

DRAWS = 2000
Labels = Sequence[Sequence[Hashable]]
Node = list["Node"] | float


@dataclass(frozen=True)
class NestedMean:
    """A mean of means and its 95 % interval, in the numbers' own unit; NaN bounds where no level varies."""

    mean: float
    low: float = math.nan
    high: float = math.nan


def nested_mean(values: Sequence[float], labels: Labels, draws: int = DRAWS, seed: int = 0) -> NestedMean:
    """The mean over the outermost level of means over the next, and so on, and the wider of two 95 % intervals.

    *Percentiles* of the :func:`resampled` means take in every level, but are too narrow with few outermost members: by a
    factor of √((n − 1) / n) and for want of the t distribution's tails; of three they hold the truth in about three of four
    cases. *Student's* interval over the means of the outermost level that varies is right for any number if these are normal
    and of one variance, and wide with few: ± 12.7 standard errors with two. By luck a few of these means may lie close
    together; then the percentiles still show what the inner levels differ by. So the interval reaches from the lower of the
    two lower bounds to the higher of the upper ones: it holds the truth in at least 95 % under those assumptions, more often
    where inner levels vary most.

    Args:
        values: at least one finite number.
        labels: of each number its members from the outermost level to the innermost, of equal length; a name means its own
            member within each member outside. Levels with one member change nothing.
        draws: how often members are drawn anew for the percentiles.
        seed: of the draws; the global random state is left alone.

    Raises:
        ValueError: no number, or labels that do not tell numbers apart.
    """
    tree = _varying(tree_of(values, labels))
    if not isinstance(tree, list):
        return NestedMean(tree)
    mean, low, high = student([_mean(branch) for branch in tree])
    lower, upper = numpy.quantile(resampled(tree, numpy.random.default_rng(seed), draws), (0.025, 0.975))
    return NestedMean(mean, min(low, float(lower)), max(high, float(upper)))


def tree_of(values: Sequence[float], labels: Labels) -> Node:
    """Numbers as lists within lists, a list per member, in the order of first appearance. Raises as :func:`nested_mean`."""
    if not len(values) or len(values) != len(labels):
        raise ValueError(f"{len(values)} numbers and {len(labels)} labels: there must be as many, and at least one")
    if not len(labels[0]):
        if len(values) > 1:
            raise ValueError(f"{len(values)} numbers have the same labels on every level")
        return float(values[0])
    members: dict[Hashable, list[int]] = {}
    for place, label in enumerate(labels):
        members.setdefault(label[0], []).append(place)
    return [tree_of([values[i] for i in places], [labels[i][1:] for i in places]) for places in members.values()]


def resampled(node: Node, generator: numpy.random.Generator, draws: int = DRAWS) -> NDArray[numpy.float64]:
    """Means of means after drawing as many members as there are on every level anew, with replacement: ``[draws]``.

    A member that is drawn twice is drawn within anew each time.
    """
    if not isinstance(node, list):
        return numpy.full(draws, node)
    picked = generator.integers(len(node), size=(len(node), draws))
    if not any(isinstance(member, list) for member in node):
        means: NDArray[numpy.float64] = numpy.array(node)[picked].mean(axis=0)
        return means
    slots = []
    for places in picked:
        members = numpy.stack([resampled(member, generator, draws) for member in node])
        slots.append(members[places, numpy.arange(draws)])
    drawn: NDArray[numpy.float64] = numpy.mean(slots, axis=0)
    return drawn


def _mean(node: Node) -> float:
    return math.fsum(map(_mean, node)) / len(node) if isinstance(node, list) else node


def _varying(node: Node) -> Node:
    """The part below levels with a single member."""
    return _varying(node[0]) if isinstance(node, list) and len(node) == 1 else node
