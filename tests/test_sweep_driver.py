"""What the driver does when jobs end, fail, are lost, run out of memory, are done elsewhere, or do not fit on the disk."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from brittle import leases
from brittle.runs.executor import Tick
from brittle.sweeps import driver as drivers
from brittle.sweeps.driver import Driver, Entry, Status
from brittle.sweeps.pools import Ended, Lost, SweepJob
from brittle.sweeps.state import Place


@dataclass
class Job:
    title: str

    def carry_out(self, tick: Tick) -> str:
        return "done"


@dataclass
class Script:
    """A pool that ends jobs as the test says: by title, one answer for each time that it is begun."""

    answers: dict[str, list[BaseException | str]]
    slots: int = 2
    gpus: int = 0
    begun: list[tuple[str, int]] = field(default_factory=list)
    running: dict[int, tuple[str, int]] = field(default_factory=dict)
    most: int = 0
    before_wait: Callable[[], None] = lambda: None

    def room(self, gpus: int) -> bool:
        return len(self.running) < self.slots and sum(g for _, g in self.running.values()) + gpus <= self.gpus

    def submit(self, key: int, job: SweepJob, gpus: int) -> None:
        self.begun.append((job.title, gpus))
        self.running[key] = job.title, gpus
        self.most = max(self.most, len(self.running))

    def wait(self, seconds: float) -> list[Ended]:
        self.before_wait()
        if not self.running:
            return []
        key, (title, _) = next(iter(self.running.items()))
        del self.running[key]
        answer = self.answers.get(title, ["done"]).pop(0)
        return [Ended(key, answer) if isinstance(answer, str) else Ended(key, problem=answer)]

    def close(self) -> None:
        self.running = {}

    def end(self) -> None: ...


def driven(tmp_path: Path, pool: Script, titles: str, **more: object) -> Driver:
    gpus = int(str(more.pop("gpus_each", 0)))
    found = Driver(pool, Place(tmp_path), [Entry(Job(title), gpus=gpus) for title in titles.split()], **more)  # type: ignore[arg-type]
    found.run()
    return found


def test_every_job_runs_once_as_many_at_a_time_as_there_is_room_for(tmp_path: Path) -> None:
    pool = Script({}, slots=3)
    found = driven(tmp_path, pool, "a b c d e")
    assert [title for title, _ in pool.begun] == ["a", "b", "c", "d", "e"] and pool.most == 3
    assert {entry.status for entry in found.entries} == {Status.DONE}
    written = json.loads((tmp_path / "sweep.json").read_text())
    assert [(job["title"], job["status"]) for job in written["jobs"]] == [(title, "done") for title in "abcde"]


def test_a_failure_stops_no_other_and_keeps_its_reason(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = driven(tmp_path, Script({"b": [ValueError("no\nsuch thing")]}), "a b c")
    assert [entry.status for entry in found.entries] == [Status.DONE, Status.FAILED, Status.DONE]
    assert found.entries[1].reason == "no such thing"
    assert "failed: b: no such thing" in capsys.readouterr().err


def test_what_was_lost_is_begun_again_and_counts_as_failed_at_the_third_time(tmp_path: Path) -> None:
    pool = Script({"a": [Lost("gone"), "done"], "b": [Lost("gone"), Lost("gone"), Lost("gone")]})
    found = driven(tmp_path, pool, "a b")
    assert [entry.status for entry in found.entries] == [Status.DONE, Status.FAILED]
    assert [entry.tries for entry in found.entries] == [2, 3]


def test_out_of_memory_moves_to_twice_as_many_gpus_once(tmp_path: Path) -> None:
    full = RuntimeError("CUDA out of memory. Tried to allocate 2 GiB")
    pool = Script({"a": [full, "done"], "b": [full, full]}, gpus=8)
    found = driven(tmp_path, pool, "a b", gpus_each=1, most_gpus=8)
    assert [entry.status for entry in found.entries] == [Status.DONE, Status.FAILED]
    assert sorted(pool.begun) == [("a", 1), ("a", 2), ("b", 1), ("b", 2)]


def test_groups_of_gpus_never_exceed_what_there_is(tmp_path: Path) -> None:
    pool = Script({}, slots=8, gpus=8)
    driven(tmp_path, pool, "a b c d e f g h", gpus_each=4, most_gpus=8)
    assert pool.most == 2 and len(pool.begun) == 8


def test_what_another_process_does_is_left_alone(tmp_path: Path) -> None:
    found = driven(tmp_path, Script({"a": [leases.Busy("x is being written by process 7 on there; wait")]}), "a b")
    assert [entry.status for entry in found.entries] == [Status.ELSEWHERE, Status.DONE]
    assert "process 7 on there" in found.entries[0].reason


def test_nothing_begins_after_a_first_stop_and_what_runs_is_heard(tmp_path: Path) -> None:
    pool = Script({}, slots=2)
    found = Driver(pool, Place(tmp_path), [Entry(Job(title)) for title in "abcd"])
    pool.before_wait = found.stop
    found.run()
    assert [entry.status for entry in found.entries] == [Status.DONE, Status.DONE, Status.QUEUED, Status.QUEUED]


def test_an_exception_ends_the_pool_and_leaves_what_ran_queued(tmp_path: Path) -> None:
    pool = Script({})

    def stopped() -> None:
        raise KeyboardInterrupt

    pool.before_wait = stopped
    found = Driver(pool, Place(tmp_path), [Entry(Job(title)) for title in "abc"])
    with pytest.raises(KeyboardInterrupt):
        found.run()
    assert not pool.running and [entry.status for entry in found.entries] == [Status.QUEUED] * 3
    assert {job["status"] for job in json.loads((tmp_path / "sweep.json").read_text())["jobs"]} == {"queued"}


def test_notes_of_those_that_were_ended_go_and_those_of_others_at_work_stay(tmp_path: Path) -> None:
    place = Place(tmp_path)
    place.notes.mkdir()
    for name in ("ended", "elsewhere"):
        place.note(name).write_text('{"title": "another"}')
    place.record("elsewhere").parent.mkdir()
    with leases.held(place.record("elsewhere")):
        driven(tmp_path, Script({}), "a")
        assert [path.stem for path in place.notes.iterdir()] == ["elsewhere"]


def test_no_job_begins_whose_checkpoint_would_not_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    free = [250]
    monkeypatch.setattr(drivers.shutil, "disk_usage", lambda _path: drivers.shutil._ntuple_diskusage(1000, 0, free[0]))
    pool = Script({}, slots=4)
    found = driven(tmp_path, pool, "a b c d", bytes_of_model=100)
    assert pool.most == 2 and {entry.status for entry in found.entries} == {Status.DONE}
    free[0] = 50
    found = driven(tmp_path, Script({}), "a b", bytes_of_model=100)
    assert found.entries[0].status == Status.NO_ROOM and found.entries[1].status == Status.QUEUED
