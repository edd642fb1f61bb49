"""Stochastic rounding: unbiased, exact where nothing is to be rounded, repeatable, and what plain rounding loses moves."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from tiny_models import tiny_model

from brittle.training.checkpoint import Checkpoints
from brittle.training.loop import LoopSettings, train, without_dropout
from brittle.training.optimizers import OPTIMIZERS
from brittle.training.rounding import Rounded, optimizers_of, rounded


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_the_expectation_is_the_value() -> None:
    """Between 1 and 1 + 2⁻⁷ a quarter of the way: a quarter of many draws is the upper neighbour, no other occurs."""
    upper = 1 + 2**-7
    for sign in (1.0, -1.0):
        found = rounded(torch.full((40_000,), sign * (1 + 2**-9)), generator()).float() * sign
        assert set(found.tolist()) == {1.0, upper}
        assert float((found == upper).float().mean()) == pytest.approx(0.25, abs=0.01)


def test_what_bfloat16_can_hold_stays() -> None:
    exact = torch.tensor([0.0, -0.0, 1.0, -3.5, 2.0**-100, 1.984375, float("inf")])
    for seed in range(20):
        assert torch.equal(rounded(exact, generator(seed)).float(), exact)


def trained(optimizer: str, steps: int, checkpoints: Checkpoints | None = None, tail: Callable | None = None):
    """A bfloat16 weight near 0.02 whose gradient is always one, and a second one that never gets a gradient."""
    model = torch.nn.Module()
    model.weight = torch.nn.Parameter(torch.full((200, 50), 0.02, dtype=torch.bfloat16))
    model.idle = torch.nn.Parameter(torch.ones(3, dtype=torch.bfloat16))
    settings = LoopSettings(steps, 1e-5, optimizer=optimizer, schedule="constant", grad_clip=0, seed=3)
    batch = {"forget": _batch()}
    train(
        model, lambda _: [batch], lambda step: {"only": step.model.weight.sum()}, settings, checkpoints=checkpoints,
        listeners=[tail] if tail else [],
    )  # fmt: skip
    return model


def _batch():
    from brittle.training.batches import Example, collate

    return collate([Example((1, 2), (False, True))], [0], 0)


@pytest.mark.parametrize("optimizer", sorted(set(OPTIMIZERS) - {"muon", "adafactor", "sgd"}))
def test_updates_far_below_a_weights_spacing_move_it_by_the_right_amount_on_average(optimizer: str) -> None:
    """20 steps of 1e-5 where neighbours are 1.2e-4 apart: to the nearest, none would move anything."""
    model = trained(optimizer, 20)
    start = float(torch.tensor(0.02, dtype=torch.bfloat16))
    assert float(model.weight.float().mean()) == pytest.approx(start - 20 * 1e-5, abs=1.2e-5)
    assert torch.equal(model.idle.float(), torch.ones(3))
    plain = torch.full((1,), 0.02, dtype=torch.bfloat16) - torch.tensor(1e-5, dtype=torch.bfloat16)
    assert float(plain) == start


@pytest.mark.parametrize("optimizer", sorted(OPTIMIZERS))
def test_the_same_bits_again_and_after_a_kill(optimizer: str, tmp_path) -> None:
    whole = trained(optimizer, 6)
    assert torch.equal(trained(optimizer, 6).weight, whole.weight)
    trained(optimizer, 6, Checkpoints(tmp_path / "checkpoint", "f", 2), lambda number, *_: number == 4)
    resumed = Checkpoints(tmp_path / "checkpoint", "f", 2)
    assert resumed.taken() == 4
    assert torch.equal(trained(optimizer, 6, resumed).weight, whole.weight)


def test_float32_weights_keep_their_plain_optimizer() -> None:
    model = torch.nn.Linear(3, 2)
    (found,) = optimizers_of(model, lambda of: OPTIMIZERS["adamw"](of, 1e-3, (0.9, 0.999), 0.0), 0)
    assert isinstance(found, torch.optim.AdamW)
    halves = optimizers_of(model.bfloat16(), lambda of: OPTIMIZERS["muon"](of, 1e-3, (0.9, 0.999), 0.0), 0)
    assert [type(each) for each in halves] == [Rounded, Rounded]
    assert all(each.lifted.numel() == 0 == each.lifted.untyped_storage().nbytes() for each in halves)


@pytest.mark.parametrize("architecture", ["gpt2", "opt", "gpt_neox"])
def test_training_has_no_dropout(architecture: str) -> None:
    dropout = {"gpt2": {"resid_pdrop": 0.5, "attn_pdrop": 0.5, "embd_pdrop": 0.5}, "opt": {"dropout": 0.5}}
    model = tiny_model(architecture, 0, **dropout.get(architecture, {"attention_dropout": 0.5, "hidden_dropout": 0.5}))
    tokens = torch.tensor([[5, 6, 7, 8, 9]])
    expected = model.eval()(tokens).logits
    model.train()
    assert not torch.equal(model(tokens).logits, expected)
    without_dropout(model)
    torch.testing.assert_close(model(tokens).logits, expected)
