"""The losses by hand, on two tokens of width two and a third token that is padding.

Every split is one row of three positions, the last of them padding with absurd values: what is averaged is over two.
"""

from __future__ import annotations

import contextlib
import math

import pytest
import torch
from tiny_models import tiny_model
from torch import Tensor

from brittle.methods import (
    circuit_breakers_with_latent_adversary,
    gradient_difference,
    representation_misdirection,
    weight_distortion,
)
from brittle.training.batches import Batch
from brittle.training.step import Step, Totals

ABSURD = [1e6, -1e6]
# Two likelihoods a row: three real tokens, of which the last two are predicted.
LIKELIHOODS = {"forget": [[1.0, 3.0, 1e6]], "retain": [[0.5, 1.0, 1e6]]}


class Chosen(Step):
    """A step whose model is a table: token losses, hidden states and directions are what the test says."""

    def __init__(self, states=None, before=None, directions=None, likelihoods=LIKELIHOODS, real=2) -> None:
        tokens = 3 if states else 4
        mask = (torch.arange(tokens) < real).long()[None]
        batch = Batch(torch.zeros(1, tokens, dtype=torch.long), mask, mask.float(), (0,))
        totals = Totals(tokens=real, counted=real - 1, sequences=1)
        splits = ("forget", "retain")
        super().__init__(
            torch.nn.Identity(), dict.fromkeys(splits, batch), dict.fromkeys(splits, totals),
            reference=lambda split, _batch, layer: table(before[split][layer]),
        )  # fmt: skip
        self.states, self.directions, self.likelihoods = states, directions, likelihoods

    def token_losses(self, split):
        return torch.tensor(self.likelihoods[split])

    def hidden_states(self, split, layers):
        return {layer: table(self.states[split][layer]) for layer in layers}

    def random_direction(self, layer):
        return torch.tensor(self.directions[layer])


def table(rows) -> Tensor:
    return torch.tensor([[*rows, ABSURD]])


def values(terms) -> dict[str, float]:
    return {name: float(term.detach()) for name, term in terms.items()}


@pytest.mark.parametrize(("weight", "forget"), [(1.0, -2.0), (0.5, -1.0), (0.0, 0.0)])
def test_grad_diff_descends_on_retain_and_ascends_on_forget(weight, forget) -> None:
    terms = gradient_difference.loss(gradient_difference.Settings(weight), Chosen(real=3))
    # retain (0.5 + 1) / 2; forget -w (1 + 3) / 2; the fourth position is padding
    assert values(terms) == pytest.approx({"retain": 0.75, "forget": forget})


def test_wt_dist_trains_on_the_retain_likelihood_alone() -> None:
    terms = weight_distortion.loss(weight_distortion.Settings(), Chosen(real=3))
    assert values(terms) == pytest.approx({"retain": 0.75})


RETAIN = {0: [[1.0, 1.0], [2.0, 2.0]], 1: [[3.0, 4.0], [1.0, 0.0]]}
BEFORE = {0: [[1.0, 0.0], [0.0, 2.0]], 1: [[4.0, 3.0], [1.0, 0.0]]}
FORGET = {0: [[1.0, 0.0], [0.0, 2.0]], 1: [[0.0, 1.0], [3.0, 4.0]]}
DIRECTIONS = {0: [0.6, 0.8], 1: [0.0, 1.0]}


def test_rmu_by_hand() -> None:
    step = Chosen({"forget": FORGET, "retain": RETAIN}, {"retain": BEFORE}, DIRECTIONS)
    settings = representation_misdirection.Settings(alpha=2.0, steering_coeff=5.0, layer_id=(0, 1))
    # forget, layer 0, target 5 (0.6, 0.8) = (3, 4):  ((4 + 16) / 2 + (9 + 4) / 2) / 2 = 8.25
    #         layer 1, target 5 (0, 1) = (0, 5):       ((0 + 16) / 2 + (9 + 1) / 2) / 2 = 6.5
    # retain, layer 0: ((0 + 1) / 2 + (4 + 0) / 2) / 2 = 1.25;  layer 1: ((1 + 1) / 2 + 0) / 2 = 0.5;  times alpha
    terms = representation_misdirection.loss(settings, step)
    assert values(terms) == pytest.approx({"forget": 8.25 + 6.5, "retain": 2 * (1.25 + 0.5)})


