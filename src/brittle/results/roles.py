"""The parts that models play in a comparison."""

from __future__ import annotations

from enum import StrEnum


class Role(StrEnum):
    """What a model is to the others; ``comparison.json`` and ``recovery.csv`` hold these words."""

    BASE = "base"
    FILTERED = "filtered"
    RETRAINED = "retrained"
    UNLEARNED = "unlearned"
    PRETRAINING = "pretraining"
    UNKNOWN = "unknown"
    """Of a model that no table gives a part."""


ORDER = (Role.BASE, Role.FILTERED, Role.RETRAINED, Role.UNLEARNED)
"""As models stand in reports."""
REFERENCES = (Role.BASE, Role.FILTERED, Role.RETRAINED, Role.PRETRAINING)
"""Models that the question is not about."""
