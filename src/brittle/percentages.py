"""Shares as per cent: the one place where they are rounded, half away from zero, whatever floating point makes of 100 × 0.425."""

from __future__ import annotations

import math
from decimal import ROUND_HALF_UP, Decimal

DIGITS = 12
"""Decimals of a share beyond which nothing was measured: a mean of 0.425 is stored a little above or below it."""


def points(share: float, decimals: int = 0) -> str:
    """The percentage points of a share (any real number) without their unit: ``43`` for 0.425."""
    if not math.isfinite(share):
        return str(share)
    exact = Decimal(f"{share:.{DIGITS}f}") * 100
    rounded = exact.quantize(Decimal(1).scaleb(-decimals), ROUND_HALF_UP)
    return str(rounded if rounded else abs(rounded))


def percent(share: float, decimals: int = 0) -> str:
    """A share as per cent, ``43 %`` for 0.425."""
    return f"{points(share, decimals)} %"
