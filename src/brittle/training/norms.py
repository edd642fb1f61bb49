"""Keep activation norms on forget texts where they were: a term that any method can carry.

λ · Σ_ℓ mean_i ( n_ℓi − n_ℓi before training )²,  n_ℓi = mean_t ‖h_ℓ,t‖₂ over the real tokens t of text i

A method that unlearns by blowing activations up or shrinking them is stopped from doing so; what is left is direction.
The original squared the change of one mean over a micro-batch, so that its result depended on how a batch was split
over devices; a mean over texts does not, and is never smaller.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from brittle.models.anatomy import Anatomy
from brittle.training.batches import Example, collate
from brittle.training.before import departed
from brittle.training.step import Step, Totals


@torch.no_grad()
def mean_norms(
    model: nn.Module, anatomy: Anatomy, examples: Sequence[Example], padding: int, device: str, batch_size: int = 16
) -> Tensor:
    """Mean norm of every block's output over the real tokens of each text, ``[texts, layers]``."""
    found = []
    for first in range(0, len(examples), batch_size):
        batch = collate(examples, range(first, min(first + batch_size, len(examples))), padding).to(device)
        found.append(_norms(Step(model, {"forget": batch}, {"forget": Totals(1.0, 1.0, 1.0)}, anatomy=anatomy)))
    return torch.cat(found)


def norm_change(step: Step, before: Tensor) -> Tensor:
    """The mean over texts of squared changes, summed over layers, without λ; this micro-batch's share of it."""
    was = before[list(step.batches["forget"].examples)]
    now = departed(_norms(step)[..., None], was[..., None])[..., 0]
    return (now - was).square().sum() / step.totals["forget"].sequences


def _norms(step: Step) -> Tensor:
    """``[rows, layers]``"""
    mask = step.batches["forget"].attention_mask
    states = step.hidden_states("forget", range(step.depth))
    means = [(states[layer].float().norm(dim=-1) * mask).sum(1) / mask.sum(1) for layer in range(step.depth)]
    return torch.stack(means, dim=1)
