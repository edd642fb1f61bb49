"""What diagnostics are shown: one list of passes, one dispatch; a need that nothing meets is refused before any work."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from test_public_diagnosing import pair, place, run  # noqa: F401 (fixtures)

from brittle import discovery
from brittle.contracts import Findings
from brittle.records import Identity
from brittle.runs.chosen import chosen
from brittle.runs.listeners import Listener
from brittle.runs.observations import code_of, observe, read_by
from brittle.runs.passes import PASSES, READ, Pass
from brittle.runs.session import Subject
from brittle.settings import BadInput

SUBJECT: Any = SimpleNamespace(random=True)


class Fitter:
    """Counts; ``broken`` breaks it."""

    def __init__(self, _settings: Any) -> None:
        self.seen: list[Any] = []

    def update(self, observation: Any) -> None:
        if observation == "broken":
            raise ZeroDivisionError
        self.seen.append(observation)

    def finish(self) -> Findings:
        return Findings({})


def listener(*needs: str) -> Listener:
    return Listener(SimpleNamespace(NEEDS=needs, Fitter=Fitter), None, Identity("one", {}, {}))  # type: ignore[arg-type]


def showing(*observations: Any) -> Any:
    def show(listeners: list[Listener], _subject: Subject) -> None:
        for observation in observations:
            if isinstance(observation, Exception):
                raise observation
            for each in listeners:
                each.fitter.update(observation)
                each.control.update(f"random {observation}")

    return show


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> Any:
    """``passes(echo=Pass(...))`` adds kinds of observation for one test."""

    def add(**kinds: Pass) -> None:
        for need, kind in kinds.items():
            monkeypatch.setitem(PASSES, need, kind)  # type: ignore[arg-type]

    return add


def test_a_new_kind_of_pass_is_one_entry(passes: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    passes(echo=Pass(showing("a", "b"), "brittle.models.lenses", ("questions",), ("pair",)))
    one, other = listener("echo"), listener("weights")
    other.problem = ValueError("is left alone")
    observe([one, other], SUBJECT)
    assert (one.fitter.seen, one.control.seen) == (["a", "b"], ["random a", "random b"]) and one.problem is None
    plugin = discovery.plugins("diagnostics")["weight_comparison"]
    without = code_of(plugin.module, ["weights"])
    monkeypatch.setitem(plugin.constants, "NEEDS", ("weights", "echo"))
    assert [each.name for each, _ in chosen({}, [plugin.name])] == [plugin.name]
    assert read_by([plugin]) == {"param_dtype", "questions"} <= READ.keys()
    assert code_of(plugin.module, ["weights", "echo"]) != without


def test_kinds_are_shown_in_the_order_of_the_list(passes: Any) -> None:
    passes(first=Pass(showing(1), None, ()), second=Pass(showing(2), None, ()))
    each = listener("second", "first")
    observe([each], SUBJECT)
    assert each.fitter.seen == [1, 2]


def test_a_shared_pass_that_breaks_is_everybodys_and_one_alone_its_own(passes: Any) -> None:
    passes(shared=Pass(showing(1, OSError("disk")), None, ()), alone=Pass(showing("broken"), None, (), alone=True))
    sharing = [listener("shared"), listener("shared")]
    observe(sharing, SUBJECT)
    assert [str(each.problem) for each in sharing] == ["disk", "disk"]
    one, other = listener("alone"), listener("alone")
    other.module.Fitter = type("Well", (Fitter,), {"update": lambda self, observation: self.seen.append(observation)})
    observe([one, other], SUBJECT)
    assert isinstance(one.problem, ZeroDivisionError) and other.problem is None and other.fitter.seen == ["broken"]
    assert not one.time.shared_with and not other.time.shared_with


@pytest.mark.parametrize(
    ("needs", "wrong"), [("wheights", "wheights"), (("weights", "echos"), "echos"), ("questions", "questions")]
)
def test_a_need_that_nothing_meets_is_refused_before_any_work(
    run: Any, place: Any, needs: Any, wrong: str, monkeypatch: pytest.MonkeyPatch  # noqa: F811
) -> None:  # fmt: skip
    plugin = discovery.plugins("diagnostics")["weight_comparison"]
    monkeypatch.setitem(plugin.constants, "NEEDS", needs)
    with pytest.raises(BadInput, match=f"NEEDS has '{wrong}'.*shown of a pair; there is weights, activations"):
        list(chosen({}))
    code, said = run("diagnose", "weight_comparison", *pair(place), "--outroot", place / "none")
    assert code == 2 and said.count("\n") == 1 and f"NEEDS has '{wrong}'" in said
    assert not (place / "none").exists()
