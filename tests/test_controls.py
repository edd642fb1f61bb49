"""Controls: the random update has the singular values of the change and random vectors, is the same every time, and stands beside each drawn number."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy
import pandas
import pytest
import torch
from tiny_loaded import tiny_loaded

from brittle.contracts import Figure, Findings
from brittle.mathematics.matrix_pair import MatrixPair
from brittle.mathematics.random_matrices import haar
from brittle.runs import controls, listeners


def pair_of(scale: float = 0.1) -> MatrixPair:
    generator = torch.Generator().manual_seed(1)
    base = torch.randn(40, 30, generator=generator)
    rank_one = scale * torch.outer(torch.ones(40), torch.arange(30.0))
    return MatrixPair("layers.0.x.weight", 0, "qkv", "attn", base, base + rank_one)


def test_the_random_update_has_the_norm_and_the_rank_of_the_change() -> None:
    pair = pair_of()
    assert pair.base_decomposition is not None
    other = controls.random_pair(pair)
    assert other.difference_norm == pytest.approx(pair.difference_norm, rel=1e-5)
    assert other.difference_stable_rank == pytest.approx(1, abs=1e-3)
    assert abs(float((other.difference * pair.difference).sum())) < 0.3 * pair.difference_norm**2
    assert torch.equal(controls.random_pair(pair_of()).modified, other.modified)
    assert vars(other)["base_decomposition"] is pair.base_decomposition


@pytest.mark.parametrize("shape", [(40, 30), (30, 40), (24, 24), (17, 1)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_singular_values_are_those_of_the_change(shape: tuple[int, int], dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(3)
    base = torch.randn(shape, generator=generator).to(dtype)
    modified = base + (0.05 * torch.randn(shape, generator=generator)).to(dtype)
    pair = MatrixPair("layers.0.x.weight", 0, "qkv", "attn", base, modified)
    other = controls.random_pair(pair)
    expected = torch.linalg.svdvals(pair.difference.double())
    found = torch.linalg.svdvals(other.difference.double())
    assert torch.allclose(found, expected, rtol=1e-4, atol=1e-6 * float(torch.linalg.matrix_norm(base.double(), 2)))
    assert torch.equal(other.modified, controls.random_pair(pair).modified)
    assert not torch.equal(other.modified, controls.random_pair(dataclasses.replace(pair, name="another")).modified)


def test_the_vectors_know_nothing_of_the_weights() -> None:
    """A random unit vector has the mean squared overlap 1/n with any direction; that of the change itself is 1."""
    generator = torch.Generator().manual_seed(4)
    base = torch.randn(32, 20, generator=generator)
    left, _, right = torch.linalg.svd(base)
    overlaps = []
    for number in range(300):
        pair = MatrixPair(f"{number}.weight", 0, "qkv", "attn", base, base + torch.outer(left[:, 0], right[0]))
        change = controls.random_pair(pair).difference
        overlaps.append((float((left[:, 0] @ change).square().sum()), float((change @ right[0]).square().sum())))
    outputs, inputs = numpy.mean(overlaps, axis=0)
    assert outputs == pytest.approx(1 / 32, abs=4 * (2 / 32**2 / 300) ** 0.5)
    assert inputs == pytest.approx(1 / 20, abs=4 * (2 / 20**2 / 300) ** 0.5)


def test_signs_of_haar_columns_follow_no_convention() -> None:
    generator = torch.Generator().manual_seed(5)
    corners = torch.stack([haar(6, 3, generator) for _ in range(400)])
    assert torch.allclose(corners.mT @ corners, torch.eye(3).expand(400, 3, 3), atol=1e-5)
    assert float(corners.mean(0).abs().max()) < 4 * (1 / 6 / 400) ** 0.5
    assert float((corners**2).mean(0).sub(1 / 6).abs().max()) < 0.05


def test_what_did_not_change_is_not_moved() -> None:
    pair = pair_of(0.0)
    assert controls.random_pair(pair) is pair


def test_a_random_model_moves_every_parameter_by_as_much_as_the_other_model() -> None:
    a, b = tiny_loaded("gpt_neox", 0), tiny_loaded("gpt_neox", 1)
    with torch.no_grad():
        next(b.model.parameters()).copy_(next(a.model.parameters()))
    moved = controls.random_model(a, b)
    names = dict(b.model.named_parameters())
    still = next(name for name, _ in a.model.named_parameters())
    for (name, before), (_, after) in zip(a.model.named_parameters(), moved.model.named_parameters()):
        expected = float((names[name] - before).detach().norm())
        assert float((after - before).detach().norm()) == pytest.approx(expected, rel=1e-4)
        assert (expected == 0) == (name == still)
    assert moved.digest not in (a.digest, b.digest)
    assert "spectrum" in moved.name
    for (name, before), (_, after) in zip(a.model.named_parameters(), moved.model.named_parameters()):
        if before.dim() == 2:
            expected_values = torch.linalg.svdvals((names[name] - before).detach().double())
            assert torch.allclose(torch.linalg.svdvals((after - before).detach().double()), expected_values, atol=1e-5)


def test_a_random_model_in_half_precision_keeps_the_spectrum_but_for_rounding() -> None:
    a, b = (
        dataclasses.replace(each, model=each.model.bfloat16()) for each in map(tiny_loaded, ["gpt_neox"] * 2, (0, 1))
    )
    moved = controls.random_model(a, b)
    others, after = dict(b.model.named_parameters()), dict(moved.model.named_parameters())
    for name, before in a.model.named_parameters():
        assert after[name].dtype == torch.bfloat16
        if before.dim() == 2:
            wanted, found = (
                torch.linalg.svdvals((each[name].float() - before.float()).detach()) for each in (others, after)
            )
            largest = float(torch.linalg.matrix_norm(before.detach().float(), 2))
            assert torch.allclose(found, wanted, rtol=0.02, atol=0.02 * largest)


@dataclass(frozen=True)
class Row:
    layer: int
    change: float
    change_low: float
    change_high: float
    note: str = "n"


FIGURES = (Figure("f", "table", "layer", ("change",), "title", "reading"),)


def test_controls_stand_behind_the_own_columns_and_in_the_summary() -> None:
    own = Findings({"table": [Row(0, 1.0, 0.5, 1.5), Row(1, 2.0, 1.5, 2.5)], "other": [Row(0, 1, 1, 1)]}, {"mean": 1.5})
    random = Findings({"table": [Row(0, 10.0, 9.0, 11.0), Row(1, 20.0, 19.0, 21.0)]}, {"mean": 15.0, "word": "x"})
    frames, summary = controls.joined(own, FIGURES, {"random": random, "retrained": None})
    assert list(frames["table"].columns)[-3:] == ["change_random", "change_random_low", "change_random_high"]
    assert list(frames["table"].change_random) == [10.0, 20.0]
    assert list(frames["other"].columns) == ["layer", "change", "change_low", "change_high", "note"]
    assert summary == {"mean": 1.5, "controls": {"random": {"mean": 15.0}}}


def test_rows_of_other_places_are_not_joined() -> None:
    own = Findings({"table": [Row(0, 1.0, 0.5, 1.5)]})
    control = Findings({"table": pandas.DataFrame({"layer": [7], "change": [3.0]})})
    frames, _ = controls.joined(own, FIGURES, {"retrained": control})
    assert numpy.isnan(frames["table"].change_retrained).all()


class Module:
    NAME, NEEDS = "one", "weights"

    class Fitter:
        def __init__(self, settings) -> None:
            self.seen = 0

        def update(self, observation) -> None:
            self.seen += 1
            if observation == "broken":
                raise ZeroDivisionError("no layer")

        def finish(self) -> Findings:
            return Findings({"t": [Row(0, self.seen, 0, 0)]})


def test_a_listener_that_fails_is_left_alone_and_the_others_go_on() -> None:
    well, ill = (listeners.Listener(Module, None, None) for _ in range(2))  # type: ignore[arg-type]
    for listener in (well, ill):
        listener.begin(random=False)
    ill.guard(ill.fitter.update, "broken")
    feed = listeners.Feed([well, ill])
    for observation in ("a", "b"):
        feed.update(observation)
    for listener in (well, ill):
        listener.finish()
    assert well.problem is None
    assert well.results["own"].tables["t"][0].change == 2
    assert isinstance(ill.problem, ZeroDivisionError)
    assert ill.results == {}
