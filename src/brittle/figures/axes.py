"""The scales of the report's figures, in Vega-Lite."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import pandas

WIDE_RANGE = 12.0
"""Amounts over a wider range than this stand on a logarithmic scale."""


@dataclass(frozen=True)
class Axis:
    """A scale and what is written beside it."""

    scale: Mapping[str, Any]
    axis: Mapping[str, Any]
    note: str = ""
    """What its words must say about the scale."""
    unit: str = ""
    """What a pointer is told that its values are."""


def shares() -> Axis:
    """Accuracies, from 0 to 100 %."""
    return Axis(
        {"domain": [-0.03, 1.05], "nice": False},
        {
            "values": [0, 0.2, 0.4, 0.6, 0.8, 1],
            "labelExpr": "replace(format(datum.value, '.0%'), '%', ' %')",
            "labelOverlap": False,
        },
    )


def between(low: float, high: float) -> Axis:
    """An ordinary scale."""
    return Axis({"domain": [low, high], "nice": False, "zero": False}, {"tickCount": 5})


def amounts(values: Iterable[float]) -> Axis:
    """A scale from 0; logarithmic where values span more than a decade, and what is not above 0 is then a gap."""
    positive = [value for value in values if value > 0 and math.isfinite(value)]
    if not positive or max(positive) <= WIDE_RANGE * min(positive):
        return between(0, max(positive, default=1.0) * 1.08)
    low, high = min(positive) / 1.3, max(positive) * 1.3
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    parts = (1, 2, 5) if high < 3000 * low else (1,)
    ticks = [float(f"{part}e{decade}") for decade in decades for part in parts]
    shown = [tick for tick in ticks if low <= tick <= high]
    return Axis(
        {"type": "log", "domain": [low, high], "nice": False},
        {"values": shown, "format": "~g", "labelOverlap": "greedy"}, "\n(log scale)",
    )  # fmt: skip


def along(values: pandas.Series, unit: str) -> Axis:
    """The horizontal scale of steps or layers, over all its values."""
    low, high = float(values.min()), float(values.max())
    if low == high:
        return Axis({"domain": [low - 1, high + 1], "nice": False}, {"values": [low], "format": "d"}, unit=unit)
    scale = {"domain": [low, high], "nice": False, "zero": False, "padding": 8}
    return Axis(scale, {"tickCount": 8, "tickMinStep": 1, "format": "d"}, unit=unit)
