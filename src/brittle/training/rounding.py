"""Train bfloat16 weights without float32 copies: every update is rounded up or down at random, right on average.

A bfloat16 number has eight significant bits, so a weight near 0.02 moves in steps of 1.2e-4, and to the nearest such step
most updates of fine-tuning round to nothing. Rounded stochastically, x lands on the neighbour above with probability
(x − below) / (above − below): the expected weight is the exact one. Source: Gupta et al. 2015 (arXiv 1502.02551).

Weights and gradients take two bytes each instead of four; the optimizer's states stay float32. One parameter at a time
is lifted to float32 for its step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

LOW_BITS = 16
"""Bits of a float32 that a bfloat16 does not have."""


def rounded(values: Tensor, generator: torch.Generator) -> Tensor:
    """``values`` (float32) in bfloat16, each rounded to one of its two neighbours, unbiased; what fits exactly stays."""
    noise = torch.randint(2**LOW_BITS, values.shape, generator=generator, dtype=torch.int32, device=values.device)
    kept: Tensor = noise.add_(values.view(torch.int32)).bitwise_and_(-(2**LOW_BITS))  # in place: the largest count
    return kept.view(torch.float32).to(torch.bfloat16)


class Rounded:
    """An optimizer of one bfloat16 parameter, which it sees in float32 for the moment of a step.

    What is drawn depends on the seed, the parameter's place and the number of its steps, so that all processes round
    alike and a resumed run rounds as the unbroken one.
    """

    def __init__(self, parameter: nn.Parameter, make: Callable[[Any], list[Optimizer]], name: str, seed: int) -> None:
        self.parameter, self.seed = parameter, seed
        self.lifted = nn.Parameter(torch.empty(0, device=parameter.device))
        (self.inner,) = make(_Alone(name, self.lifted, parameter.shape))
        self.lifted.data = self.lifted.data.flatten()[:0].clone()  # a view would keep all of it in memory

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        """Where the learning rate stands."""
        return self.inner.param_groups

    @torch.no_grad()
    def step(self) -> None:
        """Lift, step, round."""
        if self.parameter.grad is None:
            return
        self.lifted.data, self.lifted.grad = self.parameter.float(), self.parameter.grad.float()
        self.inner.step()
        self.lifted.grad = None
        state = self.inner.state[self.lifted]
        taken = int(state.get("roundings", 0))
        generator = torch.Generator(self.parameter.device).manual_seed(hash((self.seed, taken)) % 2**63)
        self.parameter.copy_(rounded(self.lifted.data, generator))
        state["roundings"] = torch.tensor(float(taken + 1))
        self.lifted.data = self.lifted.data.flatten()[:0].clone()

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradient."""
        self.parameter.grad = None

    def state_dict(self) -> dict[str, Any]:
        """The inner optimizer's, with the number of roundings."""
        return self.inner.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where that state was taken."""
        self.inner.load_state_dict(state)


class _Alone:
    """A model with one parameter of the given shape, for functions that make optimizers of models."""

    def __init__(self, name: str, parameter: nn.Parameter, shape: torch.Size) -> None:
        self.name, self.parameter = name, parameter
        parameter.data = torch.empty(shape, device=parameter.device)

    def named_parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        """The one."""
        yield self.name, self.parameter

    def parameters(self) -> Iterator[nn.Parameter]:
        """The one."""
        yield self.parameter


def optimizers_of(model: nn.Module, make: Callable[[Any], list[Optimizer]], seed: int) -> list[Any]:
    """``make(model)``, or where weights that train are bfloat16, one rounding optimizer for each of them."""
    trained = [(name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad]
    if all(parameter.dtype != torch.bfloat16 for _, parameter in trained):
        return list(make(model))
    return [Rounded(parameter, make, name, seed * 100_003 + place) for place, (name, parameter) in enumerate(trained)]
