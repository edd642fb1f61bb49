"""A search by Optuna: what it proposes lies in the space, it gets better, and it goes on where it was stopped."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from test_sweep_driver import Job, Script

from brittle import leases
from brittle.settings import BadInput
from brittle.sweeps.configurations import configurations
from brittle.sweeps.driver import Driver, Entry, Status
from brittle.sweeps.file import read
from brittle.sweeps.optuna_search import study
from brittle.sweeps.space import Alternatives, Block, Given, Range
from brittle.sweeps.state import Place

pytest.importorskip("optuna")
BLOCKS = (
    Block("here", ("npo", "dpo"), {"lr": Range(1e-6, 1e-1, "log"), "epochs": Alternatives(["1", "2"])}),
    Block("there", ("rmu",), {"layer_id": Alternatives(["0,1", "1"])}),
)


def worth(given: Given) -> float:
    """Best at lr 1e-3 with two epochs; RMU is worth little."""
    if given["method"] == "rmu":
        return -4.0
    return -abs(math.log10(float(given["lr"])) + 3) - (given["epochs"] == "1")


def test_configurations_lie_in_the_space_and_a_search_beats_chance(tmp_path: Path) -> None:
    found = []
    with study(tmp_path, BLOCKS, {"model": "base"}, 40, 0) as own:
        while asked := own.ask():
            number, given = asked
            found.append(given)
            own.tell(number, worth(given))
    assert len(found) == 40
    for given in found:
        block = next(each for each in BLOCKS if given["method"] in each.methods)
        assert set(given) == {"method", "model", *block.values}
        if "lr" in given:
            assert 1e-6 <= float(given["lr"]) <= 1e-1
    assert sum(map(worth, found[20:])) > sum(map(worth, found[:10])) * 2 + 5
    assert max(map(worth, found)) > -0.2


def test_a_search_that_was_stopped_asks_first_what_it_left_open(tmp_path: Path) -> None:
    with study(tmp_path, BLOCKS, {}, 5, 0) as own:
        number, first = own.ask() or (0, {})
        own.tell(number, 1.0)
        _, left_open = own.ask() or (0, {})
    with study(tmp_path, BLOCKS, {}, 5, 0) as own:
        assert own.known() == [first]
        number, again = own.ask() or (0, {})
        assert again == left_open
        own.tell(number, None)  # it failed: that counts as a trial, too
        for _ in range(3):
            number, _given = own.ask() or (0, {})
            own.tell(number, 0.0)
        assert own.ask() is None and len(own.known()) == 5


def test_a_search_that_goes_on_does_not_repeat_its_first_draws(tmp_path: Path) -> None:
    block = Block("here", ("npo",), {"lr": Range(1e-6, 1e-1, "log")})
    found = []
    for trials in (3, 6):
        with study(tmp_path, (block,), {}, trials, 0) as own:
            while asked := own.ask():
                found.append(asked[1]["lr"])
                own.tell(asked[0], 0.0)
    assert len(found) == 6 == len(set(found))


def test_one_process_drives_a_search(tmp_path: Path) -> None:
    with study(tmp_path, BLOCKS, {}, 5, 0):
        assert leases.is_held(tmp_path / "search.log")


def test_the_driver_asks_for_more_where_there_is_room_and_tells_what_ended(tmp_path: Path) -> None:
    waiting = [Entry(Job(title)) for title in "abcde"]
    ended: list[tuple[str, Status]] = []
    pool = Script({"c": [ValueError("no")]}, slots=2)
    driver = Driver(pool, Place(tmp_path), [])
    driver.more = lambda: waiting.pop(0) if waiting else None
    driver.ended = lambda entry: ended.append((entry.job.title, entry.status))
    driver.run()
    assert [title for title, _ in pool.begun] == list("abcde") and pool.most == 2
    assert sorted(ended) == [(title, Status.FAILED if title == "c" else Status.DONE) for title in "abcde"]


def sweep_of(tmp_path: Path, text: str) -> list[str]:
    path = tmp_path / "sweep.yaml"
    path.write_text("base: laboratory:base@tiny\nsearch: optuna\ntrials: 9\n" + text)
    return [each.title for each in configurations(read(str(path)), {})]


def test_the_corners_of_the_space_show_what_does_not_fit(tmp_path: Path) -> None:
    corners = sweep_of(
        tmp_path, "models:\n  - {method: [npo, dpo], lr: {from: 1e-4, to: 1e-2, scale: log}, epochs: [1, 2]}\n"
    )
    assert corners == [
        "npo lr=0.0001 epochs=1",
        "npo lr=0.01 epochs=1",
        "npo lr=0.0001 epochs=2",
        "dpo lr=0.0001 epochs=1",
    ]
    with pytest.raises(BadInput, match="--alpha is not used by lat"):
        sweep_of(tmp_path, "models:\n  - {method: [cb, lat], alpha: [1, 2]}\n")
    with pytest.raises(BadInput, match="one base and one seed"):
        sweep_of(tmp_path, "seeds: [1, 2]\nmodels:\n  - {method: npo}\n")
