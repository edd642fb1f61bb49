"""How alike two representations of the same texts are, from inner products alone; weights say how often a text counts."""

from __future__ import annotations

import torch
from torch import Tensor


def centred_gram(values: Tensor) -> Tensor:
    """Inner products of rows less their mean, ``[texts, width] -> [texts, texts]``, float64."""
    centred = values.double() - values.double().mean(dim=0)
    return centred @ centred.T


def centred_kernel_alignment(left: Tensor, right: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Linear CKA of two Gram matrices ``[texts, texts]`` for each row of weights, and what chance gives, ``[draws]``.

    ``CKA = ⟨K, L⟩ / (‖K‖_F ‖L‖_F)`` of the centred Gram matrices, 0 to 1; rotating or scaling either representation
    changes nothing. Unrelated representations do not give 0: with K and L as they are but texts matched at random, the
    mean over all matchings is ``tr K · tr L / ((n − 1) ‖K‖_F ‖L‖_F)``, near 1 where dimensions outnumber texts.
    Kornblith et al. 2019; the mean is that of a permutation test (Josse et al. 2008). NaN where a side is constant.
    """
    shares = weights / weights.sum(dim=1, keepdim=True)
    left_rows, right_rows = shares @ left, shares @ right
    left_mean, right_mean = ((rows * shares).sum(dim=1) for rows in (left_rows, right_rows))

    def product(one: Tensor, other: Tensor, rows: Tensor, others: Tensor, mean: Tensor, second: Tensor) -> Tensor:
        raw = ((shares @ (one * other)) * shares).sum(dim=1)
        return raw - 2 * (shares * rows * others).sum(dim=1) + mean * second

    across = product(left, right, left_rows, right_rows, left_mean, right_mean)
    own = product(left, left, left_rows, left_rows, left_mean, left_mean)
    other = product(right, right, right_rows, right_rows, right_mean, right_mean)
    size = (own.clamp(min=0) * other.clamp(min=0)).sqrt()
    spread = (shares @ left.diagonal() - left_mean) * (shares @ right.diagonal() - right_mean)
    return across / size, spread / (left.shape[0] - 1) / size


def above_chance(found: Tensor, chance: Tensor) -> Tensor:
    """``(found − chance) / (1 − chance)``: 1 where found is 1, 0 on average between unrelated representations.

    NaN where chance alone gives 1, as between two texts.
    """
    return torch.where(chance < 1 - 1e-9, (found - chance) / (1 - chance), torch.nan)


def half_squared_chord(left: Tensor, right: Tensor) -> Tensor:
    """One minus the cosine along the last axis, as ``½ ‖l/‖l‖ − r/‖r‖‖²``: exactly 0 for equal vectors."""
    units = (side / side.norm(dim=-1, keepdim=True) for side in (left, right))
    chord: Tensor = next(units) - next(units)
    return 0.5 * chord.square().sum(dim=-1)
