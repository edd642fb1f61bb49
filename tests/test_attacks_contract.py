"""What every file of ``attacks/`` must offer, whatever it does."""

from __future__ import annotations

import dataclasses
import importlib.util

import pytest
from test_attacks_that_train import Watched

from brittle import discovery
from brittle.models.reweighting import all_parameters
from brittle.runs import attack
from brittle.settings import check, resolve

ATTACKS = discovery.plugins("attacks")
FEW = {
    "search_trials": 1,
    "folds": 2,
    "attack_examples": (1, 2),
    "repair_steps": 2,
    "pruning_texts": 4,
    "ablation_texts": 4,
}


@pytest.fixture(params=ATTACKS)
def plugin(request: pytest.FixtureRequest) -> discovery.Plugin:
    return ATTACKS[request.param]


def test_it_says_what_it_shows_how_it_is_read_and_where_it_comes_from(plugin: discovery.Plugin) -> None:
    constants, module = plugin.constants, plugin.load()
    assert plugin.summary.endswith(("?", ".")) and "Source:" in module.__doc__
    assert constants["TEACHES"] in ("T", "retain", "nothing")
    assert not {"STRENGTH", "TRIALS"} <= constants.keys()
    assert constants["TEACHES"] == "T" or "STRENGTH" in constants, "T is not learned, so V cannot be read there"
    fields = {field.name for field in dataclasses.fields(module.Settings)}
    assert {constants[key] for key in ("STRENGTHS", "TRIALS") if key in constants} <= fields
    check(module.Settings())
    resolve(module.Settings, {}, preset=constants.get("QUICK", {}))
    assert set(constants.get("QUICK", {})) <= fields


@pytest.mark.parametrize("architecture", ["gpt_neox", "llama"])
def test_it_asks_first_and_gives_what_it_asked(plugin: discovery.Plugin, architecture: str) -> None:
    package = plugin.constants.get("NEEDS_PACKAGE")
    if package and importlib.util.find_spec(package) is None:
        pytest.skip(f"{package} is not installed")
    module, watched = plugin.load(), Watched(architecture)
    evaluations = watched.run(module, **FEW)
    assert len(evaluations) >= 2 and evaluations[0].step == 0 and evaluations[0].strength == 0
    assert all(watched.seen[0].get(name, weight).equal(weight) for name, weight in watched.before.items()), (
        "asked after it began"
    )
    steps = [evaluation.step for evaluation in evaluations]
    assert steps == sorted(set(steps))
    if "STRENGTHS" in plugin.constants or "folds" in {f.name for f in dataclasses.fields(module.Settings)}:
        after = all_parameters(watched.loaded)
        assert all(after[name].equal(weight) for name, weight in watched.before.items()), "the model is not as it was"


def test_budgets_and_missing_bases_choose_among_them(monkeypatch: pytest.MonkeyPatch) -> None:
    everything, quick = set(attack.names_of(None)), set(attack.names_of(None, "quick"))
    assert quick < everything and {"relearning", "quantization", "few_shot"} <= quick
    assert everything - set(attack.names_of(None, base=False)) == {
        n for n, p in ATTACKS.items() if p.constants.get("NEEDS_BASE")
    }
    monkeypatch.setitem(ATTACKS["relearning"].constants, "NEEDS_PACKAGE", "no_such_package")
    assert "relearning" not in attack.names_of(None)
    with pytest.raises(Exception, match="relearning needs the package no_such_package"):
        attack.check_needs(["relearning"], None)
