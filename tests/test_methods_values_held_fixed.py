"""Losses whose weights or directions are held fixed, by hand, on a model that is nothing but its logits.

One row of three positions: the second token is predicted, the third is padding. Every loss is therefore that of one
token, y = 0, whose probability the logits give directly; gradients are those of the logits.
"""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn

from brittle import discovery
from brittle.settings import with_overrides
from brittle.training.batches import Batch
from brittle.training.step import Step, Totals

THREE_QUARTERS = [math.log(3), 0.0]  # p = 3/4
EVEN = [0.0, 0.0]  # p = 1/2


class Logits(nn.Module):
    """The same logits at every position."""

    def __init__(self, logits: list[float]) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(logits))

    def forward(self, input_ids: Tensor, **_: object) -> SimpleNamespace:
        return SimpleNamespace(logits=self.weight.expand(*input_ids.shape, -1))


class Before:
    """The untouched model gave y the probability 1/2."""

    def log_probabilities(self, _split: str, _batch: Batch) -> Tensor:
        return torch.tensor([math.log(0.5)])


def found(name: str, logits: list[float], **chosen: object) -> tuple[dict[str, float], list[float]]:
    """The loss terms, and the gradient of the first of them."""
    method = discovery.plugins("methods")[name].load()
    mask = torch.tensor([[1, 1, 0]])
    batch = Batch(torch.tensor([[0, 0, 1]]), mask, torch.tensor([[0.0, 1.0, 0.0]]), (0,))
    splits, model = ("forget", "retain"), Logits(logits)
    totals = Totals(tokens=2, counted=1, sequences=1)
    step = Step(model, dict.fromkeys(splits, batch), dict.fromkeys(splits, totals), reference=Before())
    terms = method.loss(with_overrides(method.Settings, {"retain_weight": 0.5, **chosen}), step)
    first = next(iter(terms.values()))
    (gradient,) = torch.autograd.grad(first, model.weight, retain_graph=True)
    return {key: float(term.detach()) for key, term in terms.items()}, gradient.tolist()


def test_weighted_ascent_by_hand() -> None:
    terms, gradient = found("wga", THREE_QUARTERS, wga_exponent=2.0)
    # p² = 9/16 weighs the ascent and is held fixed; NLL = ln 4/3, its gradient (p - 1, 1 - p) = (-1/4, 1/4)
    assert terms == pytest.approx({"forget": -9 / 16 * math.log(4 / 3), "retain": 0.5 * math.log(4 / 3)})
    assert gradient == pytest.approx([9 / 64, -9 / 64])


def test_saturation_and_importance_by_hand() -> None:
    terms, gradient = found("satimp", THREE_QUARTERS, satimp_saturation=2.0, satimp_importance=1.0, forget_weight=0.1)
    # p² (1 - p) = 9/64
    assert terms == pytest.approx({"forget": -0.1 * 9 / 64 * math.log(4 / 3), "retain": 0.5 * math.log(4 / 3)})
    assert gradient == pytest.approx([0.1 * 9 / 256, -0.1 * 9 / 256])


def test_cross_entropy_unlearning_by_hand() -> None:
    terms, gradient = found("ce_u", [math.log(2), 0.0, 0.0])
    # π = (1/2, 1/4, 1/4); without y the target is (0, 1/2, 1/2), so CE = ln 4 and its gradient is π - target
    assert terms == pytest.approx({"forget": math.log(4), "retain": 0.5 * math.log(2)})
    assert gradient == pytest.approx([1 / 2, -1 / 4, -1 / 4])


def test_negative_preference_by_hand() -> None:
    terms, gradient = found("npo", THREE_QUARTERS, beta=1.0)
    # difference ln 3/4 - ln 1/2 = ln 3/2; -2 log σ(-ln 3/2) = 2 ln 5/2; slope 2 σ(ln 3/2) (1 - p) = 2 · 3/5 · 1/4
    assert terms == pytest.approx({"forget": 2 * math.log(2.5), "retain": 0.5 * math.log(4 / 3)})
    assert gradient == pytest.approx([0.3, -0.3])


def test_negative_preference_at_the_worst_weights_nearby_by_hand() -> None:
    terms, gradient = found("npo_sam", EVEN, beta=1.0, sam_radius=math.log(3) / math.sqrt(2))
    # g points along (1, -1) / √2, so the shift is (ln 3, -ln 3) / 2 and p there is 3/4: the values of npo at 3/4.
    # The retain term stays where the weights are, p = 1/2.
    assert terms == pytest.approx({"forget": 2 * math.log(2.5), "retain": 0.5 * math.log(2)})
    assert gradient == pytest.approx([0.3, -0.3])


def test_tampering_resistance_by_hand() -> None:
    terms, gradient = found("tar", EVEN, tar_inner_steps=1, tar_inner_lr=math.log(3) / 2, tar_weight=2.0)
    # The attacker goes from p = 1/2, certainty 0, to (ln 3, -ln 3) / 2, p = 3/4, certainty ln 2 - H(3/4).
    certainty = math.log(2) + 0.75 * math.log(0.75) + 0.25 * math.log(0.25)
    assert terms == pytest.approx({"tampered": 2 * (0 + certainty) / 2, "retain": 0.5 * math.log(2)})
    # d(-H)/dz = p (1 - p) (z_0 - z_1) = 3/16 ln 3, times v = 2, halved by the mean over two points
    assert gradient == pytest.approx([3 / 16 * math.log(3), -3 / 16 * math.log(3)])
