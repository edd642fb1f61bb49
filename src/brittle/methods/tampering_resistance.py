"""Tampering resistance by meta-learning: unlearn at the weights that an attacker would reach.

θ_0 = θ,  θ_k = θ_{k−1} − η · sign(∇ NLL_forget(θ_{k−1}))          (the attacker, K steps, weights and gradient held fixed)
L = NLL_retain(θ) + v · mean_k [ log V − H(π_{θ_k}) ]_forget

The attacker relearns the forget texts; at every point of its way the model should still be uncertain. First order:
the gradient at θ_k is applied at θ. H is the entropy of the next-token distribution over counted tokens, log V its
largest value. The attacker sees the whole optimizer step. K + 1 gradients
per step; a single process without adapters, which may accumulate. Deviations: few
sign steps for 64 AdamW steps at rates drawn from a list, equal weights for every point of the way (the paper judges every
fourth), the same batch for attacker and judge, no representation term, no random-mapping start. Source: Tamirisa et al. 2024 (TAR, arXiv 2408.00761). (Task
arithmetic, sometimes given this name, is ``task_vector``.)
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from brittle import training
from brittle.contracts import MethodNeeds
from brittle.training.hyperparameters import hyperparameter

if TYPE_CHECKING:
    from torch import Tensor

    from brittle.training.step import LossTerms, Step

NAME = "tar"
NEEDS = MethodNeeds(adapters=False, whole_model=True)
PRESETS: dict[str, dict[str, Any]] = {
    "laboratory": {"lr": 0.0015, "max_steps": 60, "tar_inner_lr": 0.001, "batch_size": 8, "loss_tokens": "answer"}
}
TUNING = {
    "collapses": "lower --tar-weight or raise --retain-weight",
    "too weak": "raise --tar-inner-lr (a stronger simulated attacker) or --lr",
}


@dataclass(frozen=True)
class Settings:
    """The attacker's steps K and rate η, the weight v of the tampered entropy and w of the retain likelihood."""

    tar_inner_steps: int = hyperparameter("tar_inner_steps")
    tar_inner_lr: float = hyperparameter("tar_inner_lr")
    tar_weight: float = hyperparameter("tar_weight")
    retain_weight: float = hyperparameter("retain_weight")


def loss(settings: Settings, step: Step) -> LossTerms:
    """The uncertainty along the attacker's way, and the retain likelihood where it starts."""
    certainty = []
    for signs in step.once("way", lambda: _way(settings, step)):
        with step.moved(_offsets(settings, signs)):
            certainty.append(_certainty(step))
    return {
        "tampered": settings.tar_weight * sum(certainty) / len(certainty),
        "retain": settings.retain_weight * step.negative_log_likelihood("retain"),
    }


def _way(settings: Settings, step: Step) -> list[dict[str, Tensor]]:
    """The attacker's places θ_0 to θ_K by parameter, in its steps from θ: sums of signs, one byte a weight."""
    import torch

    way = [{name: torch.zeros_like(p, dtype=torch.int8) for name, p in step.trained().items()}]
    for _ in range(settings.tar_inner_steps):
        offsets = _offsets(settings, way[-1])

        def likelihood(part: Step) -> Tensor:
            with part.moved(offsets):  # noqa: B023 (called in this turn of the loop)
                return part.negative_log_likelihood("forget")

        gradient = training.terms.whole_gradient(step, likelihood)
        way.append({name: way[-1][name] - g.sign().to(torch.int8) for name, g in gradient.items()})
    return way


def _offsets(settings: Settings, signs: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: settings.tar_inner_lr * sign.float() for name, sign in signs.items()}


def _certainty(step: Step) -> Any:
    """log V − H(π), the mean over counted forget tokens, in nats; 0 where every token is equally likely."""
    logits = step.forward("forget")[:, :-1].float().log_softmax(-1)
    entropy = -(logits.exp() * logits).sum(-1)
    return training.terms.counted_mean(step, "forget", math.log(logits.shape[-1]) - entropy)
