"""Distances between hidden states, token by token."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional


def mean_squared_distance(left: Tensor, right: Tensor) -> Tensor:
    """Squared distance per entry, ``mean_i (left_i - right_i)²`` over the last axis.

    ``[..., width] -> [...]``; in squared activation units; 0 for equal vectors. Computed in float32.
    """
    return (left.float() - right.float()).square().mean(dim=-1)


def cosine(left: Tensor, right: Tensor) -> Tensor:
    """Cosine of the angle between vectors along the last axis, in [-1, 1]; scale of either side does not matter.

    ``[..., width] -> [...]``. Computed in float32: in bfloat16 one minus a cosine moves in steps of 0.004 and a small
    drift reads as none.
    """
    return functional.cosine_similarity(left.float(), right.float(), dim=-1)
