"""Attacks: what is refused before any work, what divergence means, and what decides that two runs are the same."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import numpy
import pandas
import pytest
import reports_tree
import torch
from test_attacks_that_train import Watched
from tiny_models import tiny_model_folder

from brittle import discovery
from brittle.attacks import few_shot, relearning, repair_then_attack, weight_noise
from brittle.commands import attack
from brittle.contracts import AttackFacts, Diverged
from brittle.data.multiple_choice import Question
from brittle.models.likelihood import Scores
from brittle.models.references import locate
from brittle.results.at_matched_t import MatchedRecovery, estimate
from brittle.results.chance import chance_test
from brittle.results.outputs import gather
from brittle.results.verdicts import Answer, AtMatchedT, Because, Judgement, answer, at_matched_t
from brittle.runs import attack_checks, laboratory_models
from brittle.runs.attack_job import Run, _choices
from brittle.runs.attack_material import Battlefield
from brittle.runs.roles import Arm
from brittle.settings import BadInput, resolve
from brittle.views import model_verdicts, words
from brittle.views.terminal import lines

FACTS = AttackFacts(layers=2, width=128, window=512, texts=100, retain_texts=50, entities=8)
TOO_MUCH = [
    ("relearning", "attack_batch_size", 10**30, "there are 100 texts"),
    ("relearning", "attack_batch_size", 101, "there are 100 texts"),
    ("relearning", "attack_max_length", 513, "512 positions"),
    ("lora_relearning", "attack_lora_rank", 10**5, "at most 128"),
    ("soft_prompts", "prompt_tokens", 10**5, "share 512 tokens"),
    ("relearning_folds", "folds", 100_000, "the questions have 8"),
    ("direction_ablation", "ablation_layers", (99,), "blocks are 0 to 1"),
    ("direction_ablation", "ablated_directions", (10**30,), "128 dimensions"),
    ("direction_removal", "directions", (129,), "at most 128"),
    ("quantization", "bits", (), "names nothing"),
    ("few_shot", "shots", (), "names nothing"),
    ("quantization", "bits", (4, 4), "stands there twice"),
]


@pytest.mark.parametrize(("name", "field", "value", "reason"), TOO_MUCH)
def test_values_that_no_worker_could_carry_out_are_refused_from_the_facts(name, field, value, reason) -> None:
    settings = discovery.find("attacks", name).load().Settings(**{field: value})
    with pytest.raises(BadInput, match=f"--{field.replace('_', '-')}.*{reason}"):
        attack_checks.check_settings({name: settings}, FACTS)


def test_defaults_are_never_too_much() -> None:
    least = AttackFacts(1, 8, 64, 4, 4, 5)
    attack_checks.check_settings({n: p.load().Settings() for n, p in discovery.plugins("attacks").items()}, least)


@pytest.mark.parametrize(
    ("name", "flag", "value"),
    [
        ("weight_noise", "noise_levels", "inf"), ("weight_noise", "noise_levels", "nan"),
        ("update_rescaling", "kept_shares", "nan"), ("update_rescaling", "kept_shares", "inf"),
        ("magnitude_pruning", "pruned_shares", "nan"), ("relearning", "attack_lr", "1e39"),
        ("relearning_search", "search_trials", "9" * 30), ("quantization", "bits", "16"),
    ],
)  # fmt: skip
def test_numbers_that_are_none_are_refused(name: str, flag: str, value: str) -> None:
    with pytest.raises(BadInput, match=f"--{flag.replace('_', '-')}"):
        resolve(discovery.find("attacks", name).load().Settings, {flag: value})


def chosen(**more: Any) -> attack.AttackSettings:
    return attack.AttackSettings(**{"model": "laboratory:base@tiny", "kind": "few_shot"} | more)


@pytest.mark.parametrize(
    ("more", "given", "reason"),
    [
        ({"kind": ""}, {}, "--kind: '' names nothing"),
        ({"kind": "few_shot,few_shot"}, {}, "--kind: few_shot stands there twice"),
        ({"model": "laboratory:base,laboratory:base"}, {}, "--model: laboratory:base stands there twice"),
        ({"base": "laboratory:base@tiny"}, {}, "named as base and as unlearned"),
        ({"base": "laboratory:retrained@tiny", "filtered": "laboratory:retrained@tiny"}, {}, "as base and as filtered"),
        ({"base": "laboratory:base@tiny-1"}, {}, "different laboratories"),
        ({"seeds": "7,7"}, {}, "a seed twice"),
        ({}, {"shots": ""}, "--shots:? names nothing"),
        ({"kind": "relearning_folds"}, {"folds": "100000"}, "--folds: 100000 folds"),
        ({"kind": "lora_relearning"}, {"attack_lora_rank": "100000"}, "--attack-lora-rank"),
    ],
)  # fmt: skip
def test_it_is_refused_before_a_laboratory_is_built(tmp_path, monkeypatch, more, given, reason) -> None:
    monkeypatch.setattr(laboratory_models, "build", lambda *_: pytest.fail("a model was built"))
    outputs = tmp_path / "outputs"
    with pytest.raises(BadInput, match=reason):
        attack.run(chosen(outroot=str(outputs), **more), given)
    assert not outputs.exists()


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("models")
    for number, where in enumerate(("one/checkpoint-500", "two/checkpoint-500")):
        tiny_model_folder(place / where, seed=number)
    tiny_model_folder(place / "copy", seed=0)
    tiny_model_folder(place / "mit raum", seed=3)
    tiny_model_folder(place / "deeper", num_hidden_layers=3)
    return place


def arms_of(place: Path, *parts: tuple[str, str]) -> list[Arm]:
    return [Arm(locate(str(place / where)), role) for where, role in parts]


def test_two_models_of_one_name_are_both_attacked_or_refused(folders: Path) -> None:
    arms = arms_of(folders, ("one/checkpoint-500", "unlearned"), ("two/checkpoint-500", "unlearned"))
    if arms[0].located.name == arms[1].located.name:
        with pytest.raises(BadInput, match="would both be written as"):
            attack_checks.check_arms(arms)
    else:
        attack_checks.check_arms(arms)
    with pytest.raises(BadInput, match="have the same weights"):
        attack_checks.check_arms(arms_of(folders, ("one/checkpoint-500", "base"), ("copy", "unlearned")))
    with pytest.raises(BadInput, match="differ in architecture"):
        attack_checks.check_arms(arms_of(folders, ("copy", "base"), ("deeper", "unlearned")))


def test_a_folder_with_a_space_is_one_model(folders: Path) -> None:
    parts = attack._parts(chosen(model=str(folders / "mit raum")))
    assert parts == [(str(folders / "mit raum"), "unlearned")]


def ends(watched: Watched, when: Any) -> Watched:
    """From then on the watched model cannot be asked."""
    evaluate = watched.target.evaluate

    def asked(step: int, seen: int, strength: float = 0.0, *rest: Any, **named: Any) -> Any:
        if when(step, strength):
            raise Diverged("the scores are not finite; lower it")
        return evaluate(step, seen, strength, *rest, **named)

    watched.target = dataclasses.replace(watched.target, evaluate=asked)
    return watched


def test_a_curve_ends_where_the_scores_are_no_numbers() -> None:
    watched = ends(Watched(), lambda step, _: step >= 2)
    assert [each.step for each in watched.run(relearning)] == [0, 1]
    assert [(each.step, each.reason) for each in watched.target.diverged] == [(1, "the scores are not finite")]
    repaired = ends(Watched(), lambda step, _: step == 2)
    assert [each.step for each in repaired.run(repair_then_attack, repair_steps=2)] == [0]


def test_a_strength_without_numbers_is_no_evaluation_and_the_others_count() -> None:
    watched = ends(Watched(), lambda _, strength: strength == 0.1)
    found = watched.run(weight_noise, noise_levels=(0.05, 0.1, 0.2))
    assert [each.strength for each in found] == [0, 0.05, 0.2]
    assert [each.strength for each in watched.target.diverged] == [0.1]


def test_scores_that_are_no_numbers_are_no_choices() -> None:
    def scores(values: list[list[float]]) -> Scores:
        return Scores(numpy.array([values]), numpy.zeros(len(values), dtype=int), "m", (1,))

    assert _choices(scores([[1.0, 2.0, -math.inf]])) == [1]
    for wrong in ([math.nan, 1.0], [math.inf, 1.0], [-math.inf, -math.inf]):
        with pytest.raises(BadInput, match="not finite"):
            _choices(scores([[1.0, 0.0], wrong]))


def diverged_tree(tmp_path: Path, keep: int = 0) -> Path:
    """Relearning of cb_lat gave no numbers after step ``keep`` in any seed."""
    outputs = reports_tree.build(tmp_path / "outputs")
    path = outputs / "recovery" / "recovery.csv"
    table = pandas.read_csv(path)
    mine = table["model"].str.contains("cb_lat")
    table[~mine | (table["step"] <= keep)].to_csv(path, index=False)
    rows = table[mine].drop_duplicates("seed")[["model", "role", "attack", "seed"]]
    rows = rows.assign(step=keep, strength=0.0, reason="the loss is not finite")
    rows.to_csv(outputs / "recovery" / "diverged.csv", index=False)
    return outputs


def test_a_model_whose_attack_diverged_is_not_robust(tmp_path: Path) -> None:
    data = gather(diverged_tree(tmp_path))
    model = next(model for model in data.models if model.label == "cb_lat")
    assert answer(data, model) == Answer(Judgement.CANNOT_TELL, Because.DIVERGED)
    row = next(row for row in data.matched if row.model == model.name)
    assert words.learned(row) == "cannot tell: the attack diverged" and row.diverged == 3
    assert not [each for each in data.worst if each.found.model == model.name]
    assert not [each for each in data.numbers if each.model == model.name]
    page = model_verdicts.verdicts(data)
    assert "cannot be told, because the attack diverged" in page and "cb_lat: cannot tell" in page
    assert any("cb_lat: relearning, seed 0, after step 0" in line for line in lines(data))


def test_without_the_note_the_same_tables_would_say_that_it_never_learned(tmp_path: Path) -> None:
    outputs = diverged_tree(tmp_path)
    (outputs / "recovery" / "diverged.csv").unlink()
    data = gather(outputs)
    assert words.learned(next(row for row in data.matched if "cb_lat" in row.model)) == "never learned T: no control"


def test_a_test_that_no_answers_could_pass_decides_nothing() -> None:
    def answers(number: int) -> pandas.DataFrame:
        facts = [f"e{i}/r" for i in range(number)]
        right = [i % 4 for i in range(number)]
        return pandas.DataFrame({"fact": facts, "choice_predicted": right, "choice_correct": right})

    few, many = chance_test(answers(2)), chance_test(answers(24))
    assert few.accuracy == many.accuracy == 1 and few.least == few.p >= 0.4 and many.least == many.p < 0.01
    row = MatchedRecovery("relearning", "m", "unlearned", 1, 1, 5, 1.0, v=estimate([1.0]), chance=few)
    assert at_matched_t(row, dataclasses.replace(row, role="filtered")) is AtMatchedT.TOO_FEW_QUESTIONS


def test_no_more_examples_are_claimed_than_were_shown() -> None:
    watched = Watched()
    watched.target = dataclasses.replace(watched.target, examples=["a", "b", "c"])
    assert [each.strength for each in watched.run(few_shot, shots=(1, 2, 50))] == [0, 1, 2, 3]


def field_of(text: str = "t") -> Battlefield:
    side = (Question("q?", ("a", "b"), 0, "s", "e/r", "e"),)
    return Battlefield((text,), {"t": side, "v": side, "retain": side})


def test_a_run_is_what_went_into_it_and_not_what_its_model_is_called(tmp_path: Path) -> None:
    tiny_model_folder(tmp_path / "one")
    first = locate(str(tmp_path / "one"))
    run = Run("quantization", discovery.find("attacks", "quantization").load().Settings(), Arm(first, "unlearned"), field_of(), 0, tmp_path, None)  # fmt: skip
    (tmp_path / "one").rename(tmp_path / "two")
    second = dataclasses.replace(run, arm=Arm(locate(str(tmp_path / "two")), "unlearned"))
    assert run.identity == second.identity
    assert run.identity.inputs["device"] == ("cuda" if torch.cuda.is_available() else "cpu")
    assert dataclasses.replace(run, field=field_of("u")).identity != run.identity
    assert dataclasses.replace(run, base=first).identity != run.identity
    long = dataclasses.replace(run, arm=Arm(dataclasses.replace(first, name="n" * 250), "unlearned"))
    assert len(long.folder.name) < 100
