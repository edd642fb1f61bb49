"""A sweep's file: what it comes to, and what is refused with its line and the nearest name."""

from __future__ import annotations

from pathlib import Path

import pytest

from brittle.commands.sweep_stages import attack_settings
from brittle.settings import BadInput
from brittle.sweeps.configurations import Configuration, configurations, share
from brittle.sweeps.file import Stage, raced, read

ROOT = Path(__file__).parent.parent
HEAD = "base: laboratory:base@tiny\n"


def expanded(tmp_path: Path, text: str, environment: dict[str, str] | None = None) -> list[Configuration]:
    path = tmp_path / "sweep.yaml"
    path.write_text(text)
    return configurations(read(str(path)), environment or {})


@pytest.mark.parametrize(("name", "number"), [("documented", 96), ("laboratory", 96), ("sweep2", 144)])
def test_the_files_of_the_checkout_come_to_as_many(name: str, number: int) -> None:
    found = configurations(read(str(ROOT / "sweeps" / f"{name}.yaml")), {})
    assert len(found) == number == len({each.title for each in found})


def test_the_documented_sweep_is_the_documented_one() -> None:
    found = configurations(read(str(ROOT / "sweeps" / "documented.yaml")), {"BASE": "somebody/model"})
    training = [each.resolved.training for each in found]
    assert {each.resolved.make.model for each in found} == {"somebody/model"}
    assert {(t.batch_size, t.eval_split, t.max_length) for t in training} == {(4, 0.1, 512)}
    assert {t.lr for t in training} == {1.2e-5, 3e-5, 1e-5} and {t.epochs for t in training} == {1, 3}
    layered = [each for each in found if each.resolved.make.method in ("rmu", "cb", "lat", "cb_lat")]
    assert len(layered) == 48 and len({each.resolved.method.layer_id for each in layered}) == 2
    assert {len([e for e in found if e.resolved.make.method == m]) for m in ("ga", "npo", "wt_dist_reg")} == {6}


def test_a_grid_is_every_combination_of_every_block(tmp_path: Path) -> None:
    found = expanded(
        tmp_path,
        HEAD + "seeds: [1, 2]\nmodels:\n  - method: [npo, dpo]\n    lr: [1e-3, 2e-3]\n  - {method: ga, lr: 1e-4}\n",
    )
    assert [each.title for each in found][:3] == ["npo lr=1e-3 seed=1", "npo lr=1e-3 seed=2", "npo lr=2e-3 seed=1"]
    assert len(found) == (2 * 2 + 1) * 2
    assert {each.resolved.training.seed for each in found} == {1, 2}


def test_values_that_come_to_the_same_settings_count_once(tmp_path: Path) -> None:
    found = expanded(
        tmp_path, HEAD + "models:\n  - {method: npo, lr: [1e-3, 0.001, 2e-3]}\n  - {method: npo, lr: 1e-3}\n"
    )
    assert len(found) == 2


def test_a_list_in_the_list_is_one_value(tmp_path: Path) -> None:
    found = expanded(tmp_path, HEAD + "models:\n  - {method: rmu, layer_id: [[0, 1], [1]]}\n")
    assert [each.resolved.method.layer_id for each in found] == [(0, 1), (1,)]


def test_the_file_wins_over_the_environment(tmp_path: Path) -> None:
    text = HEAD + "models:\n  - {method: npo, lr: 1e-3}\n"
    (found,) = expanded(tmp_path, text, {"LR": "9", "EPOCHS": "3", "BASE": "other"})
    assert (found.resolved.training.lr, found.resolved.training.epochs) == (1e-3, 3)
    assert found.resolved.make.model == "laboratory:base@tiny"


def test_a_random_search_is_drawn_within_its_bounds_and_again_alike(tmp_path: Path) -> None:
    text = HEAD + (
        "search: random\ntrials: 40\nmodels:\n  - method: [npo, dpo]\n    lr: {from: 1e-5, to: 1e-1, scale: log}\n"
        "    beta: {from: 0.1, to: 0.5}\n    epochs: [1, 2, 3]\n"
    )
    found = expanded(tmp_path, text)
    rates = [each.resolved.training.lr for each in found]
    assert len(found) == 40 == len({each.title for each in found})
    assert all(1e-5 <= rate <= 1e-1 for rate in rates) and all(0.1 <= e.resolved.method.beta <= 0.5 for e in found)
    assert 10 <= sum(rate < 1e-3 for rate in rates) <= 30  # half of the range's logarithm
    assert [each.title for each in expanded(tmp_path, text)] == [each.title for each in found]
    assert [e.title for e in expanded(tmp_path, text + "search_seed: 1\n")] != [each.title for each in found]


