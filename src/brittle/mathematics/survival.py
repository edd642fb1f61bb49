"""Times until something happens, of which some are only known to be longer than the observation lasted."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

from scipy import stats

ROUNDING = 1e-9
"""S is a product of fractions: one half may come out a little above one half."""


@dataclass(frozen=True)
class MedianTime:
    """A median and its 95 % interval: ∞ where it was not reached, NaN bounds with fewer than two runs."""

    value: float
    low: float = math.nan
    high: float = math.nan


def median_time(times: Sequence[float], observed: Sequence[bool]) -> MedianTime:
    """The first time at which at most half of the runs are still waiting, from right-censored times.

    Kaplan and Meier 1958: S(t) = ∏ (1 − dᵢ / nᵢ) over event times tᵢ ≤ t, with dᵢ events among the nᵢ runs whose time is
    at least tᵢ; a run that was censored at tᵢ still counts there. Without censoring S is the empirical distribution.
    The interval holds every t whose pointwise 95 % band on the log(−log S) scale (Greenwood's variance) contains one
    half: Brookmeyer and Crowley 1982. Where S is 0 the band is undefined and bounds nothing from above. With three runs
    it reaches from the first event to infinity: three runs say that little.

    Args:
        times: of the event or, if it was not observed, of the end of observation. At least one.
        observed: whether the event happened.
    """
    censored = stats.CensoredData.right_censored(list(times), [not each for each in observed])
    survival = stats.ecdf(censored).sf
    value = _first(survival.quantiles, survival.probabilities <= 0.5 + ROUNDING)
    if len(times) < 2:
        return MedianTime(value)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # "undefined at some observations": where S is 1 or 0
        band = survival.confidence_interval(method="log-log")
    # comparisons with NaN are false: where S is 1 both bounds lie above one half, where it is 0 the lower one is 0
    low = (band.low.probabilities <= 0.5) | (survival.probabilities == 0)
    high = band.high.probabilities < 0.5
    return MedianTime(value, _first(survival.quantiles, low), _first(survival.quantiles, high))


def _first(times: Sequence[float], reached: Sequence[bool]) -> float:
    """The first time with a mark; ∞ where there is none."""
    return next((float(time) for time, mark in zip(times, reached) if mark), math.inf)
