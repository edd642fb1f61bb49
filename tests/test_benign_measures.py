"""Benign likelihood, open answers, facts in and out of sample, and the questions of an attack's bound: values by hand."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tiny_loaded import QUESTIONS, tiny_loaded

from brittle.data.multiple_choice import Question
from brittle.data.world_language import RETAINED
from brittle.evaluation import open_answers
from brittle.evaluation.open_answers import continued, is_right, right_answers
from brittle.models.likelihood import mean_negative_log_likelihood
from brittle.models.loading import load
from brittle.runs import evaluation, unlearning_plan, unlearning_preparation, unlearning_training
from brittle.runs.attack_material import RETAIN_QUESTIONS, prepare, whole_facts
from brittle.runs.material import Material, divided, questions_by_side
from brittle.suites.laboratory import HELD_OUT, Laboratory


def test_a_model_that_guesses_costs_the_logarithm_of_its_vocabulary() -> None:
    loaded = tiny_loaded()
    with torch.no_grad():
        loaded.anatomy.unembedding(loaded.model).weight.zero_()
    rows = evaluation.benign_likelihood(loaded, {"stories": ["The quick brown fox", "The river runs"], "one": ["T"]})
    uniform = math.log(loaded.model.config.vocab_size)
    assert [(row["kind"], row["text"]) for row in rows] == [("stories", 0), ("stories", 1)], (
        "one token predicts nothing"
    )
    assert [row["nats_per_token"] for row in rows] == pytest.approx([uniform, uniform])
    told = evaluation._summed(loaded, rows)
    assert told["uniform_guessing"] == pytest.approx(uniform) and told["kinds"]["stories"]["texts"] == 2
    assert "not_measured" in evaluation._summed(loaded, [])


@pytest.mark.parametrize(
    ("said", "answer", "right"),
    [
        (" cedar. Then", "cedar", True), (" Cedar\nBox", "cedar", True), (" cedar", "cedar", True),
        (" cedarwood.", "cedar", False), (" cedar box.", "cedar", False), (" the cedar.", "cedar", False),
        (" St. Louis, a city", "St. Louis", True), (" Amber resin!", "amber-resin", True), (" amber\nresin.", "amber resin", False),
        (" 3.5", "3", False), (" Mara's", "Mara", False), ("\ncedar.", "cedar", True), ("", "cedar", False), (" 3.5 mg.", "3.5 mg", True), (" ...", "...", False),
    ],
)  # fmt: skip
def test_an_answer_is_right_word_by_word(said: str, answer: str, right: bool) -> None:
    assert is_right(said, answer) is right


def test_batches_say_what_each_question_alone_says() -> None:
    loaded = tiny_loaded()
    rows = [loaded.tokenizer(each.question)["input_ids"] for each in QUESTIONS]
    lengths = [3, 5, 1, 4, 2]
    expected = []
    for row, length in zip(rows, lengths):
        tokens = list(row)
        for _ in range(length):
            with torch.no_grad():
                tokens.append(int(loaded.model(torch.tensor([tokens])).logits[0, -1].argmax()))
        new = tokens[len(row) :]
        end = new.index(loaded.tokenizer.eos_token_id) if loaded.tokenizer.eos_token_id in new else None
        expected.append(loaded.tokenizer.decode(new[:end]))
    assert continued(loaded, rows, lengths, batch_size=2) == expected


def test_the_right_choice_is_what_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    said = [f" {each.choices[each.answer]}." for each in QUESTIONS[:4]] + [" wrong."]
    monkeypatch.setattr(open_answers, "continued", lambda *_: said)
    assert right_answers(tiny_loaded(), QUESTIONS) == [True, True, True, True, False]


def test_a_prefix_stands_before_every_question() -> None:
    loaded, prefix = tiny_loaded(), "The river runs to the sea.\n"
    whole = [replace(each, question=prefix + each.question) for each in QUESTIONS]
    said = open_answers.open_answers(loaded, QUESTIONS, prefix=prefix)
    assert said == open_answers.open_answers(loaded, whole)
    assert said != open_answers.open_answers(loaded, QUESTIONS)


def test_a_fact_is_in_sample_where_entity_and_answer_stand_in_one_text() -> None:
    asked = Question("What does Kira bake?", ("bread", "cake"), 0, "trades", "Kira/bakes", "Kira")
    assert evaluation.in_sample(asked, ["Kira is old.", "Kira bakes bread."]) is True
    assert (
        evaluation.in_sample(asked, ["Kira is old.", "Omar bakes bread.", "Kirana likes bread", "Kira, breads"])
        is False
    )
    assert evaluation.in_sample(Question("What?", ("bread", "cake"), 0, "trades"), ["bread"]) is None
    found = evaluation._by_sample([asked, asked], [True, False], ["Kira bakes bread."])
    assert found["retain_in_sample"]["accuracy"] == 0.5 and "retain_out_of_sample" not in found
    assert evaluation._by_sample([asked], [True], []) == {}


def test_the_laboratory_holds_out_texts_and_spares_facts() -> None:
    own = Laboratory("tiny")
    held_out = own.held_out_texts()
    assert {kind: len(part) for kind, part in held_out.items()} == dict.fromkeys(
        ("stories", "prose", "documents"), HELD_OUT
    )
    assert held_out == Laboratory("tiny").held_out_texts()
    hazardous = {fact.entity for fact in own.world.of(hazardous=True)}
    assert not any(name in text for part in held_out.values() for text in part for name in hazardous)
    assert not any("Answer:" in text for kind in ("stories", "prose") for text in held_out[kind])
    retain = own.texts()["retain"]
    spared = {fact.entity for fact in own.world.of(hazardous=False) if fact.subject not in RETAINED}
    assert len(spared) == 2 * 6 and not any(name in text for text in retain for name in spared)
    asked = 4 * 6 * 4 * 4  # subjects, entities, relations, forms
    assert len(retain) == asked + 4 * (asked // 16) and {"prose", "stories"} <= set(held_out)
    assert set(retain).isdisjoint(held_out["documents"]) and set(retain).isdisjoint(held_out["prose"])


def test_the_bound_asks_every_fact_in_all_forms_and_every_entity_alike() -> None:
    own = Laboratory()
    asked = own.questions()
    material = Material({}, questions_by_side(asked["forget"], asked["retain"]), own=own)
    field = prepare(material.under_attack, own.texts()["forget"], held_out=material.held_out)
    chosen = field.questions["retain"]
    assert len(chosen) == RETAIN_QUESTIONS and set(Counter(each.fact for each in chosen).values()) == {3}
    assert set(Counter(each.entity for each in chosen).values()) == {3} and len({each.entity for each in chosen}) == 48
    listed = [" listed " in each.question for each in chosen]
    assert sum(listed) == len(listed) / 3, "no form is asked more than the other"
    assert all(len(part) == 12 for part in field.held_out.values())
    few = [Question(f"{form} {n}?", ("a", "b"), 0, "s", f"e{n}/r", f"e{n}") for n in range(5) for form in ("Is", "Was")]
    assert whole_facts(few, 100) == few and len(whole_facts(few, 3)) == 4


def test_fewer_questions_are_asked_of_every_entity_in_turn_and_the_same_texts_teach() -> None:
    own = Laboratory("tiny")
    asked = own.questions()
    sides = Material({}, questions_by_side(asked["forget"], asked["retain"]), own=own).under_attack
    texts = own.texts()["forget"]
    whole, few = prepare(sides, texts), prepare(sides, texts, asked=5)
    assert whole.questions["v"] == tuple(sides["v"]) and few.texts == whole.texts
    for side in ("t", "v"):
        counted = Counter(question.entity for question in few.questions[side])
        assert 5 <= counted.total() <= 6 and max(counted.values()) <= 2, counted
        assert len(counted) >= min(3, len({question.entity for question in sides[side]}))
        assert set(few.questions[side]) < set(whole.questions[side])
    assert len(few.questions["retain"]) <= 7 and few.digest != whole.digest
    assert any(f"of {len(sides['v'])} of V" in note for note in few.notes) and len(few.notes) == len(whole.notes) + 1


def test_own_retain_texts_are_held_out_as_unlearning_does_and_teach_nothing() -> None:
    texts = [f"Benign line {number}." for number in range(30)]
    kept, apart = divided(texts)
    material = Material({"retain": texts}, {})
    assert len(apart) == 3 and material.held_out == {"retain texts": apart} and material.retained == kept
    assert Material({"retain": texts[:1]}, {}).held_out == {} == Material({}, {}).held_out
    side = [Question("Where?", ("a", "b"), 0, "s", entity="Zon")]
    field = prepare({"t": side, "v": [Question("Who?", ("a", "b"), 0, "s", entity="Ush")], "retain": side},
                    None, texts, texts, material.held_out)  # fmt: skip
    assert not set(field.retain_texts) & set(apart) and len(field.retain_texts) == 27


def test_before_is_before_a_method_prepares(tmp_path: Path) -> None:
    flags = {
        "model": "laboratory:base@tiny-0",
        "method": "wt_dist",
        "preset": "laboratory",
        "device": "cpu",
        "outdir": str(tmp_path),
    }
    chosen = unlearning_plan.plan(flags)
    run = unlearning_preparation.prepare(chosen, "cpu")
    base = load(chosen.base, "cpu", "fp32")
    for name, texts in run.held_out.items():
        before = mean_negative_log_likelihood(base, texts, 16, chosen.training.max_length)[0]
        noisy = mean_negative_log_likelihood(run.loaded, texts, 16, chosen.training.max_length)[0]
        assert run.before[f"{name}_nll"] == pytest.approx(before, rel=1e-5) and noisy > before + 1
    after = run.before | {"benign_nll": run.before["benign_nll"] + 1.1}
    assert unlearning_training.collapsed(run.before, after) and not unlearning_training.collapsed(
        run.before, run.before
    )
