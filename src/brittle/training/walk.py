"""How far the first steps of a training lead, and how far the whole of it would on the same way."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from brittle.training.loop import LoopSettings, learning_rate_factor
from brittle.training.pulls import length


@dataclass(frozen=True)
class Walked:
    """The first steps of a training, and what is left of it."""

    steps: int
    """Of the whole run."""
    moved: tuple[float, ...]
    """‖ΔW‖₂ of each step that was taken, over the weights that train."""
    at_most: float
    """‖ΔW‖₂ of the whole run if all steps go one way and are as long as these, times the schedule's factor."""
    at_least: float
    """The same if each goes its own way, at a right angle to all others."""
    broke: str = ""
    """Why the steps could not all be taken."""

    @property
    def way(self) -> float:
        """How many times as far as in these steps the run would go if all went one way; 0 where none moved a weight."""
        far = math.fsum(self.moved)
        return self.at_most / far if far else 0.0


def walked(moved: Sequence[float], loop: LoopSettings, broke: str = "") -> Walked:
    """Carry the first steps on to the end of the learning rate's schedule."""
    factors = [learning_rate_factor(number, loop) for number in range(loop.steps)]
    usual = math.fsum(moved) / math.fsum(factors[: len(moved)]) if moved else 0.0
    return Walked(loop.steps, tuple(moved), usual * math.fsum(factors), usual * math.hypot(*factors), broke)


class FirstSteps:
    """Told after every step: how far it led, from copies in the computer's memory; ends the training after ``number`` steps."""

    def __init__(self, model: nn.Module, number: int, tick: Callable[[int], object]) -> None:
        self.number, self.tick = number, tick
        self.moved: list[float] = []
        self._before = _trained(model)

    @torch.no_grad()
    def __call__(self, number: int, model: nn.Module, _terms: dict[str, float]) -> bool:
        """One optimizer step is done."""
        now = _trained(model)
        self.moved.append(length(a.float() - b.float() for a, b in zip(now, self._before)))
        self._before = now
        self.tick(1)
        return number >= self.number


def _trained(model: nn.Module) -> list[Tensor]:
    return [each.detach().to("cpu", copy=True) for each in model.parameters() if each.requires_grad]