def test_a_random_search_of_fewer_than_asked_for_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="5 different configurations were asked for, and 2 were found"):
        expanded(tmp_path, HEAD + "search: random\ntrials: 5\nmodels:\n  - {method: npo, lr: [1e-3, 2e-3]}\n")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("models:\n  - {method: rmuu}\n", "line 3: unknown method 'rmuu'; did you mean rmu"),
        ("models:\n  - {method: rmu, lrr: 1}\n", "line 3: unknown name 'lrr'; did you mean lr"),
        ("modells:\n  - {method: rmu}\n", "line 2: unknown name 'modells'; did you mean models"),
        ("set: {preset: labratory}\nmodels:\n  - {method: rmu}\n", "'labratory' is not one of laboratory; did you mean laboratory"),
        ("models:\n  - {method: rmu, lr: abc}\n", "rmu lr=abc: --lr: 'abc' is not a valid float"),
        ("models:\n  - {method: rmu, lr: -1}\n", "--lr: -1.0 is out of range"),
        ("models:\n  - {method: lat, alpha: 1}\n", "--alpha is not used by lat"),
        ("models:\n  - {method: rmu, lr: []}\n", "line 3: 'lr' has no values"),
        ("models: []\n", "models must be a list"),
        ("set: {lr: 1}\n", "has no models"),
        ("models:\n  - {lr: 1}\n", "line 3: which method"),
        ("models:\n  - {method: rmu, lr: {from: 1, to: 2}}\n", "a grid needs a list of values"),
        ("search: random\nmodels:\n  - {method: rmu}\n", "add 'trials: 20'"),
        ("search: random\ntrials: 3\nmodels:\n  - {method: rmu, lr: {from: 2, to: 1}}\n", "2.0 is not below 1.0"),
        ("search: ga\nmodels:\n  - {method: rmu}\n", "'ga' is not one of grid, random"),
        ("diagnose: [weight_comparisn]\nmodels:\n  - {method: rmu}\n", "did you mean weight_comparison"),
        ("attack: {names: relearning, attack_stepz: 3}\nmodels:\n  - {method: rmu}\n", "did you mean attack-steps"),
        ("attack: {names: quantization, attack_steps: 3}\nmodels:\n  - {method: rmu}\n", "line 2: 'attack_steps' is not read by quantization"),
        ("attack: {names: relearning, race: true}\nmodels:\n  - {method: rmu}\n", "'race' is not read by relearning"),
        ("diagnose: {names: weight_comparison, seeds: 1}\nmodels:\n  - {method: rmu}\n", "'seeds' is not read by weight_comparison"),
        ("attack: [relearning]\nset: {lora_rank: 2}\nmodels:\n  - {method: npo}\n", "add 'merge: true'"),
        ("models:\n  - {method: rmu, force: true}\n", "unknown name 'force'"),
        ("- 1\n", "must hold lines of NAME: VALUE"),
        ("models: [\n", "is no YAML"),
    ],
)  # fmt: skip
def test_refused_in_one_line(tmp_path: Path, text: str, words: str) -> None:
    head = "" if text.startswith("- 1") else HEAD
    with pytest.raises(BadInput) as refused:
        expanded(tmp_path, head + text)
    told = str(refused.value)
    assert words in told, told
    assert "\n" not in told


def test_attacks_that_can_race_do_where_it_is_asked_for_and_others_refuse() -> None:
    stage = raced(Stage(("quantization", "relearning_search"), {"budget": "quick"}))
    assert stage == Stage(("quantization", "relearning_search"), {"budget": "quick", "race": "true"})
    ready = attack_settings(stage)
    assert ready["relearning_search"].race and not hasattr(ready["quantization"], "race")
    for none in (None, Stage(("relearning",))):
        with pytest.raises(
            BadInput, match="--race is not used by this sweep's attacks; name relearning_from_examples or"
        ):
            raced(none)


def test_too_many_are_counted_before_any_is_made(tmp_path: Path) -> None:
    rates = ", ".join(f"{number}e-6" for number in range(1, 102))
    text = HEAD + f"seeds: [{', '.join(map(str, range(100)))}]\nmodels:\n  - {{method: npo, lr: [{rates}]}}\n"
    with pytest.raises(BadInput, match="10,100 configurations, more than 10,000; --yes"):
        expanded(tmp_path, text)


def test_shards_share_every_configuration(tmp_path: Path) -> None:
    every = configurations(read(str(ROOT / "sweeps" / "documented.yaml")), {})
    parts = [share(every, f"{number}/5") for number in range(1, 6)]
    assert sorted(each.title for part in parts for each in part) == sorted(each.title for each in every)
    assert max(map(len, parts)) - min(map(len, parts)) == 1
    for wrong in ("0/3", "4/3", "3", "a/b", "1/"):
        with pytest.raises(BadInput, match="--shard"):
            share(every, wrong)
