"""Optimizers by name. From torch, but for Lion and the sign, which are a few lines."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer


def trainable(model: nn.Module) -> list[nn.Parameter]:
    """The parameters that train."""
    return [parameter for parameter in model.parameters() if parameter.requires_grad]


def adamw(model: nn.Module, lr: float, betas: tuple[float, float], weight_decay: float) -> list[Optimizer]:
    """AdamW on everything that trains (Loshchilov and Hutter 2019)."""
    return [torch.optim.AdamW(trainable(model), lr=lr, betas=betas, weight_decay=weight_decay, fused=True)]


def sgd(model: nn.Module, lr: float, betas: tuple[float, float], weight_decay: float) -> list[Optimizer]:
    """Stochastic gradient descent with momentum β₁."""
    return [torch.optim.SGD(trainable(model), lr=lr, momentum=betas[0], weight_decay=weight_decay)]


def sign_sgd(model: nn.Module, lr: float, betas: tuple[float, float], weight_decay: float) -> list[Optimizer]:
    """Descent along the sign of the gradient, without momentum (Bernstein et al. 2018)."""
    optimizer = torch.optim.SGD(trainable(model), lr=lr, weight_decay=weight_decay)

    def to_sign(chosen: Optimizer, _arguments: Any, _keywords: Any) -> None:
        for group in chosen.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    parameter.grad.sign_()

    optimizer.register_step_pre_hook(to_sign)
    return [optimizer]


class Lion(Optimizer):
    """θ ← θ − η (sign(β₁ m + (1 − β₁) g) + λ θ),  m ← β₂ m + (1 − β₂) g.  Chen et al. 2023, algorithm 2."""

    def __init__(self, parameters: Iterable[Any], lr: float, betas: tuple[float, float], weight_decay: float) -> None:
        super().__init__(parameters, {"lr": lr, "betas": betas, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """One step."""
        for group in self.param_groups:
            first, second = group["betas"]
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                momentum = self.state[parameter].setdefault("momentum", torch.zeros_like(parameter))
                direction = momentum.lerp(parameter.grad, 1 - first).sign_()
                parameter.mul_(1 - group["lr"] * group["weight_decay"]).add_(direction, alpha=-group["lr"])
                momentum.lerp_(parameter.grad, 1 - second)


def lion(model: nn.Module, lr: float, betas: tuple[float, float], weight_decay: float) -> list[Optimizer]:
    """Lion on everything that trains; it wants a learning rate several times smaller than AdamW's."""
    return [Lion(trainable(model), lr, (betas[0], 0.99), weight_decay)]


def adafactor(model: nn.Module, lr: float, betas: tuple[float, float], weight_decay: float) -> list[Optimizer]:
    """Adafactor: second moments by rows and columns, hardly any memory (Shazeer and Stern 2018)."""
    return [torch.optim.Adafactor(trainable(model), lr=lr, weight_decay=weight_decay)]


def muon(model: nn.Module, lr: float, betas: tuple[float, float], weight_decay: float) -> list[Optimizer]:
    """Muon on the matrices inside blocks, AdamW at a third of the rate on the rest (Jordan et al. 2024).

    Embeddings, norms and biases have no meaningful spectrum to equalise, so they keep AdamW.
    """
    inside: list[nn.Parameter] = []
    outside: list[nn.Parameter] = []
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            is_hidden_matrix = parameter.ndim == 2 and re.search(r"\.\d+\.", name) is not None
            (inside if is_hidden_matrix else outside).append(parameter)
    found: list[Optimizer] = []
    if inside:
        found.append(torch.optim.Muon(inside, lr=lr, weight_decay=weight_decay))
    if outside:
        found.append(torch.optim.AdamW(outside, lr=lr / 3, betas=betas, weight_decay=weight_decay, fused=True))
    return found


OPTIMIZERS: dict[str, Callable[..., list[Optimizer]]] = {
    "adamw": adamw, "sgd": sgd, "sign_sgd": sign_sgd, "lion": lion, "muon": muon, "adafactor": adafactor,
}  # fmt: skip
STATES_PER_WEIGHT = {"adamw": 2.0, "sgd": 1.0, "sign_sgd": 0.0, "lion": 1.0, "muon": 1.0, "adafactor": 0.01}
"""Numbers that an optimizer keeps for each weight, for the memory plan."""
