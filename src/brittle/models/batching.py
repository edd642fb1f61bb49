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
    model: Any,
    items: Iterable[Any],
    length: Callable[[Any], int],
    batch_size: int,
    tokens: Callable[[Any], int] | None = None,
) -> Iterator[list[Any]]:
    """Items sorted by length, longest first, in batches on one side of every length at which the model's angles change.

    ``tokens`` is how many an item has where they are not its length (positions): several choices of a question side by
    side. Items are sorted by it then, and no batch has more tokens than ``batch_size`` rows of its first item's length.
    """
    turns, tokens = turning_points(getattr(model, "config", None)), tokens or length

    def side(item: Any) -> list[bool]:
        return [length(item) <= turn for turn in turns]

    for _, group in groupby(sorted(items, key=lambda item: (side(item), -tokens(item))), side):
        alike = list(group)
        while alike:
            at_once = max(1, batch_size * max(1, length(alike[0])) // max(1, tokens(alike[0])))
            yield alike[:at_once]
            alike = alike[at_once:]


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
