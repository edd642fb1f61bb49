"""Terms that several methods build their loss from: sequence log-probabilities, weighted likelihoods, divergences.

Every mean is over the whole optimizer step (see :mod:`brittle.training.step`). "Counted" tokens are those that the
setting ``--loss-tokens`` chooses: all but the first, or the answer's.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from brittle.training.before import departed
from brittle.training.step import HEAD, Step


def sequence_log_probability(step: Step, split: str, aggregate: str = "sum") -> Tensor:
    """log π(y) of each example's counted tokens, ``[rows]`` in nats: their sum, or with ``mean`` per token."""
    counted = step.batches[split].counted[:, 1:]
    total = -(step.token_losses(split) * counted).sum(1)
    return total / counted.sum(1) if aggregate == "mean" else total


def reference_log_probability(step: Step, split: str, aggregate: str = "sum") -> Tensor:
    """The same under the model as it was before training."""
    total = step.reference_log_probabilities(split)
    return total / step.batches[split].counted[:, 1:].sum(1) if aggregate == "mean" else total


def sequence_mean(step: Step, split: str, values: Tensor) -> Tensor:
    """Mean of one value per example, ``[rows]``."""
    return values.sum() / step.totals[split].sequences


def counted_mean(step: Step, split: str, values: Tensor) -> Tensor:
    """Mean of one value per predicted token, ``[rows, tokens - 1]``, over the counted ones."""
    return (values * step.batches[split].counted[:, 1:]).sum() / step.totals[split].counted


def negative_preference(difference: Tensor, beta: float) -> Tensor:
    """−(2/β) log σ(−β · difference), elementwise: falls as the difference does, and flattens out instead of diverging."""
    return -(2 / beta) * functional.logsigmoid(-beta * difference)


def weighted_likelihood(step: Step, split: str, weight: Callable[[Tensor], Tensor]) -> Tensor:
    """Mean over counted tokens of w(p)·NLL, where p is the model's probability of the token and w(p) carries no gradient."""
    losses = step.token_losses(split)
    return counted_mean(step, split, weight((-losses).exp().detach()) * losses)


def divergence_from_reference(step: Step, split: str) -> Tensor:
    """Mean KL(π_before ‖ π) of the next-token distributions over counted tokens, in nats.

    0 for the untouched model, with a gradient of zero (:mod:`brittle.training.before`).
    """
    before = step.reference_logits(split)[:, :-1]
    logits = departed(step.forward(split)[:, :-1], before).log_softmax(-1)
    reference = before.log_softmax(-1)
    return counted_mean(step, split, (reference.exp() * (reference - logits)).sum(-1))


def cross_entropy_to(step: Step, split: str, target: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """Mean cross-entropy of the model's next-token distribution with a target that carries no gradient.

    ``target(logits [rows, tokens - 1, vocabulary], next tokens [rows, tokens - 1])`` returns probabilities.
    """
    logits = step.forward(split)[:, :-1].float()
    wanted = target(logits.detach(), step.batches[split].input_ids[:, 1:])
    return counted_mean(step, split, -(wanted * logits.log_softmax(-1)).sum(-1))


def gradients(step: Step, loss: Tensor) -> dict[str, Tensor]:
    """The gradient of a loss by parameter name; parameters' own gradients stay untouched. Zero where it does not reach."""
    trained = step.trained()
    found = torch.autograd.grad(loss, list(trained.values()), allow_unused=True)
    return {name: torch.zeros_like(p) if g is None else g for (name, p), g in zip(trained.items(), found)}


def whole_gradient(step: Step, loss: Callable[[Step], Tensor]) -> dict[str, Tensor]:
    """The gradient of a loss over the whole optimizer step by parameter name: its micro-batches' gradients added up."""
    parts = [gradients(each, loss(each)) for each in step.micro_batches()]
    return {name: torch.stack([part[name] for part in parts]).sum(0) for name in parts[0]}


def collapsed(gradient: Tensor, components: int) -> Tensor:
    """A matrix whose ``components`` largest singular values s_i are s_k² / s_i, s_k the smallest of them; 0 for a zero matrix.

    Dividing each component by s_i / s_k on the left and on the right: 1 component, or equal ones, change nothing.
    """
    left, values, right = torch.linalg.svd(gradient.float(), full_matrices=False)
    values = values[:components]
    k = len(values)
    beyond = (
        values > max(gradient.shape) * torch.finfo(values.dtype).eps * values[0]
    )  # the others are rounding, as for a rank
    smallest = torch.where(beyond, values, torch.inf).min()
    pressed = torch.where(beyond, smallest.square() / values - values, 0.0)
    change: Tensor = (left[:, :k] * pressed) @ right[:k]
    return gradient + change.to(gradient.dtype)


__all__ = [
    "HEAD", "collapsed", "counted_mean", "cross_entropy_to", "divergence_from_reference", "gradients", "negative_preference",
    "reference_log_probability", "sequence_log_probability", "sequence_mean", "weighted_likelihood", "whole_gradient",
]  # fmt: skip
