"""How far the first steps of a training lead, and how far the whole of it would on the same way."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor, nn

from brittle.training.loop import LoopSettings, learning_rate_factor
from brittle.training.pulls import length


def whole_way(moved: Sequence[float], loop: LoopSettings) -> tuple[float, float]:
    """The longest and the shortest ‖ΔW‖₂ of a whole run: all steps go one way, or each at a right angle to all others.

    Args:
        moved: ‖ΔW‖₂ of each of the first steps; the others are as long as these in the mean, times the schedule's factor.
    """
    factors = [learning_rate_factor(number, loop) for number in range(loop.steps)]
    usual = math.fsum(moved) / math.fsum(factors[: len(moved)]) if moved else 0.0
    return usual * math.fsum(factors), usual * math.hypot(*factors)


class FirstSteps:
    """Told after every step: how far it led, from copies in the computer's memory; ends the training after ``number`` steps.

    Args:
        weights: gives the weights that train, as they are now.
    """

    def __init__(self, weights: Callable[[], Iterable[Tensor]], number: int, tick: Callable[[int], object]) -> None:
        self.weights, self.number, self.tick = weights, number, tick
        self.moved: list[float] = []
        self._before = self._copies()

    @torch.no_grad()
    def __call__(self, number: int, _model: nn.Module, _terms: dict[str, float]) -> bool:
        """One optimizer step is done."""
        now = self._copies()
        self.moved.append(length(a.float() - b.float() for a, b in zip(now, self._before)))
        self._before = now
        self.tick(1)
        return number >= self.number

    def _copies(self) -> list[Tensor]:
        return [each.to("cpu", copy=True) for each in self.weights()]
