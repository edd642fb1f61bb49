"""How far a number could be off: resampling the texts that it was measured on.

Texts, not tokens, are drawn again: tokens of one text are not independent. A statistic is a function of *weights*,
how often each text counts, so that all draws are one matrix product and cost no further forward pass.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

DRAWS = 1000
OTHER_SPLIT = 1_000_003
Statistic = Callable[[Tensor], Tensor]
"""Weights ``[draws, texts]`` to the statistic of every draw, ``[draws]``."""


@dataclass(frozen=True)
class Spread:
    """A number with its uncertainty, all in the number's own unit."""

    value: float
    """The statistic of the texts as they are."""
    mean: float
    """Its mean over the seeds, each of which draws the texts anew, with replacement."""
    std: float
    """Its standard deviation over the seeds (divided by their number less one; 0 for a single seed)."""
    low: float
    high: float
    """Bounds of the 95 % percentile bootstrap interval.  Efron 1979."""


def resampled(number: int, seed: int, draws: int = 1) -> Tensor:
    """How often each of ``number`` texts is drawn, ``[draws, number]`` float64; each row sums to ``number``."""
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randint(number, (draws, number), generator=generator)
    return torch.zeros(draws, number, dtype=torch.float64).scatter_add_(
        1, drawn, torch.ones(draws, number, dtype=torch.float64)
    )


def weights_of_texts(number: int, seeds: Sequence[int], split: int = 0) -> Tensor:
    """How often each text counts, ``[1 + seeds + DRAWS, number]`` float64: as they are, by seed, for the interval.

    A statistic of every row is what :func:`spreads` reads; differences of two such statistics on the same texts are
    paired. ``split`` keeps the draws of one set of texts from following those of another of the same size.
    """
    own = [seed + OTHER_SPLIT * split for seed in seeds]
    rows = [torch.ones(1, number, dtype=torch.float64), *(resampled(number, seed) for seed in own)]
    return torch.cat([*rows, resampled(number, own[0], DRAWS)])


def spreads(values: Tensor, seeds: int) -> list[Spread]:
    """The spread of each column of ``[1 + seeds + DRAWS, columns]``: row 0 has the values, then by seed, then draws.

    Seeds and draws in which a column has no finite value (of a few texts only one was drawn) do not count for it.
    """
    again = values[1:].masked_fill(~values[1:].isfinite(), math.nan)
    by_seed, draws = again[:seeds], again[seeds:]
    bounds = draws.nanquantile(torch.tensor([0.025, 0.975], dtype=draws.dtype, device=draws.device), dim=0)
    bounds = torch.where(bounds.isnan(), values[0], bounds)
    means, number = by_seed.nanmean(dim=0), by_seed.isfinite().sum(dim=0)
    deviations = ((by_seed - means).square().nansum(dim=0) / (number - 1).clamp(min=1)).sqrt()
    deviations = torch.where(number > 0, deviations, torch.nan)
    columns = (values[0], means, deviations, bounds[0], bounds[1])
    return [Spread(*each) for each in zip(*(column.tolist() for column in columns), strict=True)]


def spread(statistic: Statistic, number: int, seeds: Sequence[int]) -> Spread:
    """Value, mean and deviation over seeds and bootstrap interval of a statistic of ``number`` texts."""
    return spreads(statistic(weights_of_texts(number, seeds))[:, None], len(seeds))[0]


def ratio_of_sums(sums: Tensor, counts: Tensor) -> Statistic:
    """The mean over tokens as a statistic of texts: ``Σ w·sum / Σ w·count``, both ``[texts]``."""
    return lambda weights: (weights @ sums.double()) / (weights @ counts.double())
