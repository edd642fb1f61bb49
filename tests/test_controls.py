"""Controls: the random update has the size of the change, is the same every time, and stands beside each drawn number."""

from __future__ import annotations

from dataclasses import dataclass

import numpy
import pandas
import pytest
import torch
from tiny_loaded import tiny_loaded

from brittle.contracts import Figure, Findings
from brittle.mathematics.matrix_pair import MatrixPair
from brittle.runs import controls, listeners


def pair_of(scale: float = 0.1) -> MatrixPair:
    generator = torch.Generator().manual_seed(1)
    base = torch.randn(40, 30, generator=generator)
    rank_one = scale * torch.outer(torch.ones(40), torch.arange(30.0))
    return MatrixPair("layers.0.x.weight", 0, "qkv", "attn", base, base + rank_one)


def test_the_random_update_has_the_norm_of_the_change_and_full_rank() -> None:
    pair = pair_of()
    assert pair.base_decomposition is not None
    other = controls.random_pair(pair)
    assert other.difference_norm == pytest.approx(pair.difference_norm, rel=1e-5)
    assert pair.difference_stable_rank == pytest.approx(1, abs=1e-3)
    assert other.difference_stable_rank > 5
    assert torch.equal(controls.random_pair(pair_of()).modified, other.modified)
    assert vars(other)["base_decomposition"] is pair.base_decomposition


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
