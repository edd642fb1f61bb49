"""What a tired researcher does by mistake: base and model swapped, a comparison into a folder that attacks wrote to."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import reports_tree

from brittle.models.references import Located
from brittle.results.outputs import gather
from brittle.results.verdicts import Because, Judgement, answer
from brittle.runs import attack_checks, roles
from brittle.runs.roles import Arm
from brittle.settings import BadInput


@pytest.fixture
def outputs(tmp_path: Path) -> Path:
    return reports_tree.build(tmp_path / "outputs")


def arm(folder: Path, role: str, name: str, digest: str) -> Arm:
    return Arm(Located(name, name, folder, digest), role)


def test_a_base_that_was_made_from_the_model_is_refused(tmp_path: Path) -> None:
    made = tmp_path / "made"
    made.mkdir()
    (made / "record.json").write_text(json.dumps({"kind": "unlearned model", "inputs": {"base": "0f"}}))
    swapped = [arm(made, "base", "made", "1a"), arm(tmp_path, "unlearned", "origin", "0f")]
    with pytest.raises(BadInput, match="made was made from origin, so it cannot be the base of it; .* swapped"):
        attack_checks.check_arms(swapped)


def test_a_comparison_beside_the_same_base_keeps_the_attacked_references(outputs: Path) -> None:
    plan = json.loads((outputs / "comparison.json").read_text())
    for number, entry in enumerate(plan["models"]):
        entry["digest"] = f"digest {number}"
    (outputs / "comparison.json").write_text(json.dumps(plan))
    named = {entry["role"]: entry for entry in plan["models"]}
    base, filtered, unlearned = (named[role] for role in ("base", "filtered", "unlearned"))
    (outputs / "recovery" / "runs" / f"{filtered['name']}__relearning__seed42").mkdir(parents=True)
    arms = [arm(outputs, each["role"], each["name"], each["digest"]) for each in (base, unlearned)]
    roles.describe(outputs, arms, [(arms[0].located, arms[1].located)])
    found = gather(outputs)
    assert [model.name for model in found.of_role("filtered")] == [filtered["name"]]
    assert found.of_role("retrained") == [] or all(
        model.name != "laboratory_retrained" for model in found.of_role("retrained")
    )
    assert answer(found, found.model(unlearned["name"])).because is not Because.NO_FILTERED
    other = [arm(outputs, "base", "another", "another"), arms[1]]
    roles.describe(outputs, other, [(other[0].located, other[1].located)])
    assert not gather(outputs).of_role("filtered"), "beside another base the former references say nothing"


def test_a_base_that_knows_no_more_than_the_filtered_model_allows_no_verdict(outputs: Path) -> None:
    plan = json.loads((outputs / "comparison.json").read_text())
    roles_of = {entry["name"]: entry["role"] for entry in plan["models"]}
    swap = {"base": "filtered", "filtered": "base"}
    for entry in plan["models"]:
        entry["role"] = swap.get(entry["role"], entry["role"])
    plan["comparisons"] = []
    (outputs / "comparison.json").write_text(json.dumps(plan))
    data = gather(outputs)
    for model in data.of_role("unlearned"):
        assert roles_of[model.name] == "unlearned"
        found = answer(data, model)
        assert found.judgement is Judgement.CANNOT_TELL
        assert found.because in (Because.NO_SCALE, Because.BASE_CANNOT_ANSWER)


def test_a_comparison_that_one_diagnostic_left_is_shown_though_nothing_lists_it(outputs: Path) -> None:
    before = gather(outputs).comparisons
    plan = json.loads((outputs / "comparison.json").read_text())
    (outputs / "comparison.json").write_text(json.dumps(plan | {"comparisons": []}))
    after = gather(outputs).comparisons
    assert {each.folder for each in after} == {each.folder for each in before if each.a == after[0].a}
