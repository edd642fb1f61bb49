"""The benchmarks' runner: its arithmetic on made-up ways, what it refuses, and that both sides of every pair agree."""

from __future__ import annotations

import importlib
import itertools
import json
import os
import sys
from pathlib import Path

import numpy
import pytest

FOLDER = Path(__file__).parents[1] / "benchmarks"
sys.path.insert(0, str(FOLDER))
measuring, run = importlib.import_module("measuring"), importlib.import_module("run")


class Clock:
    """A clock that moves only when a way says so."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now

    def way(self, costs, value=1.0, closed=None):
        """A builder of ways that take these seconds, one after another."""

        def build(_size):
            left = iter(costs)

            def once():
                self.now += next(left)
                return value

            return measuring.Way(once, (lambda: closed.append(value)) if closed is not None else measuring.nothing)

        return build


def test_the_ratio_is_the_median_of_the_turns_without_the_first() -> None:
    clock = Clock()
    turns = measuring.TURNS["quick"]
    ours, other = [50.0, 1.0, 2.0, 4.0, 1.0], [0.1, 3.0, 2.0, 8.0, 4.0]  # ratios 3, 1, 2, 4 after the warm-up
    assert len(ours) == turns + 1
    measured = measuring.seconds(measuring.Pair("made up", clock.way(ours), clock.way(other)), "quick", clock)
    assert measured.ratio == pytest.approx(2.5)
    assert (measured.ours, measured.other, measured.unit) == (pytest.approx(1.5), pytest.approx(3.5), "s")


def test_ways_that_disagree_are_refused_and_closed() -> None:
    clock, closed = Clock(), []
    pair = measuring.Pair(
        "made up", clock.way(itertools.repeat(1.0), 1.0, closed), clock.way(itertools.repeat(1.0), 1.01, closed)
    )
    with pytest.raises(AssertionError, match="made up: the two ways differ, 1.0 and 1.01"):
        measuring.seconds(pair, "tiny", clock)
    assert sorted(closed) == [1.0, 1.01]


def made_up(goal):
    return measuring.Benchmark("made up", goal, lambda size: measuring.Measured(1.9996, 1.0, 1.9996, "s"))


@pytest.mark.parametrize(("goal", "met"), [(2.0, False), (1.9, True)])
def test_a_row_says_whether_the_goal_is_met_before_rounding(goal: float, met: bool) -> None:
    row = run.row(made_up(goal), "tiny")
    assert (row["name"], row["ratio"], row["goal"], row["met"]) == ("made up", 2.0, goal, met)
    assert ("MISSED" in run.sentence(row)) is not met


def test_json_is_one_object_a_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    monkeypatch.setattr(run, "find", lambda: [made_up(2.0), made_up(1.0)])
    monkeypatch.setattr(sys, "argv", ["run.py", "--quick", "--json"])
    run.main()
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["met"] for row in rows] == [False, True]
    assert {"name", "ratio", "goal", "met"} <= set(rows[0])


def test_only_chooses_by_name_and_refuses_what_no_name_holds(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(run, "find", lambda: [made_up(2.0)])
    monkeypatch.setattr(sys, "argv", ["run.py", "--only", "no such"])
    with pytest.raises(SystemExit):
        run.main()
    assert "no benchmark's name holds 'no such'" in capsys.readouterr().err


def test_every_file_with_benchmarks_is_found_and_a_name_is_used_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path])
    text = "from measuring import Benchmark\n\nBENCHMARKS = [Benchmark('one', 1.0, None)]\n"
    (tmp_path / "first_made_up_benchmark.py").write_text(text)
    (tmp_path / "no_benchmark_at_all.py").write_text("raise RuntimeError('not to be imported')\n")
    assert [benchmark.name for benchmark in run.find(tmp_path)] == ["one"]
    (tmp_path / "second_made_up_benchmark.py").write_text(text)
    with pytest.raises(ValueError, match="two benchmarks are called 'one'"):
        run.find(tmp_path)


def test_computed_references_are_not_kept_and_the_cache_folder_is_put_back() -> None:
    before = os.environ["BRITTLE_HOME"]
    with run.prepared("tiny"):
        inside = os.environ["BRITTLE_HOME"]
        assert inside != before
    assert os.environ["BRITTLE_HOME"] == before
    assert not Path(inside).exists()


PAIRS = {benchmark.pair.name: benchmark.pair for benchmark in run.find() if benchmark.pair}


@pytest.mark.parametrize("name", PAIRS)
def test_the_two_sides_of_every_pair_agree_over_several_steps(name: str) -> None:
    with run.prepared("tiny"):
        ways = [PAIRS[name].ours("tiny"), PAIRS[name].other("tiny")]
        values = [[way.run() for _ in range(3)] for way in ways]
        for way in ways:
            way.close()
    assert numpy.ravel(values[0]) == pytest.approx(numpy.ravel(values[1]), rel=1e-4, abs=1e-4)
    if isinstance(values[0][0], float):
        assert len(set(values[0])) == 3, "a training whose loss never changes compares nothing"


def test_a_reference_in_memory_is_counted_as_a_second_model() -> None:
    pair = PAIRS["npo, 12 layers, against a reference model in memory"]
    measured = measuring.tensor_memory(pair, "tiny")
    assert measured.ratio == pytest.approx(2.0, abs=0.05)
    assert measured.unit == "MiB"
    peaks = measuring.peak_memory(pair, "tiny")
    assert peaks.ours > measured.ours
    assert peaks.other > measured.other


def test_a_side_that_fails_in_its_own_process_is_an_error() -> None:
    with pytest.raises(RuntimeError, match="no such pair: ours failed"):
        measuring.memory_of("no such pair", "ours", "tiny")
    measuring._server.cache_clear()
