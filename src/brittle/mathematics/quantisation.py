"""Round-to-nearest codes of weights: what a 4-bit copy of a model would keep of an update."""

from __future__ import annotations

import torch
from torch import Tensor

LARGEST_CODE = 7
"""Symmetric four-bit codes run from −7 to 7."""


def four_bit_codes(matrix: Tensor) -> Tensor:
    """Code of each weight, ``round(7 w / max_row |w|)`` in −7 … 7; rows are outputs, a zero row has codes 0.

    ``[outputs, inputs] -> [outputs, inputs]`` int8. Symmetric absmax rounding to nearest (ties to even) with one scale
    per output row: no calibration data, the simplest of the usual schemes.
    """
    matrix = matrix.to(torch.promote_types(matrix.dtype, torch.float32))
    largest = matrix.abs().amax(dim=1, keepdim=True)
    scale = torch.where(largest > 0, LARGEST_CODE / largest.where(largest > 0, 1.0), 0.0)
    return (matrix * scale).round().to(torch.int8)


def round_to_nearest(matrix: Tensor, bits: int) -> Tensor:
    """The matrix as ``bits`` bits a weight would hold it: ``s · round(w / s)``, ``s = max_row |w| / (2^(bits−1) − 1)``.

    ``[outputs, inputs] -> [outputs, inputs]`` in the same number type; computed in float32 at least. Four bits are
    :func:`four_bit_codes` times their scale.

    Raises:
        ValueError: fewer than 2 or more than 8 bits.
    """
    if not 2 <= bits <= 8:
        raise ValueError(f"{bits} bits; 2 to 8 are possible")
    precise = matrix.to(torch.promote_types(matrix.dtype, torch.float32))
    step = precise.abs().amax(dim=1, keepdim=True) / (2 ** (bits - 1) - 1)
    return torch.where(step > 0, (precise / step.where(step > 0, 1.0)).round() * step, 0.0).to(matrix.dtype)


def share_of_equal_codes(left: Tensor, right: Tensor, rows_at_once: int = 4096) -> float:
    """Share of the entries of two ``[outputs, inputs]`` matrices whose four-bit codes are equal, 0 to 1."""
    pairs = zip(torch.split(left, rows_at_once), torch.split(right, rows_at_once))
    equal = sum(int((four_bit_codes(a) == four_bit_codes(b)).sum()) for a, b in pairs)
    return equal / left.numel()
