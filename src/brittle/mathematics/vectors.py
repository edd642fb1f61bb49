"""Distances between hidden states, token by token."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional


def direction(width: int, seed: int, draw: Callable[..., Tensor] = torch.randn) -> Tensor:
    """A unit vector ``[width]`` on the CPU, whose entries ``draw`` drew before they were divided by its length."""
    drawn = draw(width, generator=torch.Generator().manual_seed(seed))
    length: Tensor = drawn.norm()
    return drawn / length


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
