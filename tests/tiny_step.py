"""Steps whose model is a table: token losses, hidden states or logits are what a test writes down.

Every text ends in padding with absurd values, which must count nowhere.
"""

from __future__ import annotations

import contextlib
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn

from brittle import discovery
from brittle.settings import with_overrides
from brittle.training.batches import Batch
from brittle.training.loop import totals_of
from brittle.training.step import Step, Totals

ABSURD = [1e6, -1e6]
# Two likelihoods a row: three real tokens, of which the last two are predicted.
LIKELIHOODS = {"forget": [[1.0, 3.0, 1e6]], "retain": [[0.5, 1.0, 1e6]]}


def table(rows) -> Tensor:
    """The states of one text, ``[1, tokens, width]``, with padding behind them."""
    return torch.tensor([[*rows, ABSURD]])


def values(terms) -> dict[str, float]:
    """The loss terms as plain numbers."""
    return {name: float(term.detach()) for name, term in terms.items()}


def module_of(name: str) -> Any:
    """The file of a method."""
    return discovery.plugins("methods")[name].load()


def terms_of(name: str, step: Step, **chosen: object) -> dict[str, float]:
    """The loss terms of a method, with these of its settings changed."""
    method = module_of(name)
    return values(method.loss(with_overrides(method.Settings, chosen), step))


class Chosen(Step):
    """Token losses, hidden states and directions are tables: as many tokens as have states, or three without."""

    def __init__(
        self, states=None, before=None, directions=None, likelihoods=LIKELIHOODS, model=None, main=None, **more
    ):
        real = {split: len(states[split][0]) if states else 3 for split in ("forget", "retain")}
        masks = {split: (torch.arange(tokens + 1) < tokens).long()[None] for split, tokens in real.items()}
        super().__init__(
            model or nn.Identity(),
            {split: Batch(0 * mask, mask, mask.float(), (0,)) for split, mask in masks.items()},
            {split: Totals(tokens, tokens - 1, 1) for split, tokens in real.items()},
            reference=lambda split, _batch, layer: table(before[split][layer]), **more,
        )  # fmt: skip
        self.states, self.directions, self.likelihoods, self.main = states, directions, likelihoods, main

    def token_losses(self, split):
        return torch.tensor(self.likelihoods[split])

    def hidden_states(self, split, layers):
        return {layer: table(self.states[split][layer]) for layer in layers}

    def random_direction(self, layer):
        return torch.tensor(self.directions[layer])

    positive_direction = random_direction

    def main_directions(self, split, layer, count):
        assert (split, count) == ("forget", 1)
        return torch.tensor([self.main[layer]])


class Attacked(Chosen):
    """As :class:`Chosen`; the forget likelihood falls with the first entry of a perturbation and rises with the second."""

    width = 2

    def __init__(self, *arguments, **more) -> None:
        super().__init__(*arguments, **more)
        self.added: dict[int, Tensor] = {}

    @contextlib.contextmanager
    def perturbed(self, layer, perturbation):
        self.added = {layer: perturbation}
        yield
        self.added = {}

    def hidden_states(self, split, layers):
        states = super().hidden_states(split, layers)
        for entered, perturbation in self.added.items():
            states |= {at: value + perturbation for at, value in states.items() if at >= entered}
        return states

    def negative_log_likelihood(self, split):
        (perturbation,) = self.added.values()
        return (perturbation[..., 1] - perturbation[..., 0]).sum()


class Logits(nn.Module):
    """One block whose output is the logits: one row of them for every position, or one row for each."""

    def __init__(self, logits: list) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(logits))
        self.block = nn.Identity()
        self.config = SimpleNamespace(hidden_size=self.weight.shape[-1])

    def forward(self, input_ids: Tensor, **_: object) -> SimpleNamespace:
        rows, columns = input_ids.shape
        logits = self.weight if self.weight.dim() == 2 else self.weight.expand(columns, -1)
        absurd = torch.linspace(*ABSURD, logits.shape[1]).expand(columns - len(logits), -1)
        return SimpleNamespace(logits=self.block(torch.cat([logits, absurd]).expand(rows, -1, -1)))


class Before:
    """What the untouched model said of each split: the log-probability of each text, the logits of every position."""

    def __init__(self, log_probabilities=None, logits=None) -> None:
        self._log_probabilities, self._logits = log_probabilities, logits

    def log_probabilities(self, split: str, _batch: Batch) -> Tensor:
        return torch.tensor(self._log_probabilities[split])

    def logits(self, split: str, batch: Batch) -> Tensor:
        return torch.tensor(self._logits[split]).expand(*batch.input_ids.shape, -1)


def batch_of(rows: list[list[int]]) -> Batch:
    """Texts by their tokens, the first of which is never predicted, with two columns of padding or more behind each."""
    columns = 2 + max(len(row) for row in rows)
    tokens = [row + [1] * (columns - len(row)) for row in rows]
    mask = [[1] * len(row) + [0] * (columns - len(row)) for row in rows]
    counted = [[0.0, *[1.0] * (len(row) - 1), *[0.0] * (columns - len(row))] for row in rows]
    return Batch(torch.tensor(tokens), torch.tensor(mask), torch.tensor(counted), tuple(range(len(rows))))


def step_on(logits: list, texts: dict[str, list[list[int]]], before: Before | None = None, **more: Any) -> Step:
    """A step on a model of these logits, whose one block the adversary can enter."""
    batches: dict[str, Batch] = {split: batch_of(rows) for split, rows in texts.items()}
    anatomy: Any = SimpleNamespace(blocks=lambda model: [model.block])
    return Step(Logits(logits), batches, totals_of([batches]), anatomy=anatomy, reference=before, **more)


def found(name: str, step: Step, **chosen: object) -> tuple[dict[str, float], list]:
    """The loss terms of a method, and the gradient of the first of them with respect to the logits."""
    method = module_of(name)
    terms = method.loss(with_overrides(method.Settings, chosen), step)
    first = next(iter(terms.values()))
    (gradient,) = torch.autograd.grad(first, step.model.weight, retain_graph=True)  # type: ignore[arg-type]
    return values(terms), gradient.tolist()
