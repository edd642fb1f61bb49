"""Excess recovery: how far V is on the way from a model that never knew it to one from which nothing was removed."""

from __future__ import annotations

GAIN = 0.05
"""Least difference of V, 0 to 1, that counts: as an attack's doing, and as the length of the scale."""


def excess_recovery(value: float | None, filtered: float | None, base: float | None) -> float | None:
    """``(value − filtered) / (base − filtered)``, all accuracies on V from 0 to 1.

    0 as if never learned, 1 as if never removed. None where one of them was not measured, or where base and filtered
    lie within :data:`GAIN` of each other, so that there is no scale.
    Source: ``facts/field.md`` 2.16.
    """
    if value is None or filtered is None or base is None or not base - filtered > GAIN:
        return None
    return (value - filtered) / (base - filtered)
