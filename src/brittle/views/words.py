"""TODO."""

from __future__ import annotations

import math
from collections.abc import Sequence

from brittle.mathematics.survival import MedianTime
from brittle.results.at_strongest import Strongest, WorstCase
from brittle.results.recovery_speed import RecoveryNumbers

NOT_MEASURED = "not measured"


def percent(value: float | None) -> str:
    """A share as whole per cent."""
    return NOT_MEASURED if value is None else f"{100 * value:.0f} %"


def chance_p(p: float) -> str:
    """A p-value as text; the smallest that 2,000 permutations can give is 0.0005."""
    return f"p = {p:.2f}" if p >= 0.1 else f"p = {p:.3f}" if p >= 0.001 else "p < 0.001"


def several(names: Sequence[str]) -> str:
    """Names joined as in a sentence."""
    return " and ".join(names) if len(names) < 3 else ", ".join(names[:-1]) + " and " + names[-1]


def median_words(row: RecoveryNumbers, percent: int) -> str:
    """``40 [20, –] (3 of 3)``; ``not within 80 (1 of 3)`` where fewer than half got there."""
    time, reached = row.median(percent), getattr(row, f"reached_{percent}")
    count = f"({reached} of {row.seeds})"
    if math.isinf(time.value):
        return f"not within {row.last_step} {count}"
    return f"{time.value:.0f}{_interval(time)} {count}"


def _interval(time: MedianTime) -> str:
    if math.isnan(time.low):
        return ""
    return f" [{time.low:.0f}, {'–' if math.isinf(time.high) else format(time.high, '.0f')}]"


def by(row: Strongest) -> str:
    """Under which attack, as text."""
    return row.attack.replace("_", " ") if row.step else "before any attack"


def control_words(case: WorstCase) -> str | None:
    """The filtered model's worst case."""
    if case.control is None:
        return None
    return f"{100 * case.control.after.mean:.0f} % ({by(case.control)})"
