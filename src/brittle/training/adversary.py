"""The latent adversary: a small change of hidden states that helps the model to recall what it should forget.

δ* = argmin_{‖δ‖ ≤ ε}  NLL_forget(h_ℓ + δ)

Projected gradient descent (Casper et al. 2024, section 3; Madry et al. 2018): in a box, ‖δ‖∞ ≤ ε, by the gradient's signs; in
a ball around every token, ‖δ_t‖₂ ≤ ε, along the token's own gradient. The adversary *lowers* the forget loss, or *raises* that of
other texts where a method asks for it; where it does not, the run says so. A step is at most half the radius, so that more
steps find better perturbations; a step as large as the radius would jump between corners of the box.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from brittle.training.step import Step


def at_the_middle(step: Step, settings: Any, layers: Sequence[int], **how: Any) -> tuple[int, Tensor]:
    """The middle one of the target blocks, and the perturbation that ``settings`` (``lat_eps`` …) allow there."""
    middle = layers[len(layers) // 2]
    relative = settings.lat_radius == "relative"
    return middle, helpful_perturbation(step, middle, settings.lat_eps, settings.lat_steps, relative=relative, **how)


def helpful_perturbation(
    step: Step, layer: int, radius: float, steps: int, split: str = "forget", *, relative: bool = False,
    per_token: bool = False, raises: bool = False,
) -> Tensor:  # fmt: skip
    """The perturbation ``[rows, tokens, width]`` of block ``layer``'s output; no entry is larger than ``radius``.

    Gradients flow into the perturbation alone; the model's own gradients stay untouched.

    Args:
        relative: the radius in units of the root mean square of the block's output at each token.
        per_token: the L2 norm of each token's perturbation is bounded instead of its entries; relative to the norm then.
        raises: raise the split's loss instead of lowering it.
    """
    batch = step.batches[split]
    width, device = step.width, batch.input_ids.device
    perturbation = torch.zeros(*batch.input_ids.shape, width, device=device, requires_grad=True)
    bound = _bound(step, layer, radius, split, per_token) if relative else torch.tensor(radius, device=device)
    size = min(0.5, 2.5 / steps) * bound * (1 if raises else -1)
    losses = []
    for _ in range(steps):
        with step.perturbed(layer, perturbation):
            loss = step.negative_log_likelihood(split)
        (gradient,) = torch.autograd.grad(loss, perturbation)
        losses.append(loss.detach())
        with torch.no_grad():
            if per_token:
                perturbation += size * gradient / gradient.norm(dim=-1, keepdim=True).clamp_min(TINY)
                perturbation *= (bound / perturbation.norm(dim=-1, keepdim=True).clamp_min(TINY)).clamp_max(1)
            else:
                perturbation += size * gradient.sign()
                perturbation.clamp_(-bound, bound)
    found = perturbation.detach()
    if step.remarks is not None:
        _say_if_useless(step, layer, found, split, losses, raises)
    return found


TINY = 1e-30
"""Below every gradient that float32 holds in full: what is divided by it stays zero where it is zero."""


@torch.no_grad()
def _bound(step: Step, layer: int, radius: float, split: str, per_token: bool) -> Tensor:
    """The radius in activation units, ``[rows, tokens, 1]``: times the root mean square over entries, or times the norm."""
    states = step.hidden_states_alone(split, layer).float()
    squares = states.square().sum(-1, keepdim=True) if per_token else states.square().mean(-1, keepdim=True)
    return radius * squares.sqrt()


def _say_if_useless(
    step: Step, layer: int, found: Tensor, split: str, losses: list[Tensor], raises: bool
) -> None:  # fmt: skip
    """Remark on an adversary whose loss before its last step (after its only one) is no better for it than without it."""
    if len(losses) == 1:
        with torch.no_grad(), step.perturbed(layer, found):
            losses = [*losses, step.negative_log_likelihood(split)]
    share = float(step.batches[split].counted[:, 1:].sum()) / step.totals[split].counted
    first, last = (float(loss) / max(share, TINY) for loss in (losses[0], losses[-1]))
    if (last > first) if raises else (last < first):
        return
    verb = "raise" if raises else "lower"
    step.remark(
        f"the latent adversary did not {verb} the {split} loss",
        f"step {step.number + 1}: the latent adversary did not {verb} the {split} loss, which it is there for ({first:.4f} -> "
        f"{last:.4f} nats per token); change --lat-eps (see --lat-radius) or give it more --lat-steps",
    )
