"""One value per text, gathered batch by batch, in an order that does not depend on how the texts came."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


class TextValues:
    """Values of the texts of one split, all of one shape, kept on the CPU in their own number type."""

    def __init__(self) -> None:
        self.found: list[tuple[str, int, Tensor]] = []

    def update(self, keys: Sequence[str], indices: Sequence[int], values: Tensor) -> TextValues:
        """Take in a batch, ``[batch, ...]``; equal texts have equal keys."""
        self.found += zip(keys, indices, values.detach().cpu(), strict=True)
        return self

    def __len__(self) -> int:
        return len(self.found)

    @property
    def keys(self) -> list[str]:
        """The texts' keys in order; equal texts stand side by side."""
        return [key for key, _, _ in self._ordered()]

    def stacked(self) -> Tensor:
        """The values in the same order, ``[texts, ...]``."""
        return torch.stack([values for _, _, values in self._ordered()])

    def _ordered(self) -> list[tuple[str, int, Tensor]]:
        return sorted(self.found, key=lambda each: each[:2])
