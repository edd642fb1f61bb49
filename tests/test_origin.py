"""What a page rests on is named, and a page of records that mix versions is refused."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pandas
import pytest
from documented_commands import ROOT

from brittle.results.origin import rests_on
from brittle.settings import BadInput
from brittle.views import method_tables


def record(
    fingerprint: str, source: str = "c0de", torch: str = "2.15.0", kind: str = "causal_depth", **more: Any
) -> dict[str, Any]:
    return {
        "kind": kind,
        "fingerprint": fingerprint,
        "inputs": {"source": source},
        "versions": {"torch": torch},
        **more,
    }


def test_the_same_records_have_one_fingerprint_and_others_another() -> None:
    one = {"a/causal_depth": record("1"), "b/causal_depth": record("2")}
    assert rests_on([("base", one)]) == rests_on([("base", dict(reversed(one.items())))])
    found = {rests_on([("base", each)]) for each in (one, one | {"b/causal_depth": record("3")}, {"a": record("1")})}
    assert len(found) == 3
    assert all(re.fullmatch(r"records [0-9a-f]{16} \(torch 2\.15\.0\)", each) for each in found)
    assert rests_on([("base", {})]).startswith("records ")


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (
            record("2", source="0ther"),
            "records of causal_depth are mixed: base/a is of code c0de, base/b of code 0ther",
        ),
        (record("2", torch="2.14.0", kind="evals"), "base/a is of torch 2.15.0, base/b of torch 2.14.0"),
    ],
)
def test_records_of_two_versions_are_refused(other: dict[str, Any], said: str) -> None:
    with pytest.raises(BadInput, match=re.escape(said)):
        rests_on([("base", {"a": record("1"), "b": other})])


def test_kinds_and_attacks_have_code_of_their_own() -> None:
    attacks = {
        name: record(name, source=name, kind="attack", settings={"attack": name}) for name in ("relearning", "few_shot")
    }
    rests_on([("one", attacks), ("other", {"evals": record("9", source="x", kind="evals")})])
    rests_on([("one", {"broken": {"kind": 3, "inputs": [], "settings": None}})])


def test_a_table_of_methods_in_two_laboratories_is_refused(tmp_path: Path) -> None:
    table = pandas.read_csv(ROOT / "benchmarks" / "results" / "methods.csv")
    assert method_tables.read(ROOT / "benchmarks" / "results" / "methods.csv") is not None
    table.loc[table.index[0], "laboratory"] = "small-0-00000000"
    table.to_csv(tmp_path / "methods.csv", index=False)
    with pytest.raises(BadInput, match="several laboratories"):
        method_tables.read(tmp_path / "methods.csv")


@pytest.mark.parametrize("name", ["laboratory", "laboratory_attacks", "meta_evaluation", "references", "methods"])
def test_pages_of_the_laboratory_name_what_they_rest_on(name: str) -> None:
    text = (ROOT / "docs" / f"{name}.md").read_text(encoding="utf-8")
    named = (
        r"records [0-9a-f]{16} \(torch [\d.]+\)|references\.csv`? \([0-9a-f]{16}\)|the laboratory small-0-[0-9a-f]{8}"
    )
    assert len(set(re.findall(named, text))) == 1
