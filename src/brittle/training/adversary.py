"""The latent adversary: a small change of hidden states that helps the model to recall what it should forget.

δ* = argmin_{‖δ‖∞ ≤ ε}  NLL_forget(h_ℓ + δ)

Projected gradient descent with sign steps (Casper et al. 2024, section 3; Madry et al. 2018). The adversary *lowers*
the forget loss. A step is at most half the radius, so that more steps find better perturbations; a step as large as
the radius would jump between corners of the box.
"""

from __future__ import annotations

import torch
from torch import Tensor

from brittle.training.step import Step


def helpful_perturbation(step: Step, layer: int, radius: float, steps: int, split: str = "forget") -> Tensor:
    """The perturbation ``[rows, tokens, width]`` of block ``layer``'s output, every entry within ±``radius``.

    Gradients flow into the perturbation alone; the model's own gradients stay untouched.
    """
    batch = step.batches[split]
    width, device = step.width, batch.input_ids.device
    perturbation = torch.zeros(*batch.input_ids.shape, width, device=device, requires_grad=True)
    size = min(radius / 2, 2.5 * radius / steps)
    for _ in range(steps):
        with step.perturbed(layer, perturbation):
            loss = step.negative_log_likelihood(split)
        (gradient,) = torch.autograd.grad(loss, perturbation)
        with torch.no_grad():
            perturbation -= size * gradient.sign()
            perturbation.clamp_(-radius, radius)
    return perturbation.detach()
