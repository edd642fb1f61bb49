"""How far hidden states are from where they were before training, token by token; nothing that rounding alone moved.

At the first step the model is its own frozen copy. What is compared should be equal and its gradient zero, and is so up to
rounding: the copy was computed in other batches. An optimizer that divides by the gradient's own size (AdamW, Lion, Muon)
makes whole steps of such a remainder, in a direction that the layout of the batch decides. So a vector counts as what it was,
with a gradient of zero, while

    ‖now − before‖₂ ≤ ROUNDING · ε · ‖before‖₂,      ε = 2⁻²⁴ in float32, 2⁻⁸ in bfloat16, 2⁻¹¹ in float16
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from brittle.mathematics import vectors

if TYPE_CHECKING:
    from brittle.training.step import Step

ROUNDING = 8
"""Roundings of the computing number type, relative to a vector's length, below which it counts as unchanged."""


def departed(now: Tensor, before: Tensor) -> Tensor:
    """``now`` in float32, with the vectors of ``before`` (without gradient) where both are the same up to rounding.

    ``[..., width]`` both.
    """
    now = now.float()
    with torch.no_grad():
        bound = ROUNDING * unit_roundoff(now) * before.norm(dim=-1, keepdim=True)
        same = (now - before).norm(dim=-1, keepdim=True) <= bound
    return torch.where(same, before, now)


def unit_roundoff(tensor: Tensor) -> float:
    """Half the distance from 1 to the next number of the type that computes: autocast's, where that is on."""
    kind = tensor.device.type
    dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else tensor.dtype
    return torch.finfo(dtype).eps / 2


def squared_change(step: Step, split: str, layer: int, states: Tensor) -> Tensor:
    """Mean over real tokens of the squared change per entry."""
    before = step.reference_hidden_states(split, layer)
    return step.token_mean(split, vectors.mean_squared_distance(departed(states, before), before))


def distance(step: Step, split: str, layer: int, states: Tensor) -> Tensor:
    """Mean over real tokens of the change's length ‖·‖₂."""
    before = step.reference_hidden_states(split, layer)
    return step.token_mean(split, (departed(states, before) - before).norm(dim=-1))


def turn(step: Step, split: str, layer: int, states: Tensor) -> Tensor:
    """Mean over real tokens of 1 − cos(now, before)."""
    before = step.reference_hidden_states(split, layer)
    return step.token_mean(split, 1 - vectors.cosine(departed(states, before), before))


def likeness(step: Step, split: str, layer: int, states: Tensor) -> Tensor:
    """Mean over real tokens of ReLU(cos(now, before)): 0 once the states are orthogonal to where they were."""
    before = step.reference_hidden_states(split, layer)
    return step.token_mean(split, vectors.cosine(departed(states, before), before).relu())


NUDGE = 0.1
"""Length of the nudge relative to the state that it is added to: small beside 1, large beside float32's rounding."""


def likeness_with_nudge(step: Step, split: str, layer: int, states: Tensor) -> Tensor:
    """:func:`likeness` of states that are nudged by ``NUDGE · ‖before‖₂`` along the block's random direction.

    At the first step the cosine is 1 and its gradient zero; the nudge gives the first steps a direction of the seed's choice.
    """
    before = step.reference_hidden_states(split, layer)
    nudge = NUDGE * before.norm(dim=-1, keepdim=True) * step.random_direction(layer)
    return step.token_mean(split, vectors.cosine(states + nudge, before).relu())


def rerouting(step: Step, coefficient: float, layers: Sequence[int]) -> dict[str, Tensor]:
    """Forget states turned from where they were, retain states kept there, at these blocks and by the schedule."""
    forget, retain = step.hidden_states("forget", layers), step.hidden_states("retain", layers)
    reroute = step.sum_over(layers, lambda at: likeness_with_nudge(step, "forget", at, forget[at]))
    preserve = step.sum_over(layers, lambda at: distance(step, "retain", at, retain[at]))
    return scheduled(step, coefficient, layers, reroute, preserve)


def scheduled(
    step: Step, coefficient: float, layers: Sequence[int], reroute: Tensor, preserve: Tensor
) -> dict[str, Tensor]:
    """The circuit breakers' schedule over sums of both terms: coefficient α, p = step / (2 · steps), the mean over blocks.

    α(1 − p) · reroute + α p · preserve: from rerouting alone to both at one half, by optimizer step.
    """
    passed, each = step.number / (2 * step.steps), coefficient / len(layers)
    return {"forget": each * (1 - passed) * reroute, "retain": each * passed * preserve}


__all__ = [
    "NUDGE", "ROUNDING", "departed", "distance", "likeness", "likeness_with_nudge", "rerouting", "scheduled",
    "squared_change", "turn", "unit_roundoff",
]  # fmt: skip
