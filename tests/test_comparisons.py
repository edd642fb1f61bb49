# ruff: noqa: F811 (the fixture is imported)
"""The parts of a comparison in worker processes: shares of equal work, the same tables, failures in words."""

from __future__ import annotations

from pathlib import Path

import pandas
import pytest
from test_jobs import place, session_in  # noqa: F401 (place is a fixture)

from brittle.models import devices
from brittle.models.references import Located, locate
from brittle.runs import comparisons
from brittle.runs.diagnosis import Comparison


def models_in(place: Path) -> tuple[Located, Located]:
    return locate(str(place / "base")), locate(str(place / "unlearned"))


def measured(place: Path, outputs: str, workers: int, monkeypatch: pytest.MonkeyPatch, **changes: object) -> Comparison:
    monkeypatch.setattr(comparisons, "side_by_side", lambda *_: workers)
    session = session_in(place)
    session.outputs = place / outputs
    session.only = ("weight_comparison", "activation_comparison", "linear_probes")
    for name, value in changes.items():
        setattr(session, name, value)
    base, unlearned = models_in(place)
    comparisons.carry_out(session, [(base, unlearned), (base,), (unlearned,)])
    return session


def test_shares_keep_the_order_and_hold_about_equal_work(place: Path) -> None:
    base, unlearned = models_in(place)
    parts: list[comparisons.Part] = [(base, unlearned), (base,), (unlearned,), (unlearned, base)]
    shares = comparisons.divided(parts, 2)
    assert shares == [[parts[0], parts[3]], [parts[1], parts[2]]] or sorted(map(len, shares)) == [2, 2]
    assert sorted(parts.index(part) for share in shares for part in share) == [0, 1, 2, 3]
    assert all([*map(parts.index, share)] == sorted(map(parts.index, share)) for share in shares)
    assert abs(sum(map(len, shares[0])) - sum(map(len, shares[1]))) <= 2


def test_side_by_side_gives_the_tables_of_one_after_the_other(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for outputs, workers in (("one", 1), ("two", 2)):
        assert measured(place, outputs, workers, monkeypatch).failures == []
    found = {
        outputs: {path.relative_to(place / outputs): path for path in (place / outputs).rglob("*.csv")}
        for outputs in ("one", "two")
    }
    assert found["one"].keys() == found["two"].keys() and len(found["one"]) >= 5
    for name, path in found["one"].items():
        pandas.testing.assert_frame_equal(pandas.read_csv(path), pandas.read_csv(found["two"][name]), rtol=1e-5)


def test_what_fails_in_a_worker_is_listed_in_words_and_stops_nothing(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = {"overrides": {"max_length": 1}}
    alone = measured(place, "one", 1, monkeypatch, **texts)
    beside = measured(place, "two", 2, monkeypatch, **texts)
    told = [
        sorted((each.diagnostic, each.where, each.reason) for each in session.failures) for session in (alone, beside)
    ]
    assert told[0] == told[1] and told[0]
    assert list((place / "two").glob("*/weight_comparison/per_layer.csv"))


def test_memory_bounds_how_many_run_at_once(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    base, unlearned = models_in(place)
    size = sum(comparisons._size(model) for model in (base, unlearned))
    session = session_in(place)
    monkeypatch.setattr(comparisons.os, "cpu_count", lambda: 4)
    for room, expected in ((0.5, 1), (1.5, 1), (2.5, 2), (100, 4)):
        monkeypatch.setattr(devices, "free_memory", lambda _, room=room: room * comparisons.ROOM * size)
        assert comparisons.side_by_side(session, [(base, unlearned), (base,)]) == expected
    session.param_device = "cuda:0"
    assert comparisons.side_by_side(session, [(base, unlearned)]) == 1
