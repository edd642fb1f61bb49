"""What the laboratory promises: knowledge that is there or not there by construction, and presets that remove it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from brittle import discovery
from brittle.models.likelihood import score
from brittle.models.loading import load
from brittle.models.references import locate
from brittle.runs import job, unlearning
from brittle.runs.laboratory_models import build, find
from brittle.settings import BadInput
from brittle.suites.laboratory import Laboratory, parse

RELIABLE = {"grad_diff", "rmu", "cb_lat", "wt_dist"}
"""Methods of the demonstration: their presets do on every base that a build of torch has made so far."""
AT_LEAST = 16
"""How many presets must reach forget ≤ 45 % with retain ≥ 95 %. Which of the others do depends on rounding: another build
of torch trains another base of the same recipe, and a preset is tuned to one base (LAB_NOTEBOOK)."""
LEAST_KNOWN = {0: 0.97, 1: 0.90, 2: 0.90}
"""By world. The recipe was chosen on world 0; with torch 2.15 the base of world 1 came out at 95 %, with 2.13 at 97."""


def accuracies(folder: Path, laboratory: Laboratory) -> dict[str, float]:
    loaded = load(locate(str(folder)), "cpu", "fp32")
    questions = laboratory.questions()
    return {split: float(score(loaded, part, normalise=False).correct.mean()) for split, part in questions.items()}


@pytest.mark.slow
@pytest.mark.parametrize("world", [0, 1, 2])
def test_full_recipe_knows_and_does_not_know(world: int) -> None:
    laboratory = Laboratory("small", world)
    found = {name: accuracies(folder, laboratory) for name, folder in build(laboratory).items()}
    print(f"world {world}: {found}")
    for name in ("base", "retrained"):
        assert found[name]["forget"] >= LEAST_KNOWN[world]
        assert found[name]["retain"] >= LEAST_KNOWN[world]
    assert found["filtered"]["forget"] <= 0.32
    assert found["filtered"]["retain"] >= LEAST_KNOWN[world]


@pytest.mark.slow
def test_presets_unlearn_and_keep_the_rest(tmp_path: Path) -> None:
    methods = [name for name, plugin in discovery.plugins("methods").items() if "laboratory" in plugin.load().PRESETS]
    flags = {"model": "laboratory:base", "preset": "laboratory", "device": "cpu", "outdir": str(tmp_path)}
    models = [unlearning.Making(flags | {"method": name}) for name in methods]
    job.carry_out(models, "presets")
    reached = set()
    for name, model in zip(methods, models):
        summary = json.loads((model.folder / "summary.json").read_text())
        forget, retain = (summary["accuracy_t"] + summary["accuracy_v"]) / 2, summary["accuracy_retain"]
        print(f"{name}: forget {forget:.2f}, retain {retain:.2f}")
        assert forget < 0.9, f"{name} unlearns nothing"
        assert retain > 0.6, f"{name} destroys the model"
        if forget <= 0.45 and retain >= 0.95:
            reached.add(name)
    assert reached >= RELIABLE
    assert len(reached) >= AT_LEAST


@pytest.mark.end_to_end
def test_a_laboratory_is_the_same_wherever_it_is_built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = find("laboratory:filtered@tiny-0")
    monkeypatch.setenv("BRITTLE_HOME", str(tmp_path))
    assert find("laboratory:filtered@tiny-0").digest == first.digest


@pytest.mark.end_to_end
def test_tiny_models_differ_where_they_should() -> None:
    laboratory = Laboratory("tiny", 0)
    found = {name: accuracies(folder, laboratory) for name, folder in build(laboratory).items()}
    assert found["base"]["forget"] >= 0.7
    assert found["retrained"]["forget"] >= 0.7
    assert found["filtered"]["forget"] <= 0.45
    assert all(split["retain"] >= 0.7 for split in found.values())


def test_reference_names_size_and_world() -> None:
    name, laboratory = parse("laboratory:retrained@tiny-3")
    assert (name, laboratory) == ("retrained", Laboratory("tiny", 3))
    assert parse("laboratory:base") == ("base", Laboratory("small", 0))


@pytest.mark.parametrize(
    "reference", ["laboratory:unknown", "laboratory:base@", "laboratory:", "laboratory:base@tiny-x"]
)
def test_reference_that_names_nothing_is_refused(reference: str) -> None:
    with pytest.raises(BadInput, match="laboratory:base"):
        parse(reference)


def test_recipe_decides_the_folder() -> None:
    assert Laboratory("tiny", 0).folder != Laboratory("small", 0).folder
    assert Laboratory("tiny", 0).folder != Laboratory("tiny", 1).folder
