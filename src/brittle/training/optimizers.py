"""Optimizers by name, from libraries."""

from __future__ import annotations

import re
from collections.abc import Callable

import torch
from torch import nn
from torch.optim import Optimizer


def adamw(model: nn.Module, lr: float, betas: tuple[float, float], weight_decay: float) -> list[Optimizer]:
    """AdamW on everything that trains (Loshchilov and Hutter 2019)."""
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    return [torch.optim.AdamW(parameters, lr=lr, betas=betas, weight_decay=weight_decay, fused=True)]


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
    return [
        torch.optim.Muon(inside, lr=lr, weight_decay=weight_decay),
        torch.optim.AdamW(outside, lr=lr / 3, betas=betas, weight_decay=weight_decay, fused=True),
    ]


OPTIMIZERS: dict[str, Callable[..., list[Optimizer]]] = {"adamw": adamw, "muon": muon}
