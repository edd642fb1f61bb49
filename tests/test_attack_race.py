"""Races: who goes on by hand, the same worst case on stored curves for fewer steps, and the records that a race leaves."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pandas
import pytest

from brittle.attacks import relearning_search
from brittle.commands import attack as command
from brittle.contracts import Evaluation
from brittle.runs import attack_job, executor, laboratory_models
from brittle.suites import laboratory
from brittle.training import racing

SEARCH: dict[str, Any] = {"search_trials": 8, "race": True}
BENCHMARKS = Path(__file__).parent.parent / "benchmarks"


def test_trials_are_compared_after_a_sixteenth_and_the_best_quarter_goes_on() -> None:
    assert [racing.part_of(steps) for steps in (160, 60, 16, 1)] == [10, 4, 1, 1]
    assert racing.part_of(60, racing.PART_OF_STRENGTHS) == 15
    within, beyond = (True, 0.6), (False, 2.0)
    assert racing.best({"a": beyond, "b": within}) == ["b"]  # what costs too much comes last, however much it brings
    assert racing.best({"a": (True, 0.7), "b": (True, 0.8), "c": within}) == ["b"]
    assert racing.best({"a": within, "b": within}) == ["a"]
    assert [len(racing.best(dict.fromkeys(range(number), within))) for number in (1, 4, 5, 12, 24)] == [1, 1, 2, 3, 6]
    assert racing.best({}) == []
    assert racing.standing(0.5, 0.75, 0.04, 0.9) == (True, 1.25) and racing.standing(0.7, 1.0, 0.04, math.nan)[0]
    assert not racing.standing(0.7, 1.0, 0.06, 0.0)[0] and not racing.standing(0.7, 1.0, 0.0, 1.1)[0]


def test_strengths_are_compared_with_the_same_start() -> None:
    def evaluation(v: float, retain: float = 0.9, prose: float = 1.0) -> Evaluation:
        return Evaluation(1, 0, {}, {"t": 1.0, "v": v, "retain": retain}, benign={"prose": prose, "stories": 2.0})

    start = evaluation(0.25)
    assert evaluation(0.3, prose=1.5).rise(start) == 0.5 and math.isnan(Evaluation(0, 0, {}, {}).rise(start))
    found = {
        1: evaluation(0.6),
        3: evaluation(0.9, retain=0.8),
        10: evaluation(0.8, prose=2.5),
        30: evaluation(0.7, 0.86),
    }
    assert racing.going_on(start, found) == [30]
    many = {number: evaluation(0.3 + number / 100) for number in range(9)}
    assert racing.going_on(start, many) == [8] and racing.going_on(start, {}) == []


def test_on_stored_curves_a_race_finds_the_same_worst_case_for_at_most_40_percent_of_the_steps(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import racing as benchmark

    curves = pandas.read_csv(benchmark.CURVES)
    assert curves.groupby("model").seed.nunique().eq(24).all() and curves.model.nunique() >= 8
    question = 1 / 24 + 1e-3  # of V
    for trials, missed in (
        (24, 0),
        (12, 1),
    ):  # of few trials one that begins slowly can be missed: circuit breakers here
        found = benchmark.replay(curves, benchmark.one_cut, trials)
        assert sum(each.share for each in found) / len(found) <= 0.40
        assert all(each.raced <= each.whole for each in found)
        assert sum(each.whole - each.raced > question for each in found) <= missed


def test_of_stored_strengths_the_one_that_goes_on_brings_what_all_would(monkeypatch: pytest.MonkeyPatch) -> None:
    """At a quarter of the steps; a sixteenth, as for trials, is too early to tell, so the replay can fail."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import racing as benchmark

    curves = pandas.read_csv(benchmark.STRENGTHS)
    question = 1 / 24 + 1e-3  # of V
    found = benchmark.replay_strengths(curves)
    assert len(found) >= 12 and not any(each.whole - each.raced > question for each in found)
    assert benchmark.share_of_strengths(7) <= 0.40  # as many as there are by default
    early = benchmark.replay_strengths(curves, steps=4)
    assert sum(each.whole - each.raced > question for each in early) >= 3


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """Seed and last step of every trial that is carried out, in this process."""
    laboratory_models.build(laboratory.Laboratory("tiny"))
    seen: list[tuple[int, int]] = []
    before = attack_job.Run.carry_out

    def carry_out(self: attack_job.Run, tick: executor.Tick) -> None:
        before(self, tick)
        seen.append((self.seed, int(pandas.read_csv(self.folder / "recovery.csv").step.iloc[-1])))

    def run(asked: list[executor.Task], _title: str, workers: int | None = None) -> None:
        for job in asked:
            job.function(tick=lambda _: None)

    monkeypatch.setattr(attack_job.Run, "carry_out", carry_out)
    monkeypatch.setattr(executor, "run", run)
    return seen