class Attacked(Chosen):
    """As :class:`Chosen`; the forget likelihood falls with the first entry of block 1 and rises with the second."""

    width = 2

    def __init__(self, *arguments) -> None:
        super().__init__(*arguments)
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


def test_cb_lat_by_hand() -> None:
    states = {
        "forget": {0: [[0.6, 0.8], [0.8, -0.6]], 1: [[0.0, 1.0], [3.5, 3.5]], 2: [[0.0, 1.0], [-1.0, 1.0]]},
        "retain": {0: RETAIN[0], 1: RETAIN[1], 2: [[1.0, 0.0], [1.0, 0.0]]},
    }
    before = {0: BEFORE[0], 1: BEFORE[1], 2: [[1.0, 0.0], [-2.0, 0.0]]}
    directions = {0: [0.6, 0.8], 1: [0.0, 1.0], 2: [1.0, 0.0]}
    settings = circuit_breakers_with_latent_adversary.Settings(
        alpha=2.0, steering_coeff=9.0, lat_eps=0.5, lat_steps=2, layer_id=(2, 0, 1)
    )
    terms = circuit_breakers_with_latent_adversary.loss(settings, Attacked(states, {"retain": before}, directions))
    # The adversary lowers the likelihood: after two half steps it adds (+0.5, -0.5), from the middle block 1 on.
    # forget, layer 0, clean: cosines to (0.6, 0.8) are 1 and 0.48 - 0.48 = 0;                        mean 0.5
    #         layer 1: (0.5, 0.5) and (4, 3) against (0, 1): 1/√2 and 3/5;                            mean (1/√2 + 3/5) / 2
    #         layer 2: (0.5, 0.5) and (-0.5, 0.5) against (1, 0): 1/√2 and -1/√2;                     mean 0
    forget = -(0.5 + (math.sqrt(0.5) + 0.6) / 2 + 0)
    # retain, layer 0: both cosines 1/√2;  layer 1: 24/25 and 1;  layer 2: 1 and -1;  clean, though the forget side is not
    retain = 2 * ((1 - math.sqrt(0.5)) + (0.04 + 0) / 2 + (0 + 2) / 2)
    assert values(terms) == pytest.approx({"forget": forget, "retain": retain}, rel=1e-5)


# --- the noise before weight distortion ------------------------------------------------------------------------------


def noise(std: float, seed: int, model_seed: int = 0) -> dict[str, Tensor]:
    model, before = tiny_model(seed=model_seed), tiny_model(seed=model_seed).state_dict()
    weight_distortion.prepare(weight_distortion.Settings(std), model, seed)
    return {name: parameter.detach() - before[name] for name, parameter in model.named_parameters()}


@pytest.mark.parametrize("std", [0.02, 0.3])
def test_noise_has_the_declared_width_in_every_tensor(std) -> None:
    found = noise(std, seed=1)
    together = torch.cat([part.flatten() for part in found.values()])
    # 35,552 draws: the standard deviation is known to 0.4 %, the mean to 0.005 standard deviations.
    assert len(together) == 35_552
    assert float(together.std()) == pytest.approx(std, rel=0.02)
    assert abs(float(together.mean())) < 0.03 * std
    for name, part in found.items():  # 32 entries at least, so four standard errors are half of it
        assert float(part.square().mean().sqrt()) == pytest.approx(std, rel=0.5), name


def test_noise_depends_on_the_seed_alone() -> None:
    first, again, other = noise(0.02, seed=1), noise(0.02, seed=1), noise(0.02, seed=2)
    on_another_model = noise(0.02, seed=1, model_seed=3)
    for name, part in first.items():
        assert torch.equal(part, again[name])
        torch.testing.assert_close(part, on_another_model[name], atol=1e-6, rtol=0)
        assert not torch.allclose(part, other[name])


def test_no_two_tensors_share_their_noise() -> None:
    biases = [part for part in noise(0.02, seed=1).values() if part.shape == (32,)]
    assert len(biases) > 2
    assert len({tuple(part.tolist()) for part in biases}) == len(biases)
