"""How far a number could be off: resampling the texts that it was measured on.

Texts, not tokens, are drawn again: tokens of one text are not independent. A statistic is a function of *weights*,
how often each text counts, so that all draws are one matrix product and cost no further forward pass.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

DRAWS = 1000
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


def spread(statistic: Statistic, number: int, seeds: Sequence[int]) -> Spread:
    """Value, mean and deviation over seeds and bootstrap interval of a statistic of ``number`` texts."""
    value = statistic(torch.ones(1, number, dtype=torch.float64))
    by_seed = statistic(torch.cat([resampled(number, seed) for seed in seeds]))
    draws = statistic(resampled(number, seeds[0], DRAWS))
    draws = draws[torch.isfinite(draws)]
    low, high = torch.quantile(draws, torch.tensor([0.025, 0.975], dtype=draws.dtype)) if len(draws) else (value, value)
    deviation = float(by_seed.std()) if len(seeds) > 1 else 0.0
    return Spread(float(value), float(by_seed.mean()), deviation, float(low), float(high))


def ratio_of_sums(sums: Tensor, counts: Tensor) -> Statistic:
    """The mean over tokens as a statistic of texts: ``Σ w·sum / Σ w·count``, both ``[texts]``."""
    return lambda weights: (weights @ sums.double()) / (weights @ counts.double())