@pytest.mark.end_to_end
def test_a_race_goes_on_shares_whole_trials_with_a_search_and_loses_no_curve(
    tmp_path: Path, trained: list[tuple[int, int]], capsys: pytest.CaptureFixture[str]
) -> None:
    chosen = command.AttackSettings(
        model="laboratory:filtered@tiny", kind="relearning_search", outroot=str(tmp_path / "a"), seeds="1"
    )
    drawn = relearning_search.Settings()
    lengths = {seed: relearning_search.describe(drawn, seed)["steps"] for seed in range(8)}
    table = tmp_path / "a" / "recovery" / "recovery.csv"

    command.run(chosen, SEARCH)
    assert trained[:8] == [(seed, 10) for seed in range(8)]  # all begin
    winners = trained[8:]
    assert len(winners) == 2 and all(step == lengths[seed] for seed, step in winners)
    assert "race: 2 of 8 trials go on to their end" in capsys.readouterr().err
    raced = pandas.read_csv(table)
    at_ten = raced[raced.step == 10].set_index("seed")
    assert set(at_ten.index) == set(range(8))
    lost = [seed for seed in range(8) if seed not in dict(winners)]
    within = at_ten.benign_rise.le(1) & at_ten.accuracy_retain.ge(raced[raced.step == 0].accuracy_retain.iloc[0] - 0.05)
    keys = {seed: (within[seed], at_ten.accuracy_v[seed] + at_ten.accuracy_t[seed]) for seed in range(8)}
    assert min(keys[seed] for seed, _ in winners) >= max(keys[seed] for seed in lost)

    command.run(chosen, SEARCH)
    assert len(trained) == 10  # nothing is done twice
    command.run(chosen, SEARCH | {"race": False})
    assert sorted(trained[10:]) == [(seed, lengths[seed]) for seed in lost]  # a search takes over what ran to its end
    whole = pandas.read_csv(table)
    assert whole.groupby("seed").step.max().to_dict() == lengths
    for seed in range(8):
        part = whole[(whole.seed == seed) & whole.step.isin(raced[raced.seed == seed].step)]
        assert part.reset_index(drop=True).equals(raced[raced.seed == seed].reset_index(drop=True))
    command.run(chosen, SEARCH)
    assert len(trained) == 10 + len(lost) and pandas.read_csv(table).equals(whole)  # whole curves stay


@pytest.mark.end_to_end
def test_a_race_that_was_stopped_between_its_rounds_ends_as_one_that_was_not(
    tmp_path: Path, trained: list[tuple[int, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(outputs: str) -> pandas.DataFrame:
        chosen = command.AttackSettings(
            model="laboratory:filtered@tiny", kind="relearning_search", outroot=str(tmp_path / outputs), seeds="1"
        )
        command.run(chosen, SEARCH | {"search_trials": 4})
        return pandas.read_csv(tmp_path / outputs / "recovery" / "recovery.csv")

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        ends = iter([*range(3), None])
        before = attack_job.Run.carry_out

        def carry_out(self: attack_job.Run, tick: executor.Tick) -> None:
            if next(ends) is None:
                raise KeyboardInterrupt
            before(self, tick)

        patched.setattr(attack_job.Run, "carry_out", carry_out)
        run("killed")
    assert len(trained) == 3
    assert run("killed").equals(run("undisturbed"))
    assert len(trained) == 3 + 2 + 5
