"""How deep an intervention reaches: what patching takes from an answer, against a model that never saw the data."""

from __future__ import annotations

import math

import torch
from torch import Tensor

THRESHOLD = 0.05
"""Drop of the log-probability, in nats, above which the reference's patch says that a depth carries the knowledge."""


def erased_share(drop: Tensor, reference: Tensor, threshold: float = THRESHOLD) -> Tensor:
    """``clip(drop / reference, 0, 1)`` where the reference's drop is above the threshold, NaN elsewhere; any shape."""
    return torch.where(reference > threshold, (drop / reference).clamp(0, 1), math.nan)


def unlearning_depth_score(drop: Tensor, reference: Tensor, threshold: float = THRESHOLD) -> Tensor:
    """Shares ``[..., depths]`` averaged with the reference's drops as weights, ``[...]``: 0 as base, 1 as never seen.

        UDS = Σ_l Δref_l · clip(Δ_l / Δref_l, 0, 1) / Σ_l Δref_l     over depths with Δref_l > threshold

    NaN where no depth is above the threshold. "Unlearning depth score", arXiv 2605.24614.
    """
    share = erased_share(drop, reference, threshold)
    weight = torch.where(share.isnan(), 0.0, reference)
    return (weight * share.nan_to_num(0)).sum(-1) / torch.where(weight.sum(-1) > 0, weight.sum(-1), math.nan)
