"""Which rows of tokens share a forward pass: rows of like length, so that no row's numbers depend on the others.

Some position encodings (LongRoPE, as in Phi-3) look at the longest row of a batch: beyond ``original_max_position_embeddings``
every row of the batch turns by other angles. Rows on the two sides of that length therefore never share a batch. (Dynamic
NTK scaling begins only beyond ``max_position_embeddings``, which no row exceeds: :mod:`brittle.models.encoding`.)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import groupby
from typing import Any


def batches_by_length(
    model: Any, items: Iterable[Any], length: Callable[[Any], int], batch_size: int
) -> Iterator[list[Any]]:
    """Items sorted by length, longest first, in batches on one side of every length at which the model's angles change."""
    turns = turning_points(getattr(model, "config", None))
    ordered = sorted(items, key=lambda item: -length(item))
    for _, group in groupby(ordered, lambda item: [length(item) > turn for turn in turns]):
        alike = list(group)
        for start in range(0, len(alike), batch_size):
            yield alike[start : start + batch_size]


def turning_points(config: Any) -> tuple[int, ...]:
    """The lengths in tokens beyond which a model turns all positions of a batch by other angles."""
    parameters = getattr(config, "rope_parameters", None) or {}
    by_layer_type = [each for each in parameters.values() if isinstance(each, Mapping)] or [parameters]
    found = {
        each.get("original_max_position_embeddings") or getattr(config, "original_max_position_embeddings", None)
        for each in by_layer_type
        if each.get("rope_type") == "longrope"
    }
    return tuple(sorted(turn for turn in found if turn))
