"""Methods that work on the weights themselves, by hand: a few weights, what they were, and the noise they are given."""

from __future__ import annotations

import math

import pytest
import torch
from tiny_models import tiny_model
from tiny_step import Chosen, module_of, terms_of
from torch import Tensor, nn

from brittle.settings import with_overrides


class Weights(nn.Module):
    """Three weights that train and two that do not."""

    def __init__(self, first: list[float], second: list[list[float]], frozen: list[float]) -> None:
        super().__init__()
        self.first = nn.Parameter(torch.tensor(first))
        self.second = nn.Parameter(torch.tensor(second))
        self.frozen = nn.Parameter(torch.tensor(frozen), requires_grad=False)


def initial() -> dict[str, Tensor]:
    return {"first": torch.tensor([1.0, 1.0]), "second": torch.tensor([[1.0]])}


def changed(share: float = 1.0) -> Chosen:
    """A step at weights that moved by (3, 0) and 4; the frozen ones are far from anything."""
    return Chosen(model=Weights([4.0, 1.0], [[5.0]], [100.0, -100.0]), initial=initial(), share=share)


def push(name: str, step: Chosen, **chosen: float) -> tuple[float, list[float]]:
    """The distance term and its gradient, entry by entry."""
    method = module_of(name)
    term = method.loss(with_overrides(method.Settings, chosen), step)["distance"]
    gradients = torch.autograd.grad(term, list(step.trained().values()))
    return float(term.detach()), torch.cat([gradient.flatten() for gradient in gradients]).tolist()


# ‖Δ‖² = 9 + 16 = 25 over 3 weights
DISTANCES = [
    # -λ ‖Δ‖², gradient -2 λ Δ
    ("wt_dist_reg", {"wt_reg_lambda": 0.1}, -2.5, [-0.6, 0.0, -0.8]),
    # -λ √(25/3), gradient -λ Δ / (3 √(25/3)) = -2 Δ / (5 √3)
    ("wt_dist_reg_rms", {"rms_lambda": 2.0}, -10 / math.sqrt(3), [-1.2 / math.sqrt(3), 0.0, -1.6 / math.sqrt(3)]),
    # -c ‖Δ‖, gradient -c Δ / 5, of length c
    ("max_update", {"update_coeff": 0.01}, -0.05, [-0.006, 0.0, -0.008]),
]


@pytest.mark.parametrize(("name", "chosen", "term", "gradient"), DISTANCES)
def test_distance_from_the_weights_before_is_rewarded(name, chosen, term, gradient) -> None:
    # retain: (0.5 + 1) / 2
    assert terms_of(name, changed(), **chosen) == pytest.approx({"retain": 0.75, "distance": term})
    assert push(name, changed(), **chosen) == (pytest.approx(term), pytest.approx(gradient))


@pytest.mark.parametrize(("name", "chosen", "term", "gradient"), DISTANCES)
def test_a_micro_batch_brings_its_share_of_the_distance(name, chosen, term, gradient) -> None:
    found = push(name, changed(share=0.25), **chosen)
    assert found == (pytest.approx(term / 4), pytest.approx([entry / 4 for entry in gradient]))


@pytest.mark.parametrize(("name", "chosen"), [(name, chosen) for name, chosen, _, _ in DISTANCES])
def test_at_the_start_nothing_pushes(name, chosen) -> None:
    still = Chosen(model=Weights([1.0, 1.0], [[1.0]], [0.0, 0.0]), initial=initial())
    term, gradient = push(name, still, **chosen)
    assert gradient == [0.0, 0.0, 0.0]
    assert term == pytest.approx(0, abs=3e-4)  # 2 · √(10⁻⁸) for the root mean square, kept away from 0 / 0


@pytest.mark.parametrize("name", ["wt_dist", "wt_dist_scaled"])
def test_after_the_noise_the_retain_likelihood_alone_trains(name) -> None:
    assert terms_of(name, Chosen()) == pytest.approx({"retain": 0.75})


def test_the_task_vector_is_mirrored_at_the_weights_before() -> None:
    # 1 - 2 · (4 - 1) = -5,  1 - 2 · 0 = 1,  1 - 2 · (5 - 1) = -7; frozen weights stay
    model, method = Weights([4.0, 1.0], [[5.0]], [100.0, -100.0]), module_of("task_vector")
    method.finish(method.Settings(task_scale=2.0), model, initial())
    assert model.first.tolist() == [-5.0, 1.0]
    assert model.second.tolist() == [[-7.0]]
    assert model.frozen.tolist() == [100.0, -100.0]


# --- the noise before weight distortion ------------------------------------------------------------------------------


def noise(scale: float, seed: int, model_seed: int = 0, name: str = "wt_dist") -> dict[str, Tensor]:
    model, before, method = tiny_model(seed=model_seed), tiny_model(seed=model_seed).state_dict(), module_of(name)
    method.prepare(method.Settings(scale), model, seed)
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


def test_scaled_noise_is_that_noise_in_proportion_to_each_tensor() -> None:
    weights = dict(tiny_model().named_parameters())
    absolute, scaled = noise(1.0, seed=1), noise(0.5, seed=1, name="wt_dist_scaled")
    for name, part in scaled.items():
        size = float(weights[name].detach().square().mean().sqrt())  # 0 for biases, which start at 0; 1 for norms
        torch.testing.assert_close(part, 0.5 * size * absolute[name], atol=1e-5, rtol=1e-4)
    assert len({round(float(part.norm()), 3) for part in scaled.values()}) > 3


def test_scaled_noise_of_one_doubles_the_power_of_a_tensor() -> None:
    name = "gpt_neox.embed_in.weight"  # 320 x 32 entries: their mean square is known to 3 %
    before = dict(tiny_model().named_parameters())[name].detach()
    after = before + noise(1.0, seed=1, name="wt_dist_scaled")[name]
    assert float(after.square().mean() / before.square().mean()) == pytest.approx(2, rel=0.1)


@pytest.mark.parametrize("method", ["wt_dist", "wt_dist_scaled"])
def test_noise_depends_on_the_seed_alone(method) -> None:
    first, again, other = (noise(0.02, seed=seed, name=method) for seed in (1, 1, 2))
    for name, part in first.items():
        assert torch.equal(part, again[name])
        assert not part.any() or not torch.allclose(part, other[name])


def test_absolute_noise_is_the_same_for_any_model() -> None:
    for name, part in noise(0.02, seed=1).items():
        torch.testing.assert_close(part, noise(0.02, seed=1, model_seed=3)[name], atol=1e-6, rtol=0)


def test_no_two_tensors_share_their_noise() -> None:
    biases = [part for part in noise(0.02, seed=1).values() if part.shape == (32,)]
    assert len(biases) > 2
    assert len({tuple(part.tolist()) for part in biases}) == len(biases)
