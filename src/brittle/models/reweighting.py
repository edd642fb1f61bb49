"""Other weights for a loaded model, one strength after another, always from the weights that it came with."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from brittle.contracts import AttackTarget, Diverged, Evaluation
from brittle.models.loading import LoadedModel

Change = Callable[[str, Tensor, float], Tensor]
"""From a parameter's name, its values and the strength to the values that take their place."""


def block_matrices(loaded: LoadedModel) -> dict[str, Tensor]:
    """The weight matrices of all blocks by name, as ``[outputs, inputs]`` views."""
    turned = loaded.anatomy.transposed
    return {
        name: parameter.detach().T if turned else parameter.detach()
        for name, parameter in loaded.model.named_parameters()
        if loaded.anatomy.place(name)
    }


def all_parameters(loaded: LoadedModel) -> dict[str, Tensor]:
    """Every parameter by name; tied ones once."""
    return {name: parameter.detach() for name, parameter in loaded.model.named_parameters()}


@contextlib.contextmanager
def kept_weights(parameters: dict[str, Tensor]) -> Iterator[dict[str, Tensor]]:
    """Gives a copy of the parameters, on the CPU; in the end they are put back to it."""
    kept = {name: parameter.to("cpu", copy=True) for name, parameter in parameters.items()}
    try:
        yield kept
    finally:
        put_back(parameters, kept)


def put_back(parameters: dict[str, Tensor], kept: dict[str, Tensor]) -> None:
    """Give parameters the values of a copy."""
    for name, parameter in parameters.items():
        parameter.copy_(kept[name])


def try_at(target: AttackTarget, number: int, strength: float, prefix: str = "") -> list[Evaluation]:
    """The evaluation at one strength; none, and a note, where the model gives no numbers there."""
    try:
        return [target.evaluate(number, 0, strength, prefix)]
    except Diverged as problem:
        target.give_up(number, strength, problem)
        return []


@torch.no_grad()
def sweep(
    target: AttackTarget,
    strengths: Sequence[float],
    change: Change,
    tick: Callable[[int], None],
    chosen: Callable[[LoadedModel], dict[str, Tensor]] = block_matrices,
) -> list[Evaluation]:
    """Ask the model as it is, then once at every strength; in the end it has its own weights again.

    A strength at which the model gives no numbers has no evaluation and a note instead. Only one matrix at a time is held twice, beside one copy of all that change (on the CPU).
    """
    evaluations = [target.evaluate(0, 0)]
    parameters = chosen(target.loaded)
    with kept_weights(parameters) as kept:
        for number, strength in enumerate(strengths, 1):
            for name, parameter in parameters.items():
                parameter.copy_(change(name, kept[name].to(parameter.device), strength))
            evaluations += try_at(target, number, strength)
            tick(1)
    return evaluations
