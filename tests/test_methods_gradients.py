"""Every method's gradient is the slope of its loss: central differences in float64, over all weights and single ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from method_trials import MIDDLE, NAMES, SCHEDULED, Trial, fixed_perturbation, trial_of

from brittle.training import adversary, terms

HELD_FIXED = {"wga", "satimp", "ce_u", "npo_sam", "tar", "repselect"}
"""A factor of the loss is held fixed on purpose: the gradient is the slope of the loss with that factor as it was.

That it is this factor and no other, test_methods_values_held_fixed shows.
"""


@pytest.fixture
def double_precision(monkeypatch) -> None:
    """``.float()`` lifts half precision to single; on a model in float64 it would round, so here it lifts to double."""
    monkeypatch.setattr(torch.Tensor, "float", torch.Tensor.double)


class Remembered:
    """Calls a function and remembers its answers in order; after :meth:`again`, answers with them."""

    def __init__(self, function: Callable) -> None:
        self.function, self.answers = function, list[Any]()
        self.replay: Iterator[Any] | None = None

    def __call__(self, *arguments: Any) -> Any:
        if self.replay is not None:
            return next(self.replay)
        self.answers.append(self.function(*arguments))
        return self.answers[-1]

    def again(self) -> None:
        self.replay = iter(self.answers)


def hold_fixed(monkeypatch) -> Callable[[], None]:
    """From now on what the loss holds fixed is remembered; each call of the function returned has it answered again."""
    remembered = [Remembered(torch.Tensor.detach), Remembered(terms.gradients)]
    monkeypatch.setattr(torch.Tensor, "detach", lambda tensor: remembered[0](tensor))
    monkeypatch.setattr(terms, "gradients", remembered[1])

    def again() -> None:
        for part in remembered:
            part.again()

    return again


def slope(trial: Trial, parameters, direction, before_each: Callable[[], None], size: float = 1e-5) -> float:
    """The loss's central difference along a direction in the space of weights."""
    values = []
    with torch.no_grad():
        for sign in (1, -2):
            for parameter, change in zip(parameters, direction):
                parameter += sign * size * change
            before_each()
            values.append(trial.loss().item())
        for parameter, change in zip(parameters, direction):
            parameter += size * change
    return (values[0] - values[1]) / (2 * size)


@pytest.mark.parametrize(
    ("name", "number"),
    [(name, number) for name in NAMES for number in ((MIDDLE - 1, MIDDLE) if name in SCHEDULED else (MIDDLE,))],
)
def test_gradient_is_the_slope_of_the_loss(name, number, double_precision, monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("BRITTLE_HOME", str(tmp_path))
    monkeypatch.setattr(adversary, "helpful_perturbation", fixed_perturbation)
    trial = trial_of(name)
    trial.number = number
    trial.loaded.model.double()
    again = hold_fixed(monkeypatch) if name in HELD_FIXED else lambda: None
    parameters = list(trial.loaded.model.parameters())
    gradients = torch.autograd.grad(trial.loss(), parameters, materialize_grads=True)
    generator = torch.Generator().manual_seed(1)
    everywhere = [torch.randn(p.shape, generator=generator, dtype=p.dtype) for p in parameters]
    assert slope(trial, parameters, everywhere, again) == pytest.approx(dot(gradients, everywhere), rel=1e-5)
    scale = max(float(gradient.abs().max()) for gradient in gradients)
    for index in range(0, len(parameters), 5):
        entry = [torch.zeros_like(p) for p in parameters]
        position = int(torch.randint(parameters[index].numel(), (), generator=generator))
        entry[index].view(-1)[position] = 1
        expected = dot(gradients, entry)
        assert slope(trial, parameters, entry, again) == pytest.approx(expected, rel=1e-4, abs=1e-7 * scale)


def dot(left, right) -> float:
    return float(sum((a * b).sum() for a, b in zip(left, right)))
