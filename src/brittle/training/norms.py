"""Keep activation norms on forget texts where they were: a term that any method can carry.

λ · Σ_ℓ ( mean_t ‖h_ℓ,t‖₂ − target_ℓ )²,  target_ℓ the same mean before training

A method that unlearns by blowing activations up or shrinking them is stopped from doing so; what is left is direction.
Means are over the real tokens of a micro-batch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from brittle.models.anatomy import Anatomy
from brittle.training.batches import Example, collate
from brittle.training.step import Step, Totals


@torch.no_grad()
def mean_norms(
    model: nn.Module, anatomy: Anatomy, examples: Sequence[Example], padding: int, device: str, batch_size: int = 16
) -> dict[int, float]:
    """Mean norm of every block's output over all real tokens of ``examples``, by layer."""
    layers = range(len(anatomy.blocks(model)))
    sums, tokens = dict.fromkeys(layers, 0.0), 0.0
    for first in range(0, len(examples), batch_size):
        batch = collate(examples, range(first, min(first + batch_size, len(examples))), padding).to(device)
        step = Step(model, {"forget": batch}, {"forget": Totals(1.0, 1.0, 1.0)}, anatomy=anatomy)
        tokens += float(batch.attention_mask.sum())
        for layer, states in step.hidden_states("forget", layers).items():
            sums[layer] += float(step.token_mean("forget", states.float().norm(dim=-1)))
    return {layer: total / tokens for layer, total in sums.items()}


def norm_change(step: Step, targets: Mapping[int, float]) -> Tensor:
    """The sum of squared changes, without λ; this micro-batch's share of the optimizer step."""
    mask = step.batches["forget"].attention_mask
    states = step.hidden_states("forget", list(targets))
    means = {layer: (h.float().norm(dim=-1) * mask).sum() / mask.sum() for layer, h in states.items()}
    return step.share * step.sum_over(list(targets), lambda layer: (means[layer] - targets[layer]).square())
