"""The seconds on a record are the work that the result cost, with the passes it was shown."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tiny_models import TEXTS, tiny_model_folder

from brittle import records
from brittle.models import observation
from brittle.models.references import locate
from brittle.records import Identity, writing
from brittle.runs.diagnosis import Comparison
from brittle.runs.material import Material
from brittle.runs.work_time import WorkTime, working


class Clock:
    """Seconds that pass only when a test says so."""

    now = 50.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(records, "clock", clock)
    return clock


def record(folder: Path) -> dict:
    return json.loads((folder / "record.json").read_text())


def test_every_second_belongs_to_the_innermost_block(clock: Clock) -> None:
    one, other = WorkTime("one"), WorkTime("other")
    with working(one, other):
        clock.now += 100  # the pass itself
        for each, seconds in ((one, 7), (other, 2)):
            with working(each):
                clock.now += seconds
        with working(one):
            clock.now += 1
    assert (one.own, one.shared, one.seconds, one.shared_with) == (8, 100, 108, {"other"})
    assert (other.own, other.shared, other.seconds, other.shared_with) == (2, 100, 102, {"one"})


def test_a_pass_for_one_alone_is_its_own(clock: Clock) -> None:
    one = WorkTime("one")
    with working(one):
        clock.now += 600
        with working(one):
            clock.now += 5
    assert (one.own, one.shared, one.shared_with) == (605, 0, set())


def test_a_block_that_fails_counts_too(clock: Clock) -> None:
    one, other = WorkTime("one"), WorkTime("other")
    with working(other):
        with pytest.raises(ValueError), working(one):
            clock.now += 3
            raise ValueError
        clock.now += 1
    assert (one.own, other.own) == (3, 1)


def test_a_record_adds_what_was_done_before_it_was_written(clock: Clock, tmp_path: Path) -> None:
    with writing(tmp_path / "alone", Identity("lens", {}, {})) as draft:
        clock.now += 0.95
        draft.took(600)
    assert record(tmp_path / "alone")["seconds"] == 600.95
    assert "shared_seconds" not in record(tmp_path / "alone")
    with writing(tmp_path / "shared", Identity("lens", {}, {})) as draft:
        clock.now += 1
        draft.took(600, 400, {"b", "a"})
    found = record(tmp_path / "shared")
    assert (found["seconds"], found["shared_seconds"], found["shared_with"]) == (601, 400, ["a", "b"])
    with writing(tmp_path / "nothing", Identity("lens", {}, {})):
        clock.now += 2
    assert record(tmp_path / "nothing")["seconds"] == 2


def test_a_session_writes_the_pass_on_every_record(
    clock: Clock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    """Two diagnostics of the same texts share a pass of ten minutes; one that reads weights does not."""
    watch = observation.observe

    def slowly(*arguments: object, **named: object) -> None:
        clock.now += 600
        watch(*arguments, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(observation, "observe", slowly)
    a, b = (locate(str(tiny_model_folder(tmp_path / name, "gpt_neox", seed))) for seed, name in enumerate("ab"))
    texts = {"forget": list(TEXTS), "retain": list(TEXTS)}
    names = ("activation_comparison", "activation_covariance", "weight_comparison")
    session = Comparison(tmp_path / "out", Material(texts, {}), device="cpu", only=names, random=False)
    folder = session.pair(a, b)
    session.raise_failures()
    one, other, weights = (record(folder / name) for name in names)
    assert (one["seconds"], one["shared_seconds"], one["shared_with"]) == (600, 600, [names[1]])
    assert (other["seconds"], other["shared_seconds"], other["shared_with"]) == (600, 600, [names[0]])
    assert weights["seconds"] == 0 and "shared_with" not in weights
    assert (
        "measured activation_comparison, activation_covariance" in capsys.readouterr().err
    )  # where there is no terminal, diagnosing is not silent
