"""Whether a model fits into the memory that is free, before any of its weights is read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from brittle.models.references import Located


def bytes_needed(folder: Path, dtype: str = "fp32", tokens: int = 2048) -> float:
    """Bytes of a model's weights (from the headers of its files or, before they are there, ``config.json`` alone) in a number type
    (``fp32``, ``fp16``, ``bf16``), and of the keys and values of ``tokens`` tokens (at most its context)."""
    raise NotImplementedError


def check_fits(models: Sequence[Located | Path], device: str = "auto", dtype: str = "auto", tokens: int = 2048) -> None:
    """Refuse models that do not fit together into the memory that is free on a device now (on all GPUs for ``auto``).

    Takes located models or folders with a ``config.json``; ``device`` and ``dtype`` are the documented words.

    Raises:
        BadInput: what they need, what is free, and what to do.
    """
    raise NotImplementedError
