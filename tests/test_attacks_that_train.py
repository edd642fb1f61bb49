"""Attacks that train: what they teach, in which order, what they leave alone, and how they read their folds and trials."""

from __future__ import annotations

import copy
import dataclasses
import math
from pathlib import Path

import pytest
import torch
from tiny_loaded import tiny_loaded

from brittle import discovery
from brittle.attacks import (
    benign_relearning,
    lora_relearning,
    relearning,
    relearning_folds,
    relearning_from_examples,
    relearning_search,
    repair_then_attack,
    template_relearning,
)
from brittle.contracts import AttackTarget, Evaluation
from brittle.data.multiple_choice import Question
from brittle.models.loading import LoadedModel
from brittle.models.reweighting import all_parameters
from brittle.settings import BadInput

SHORT = {
    "attack_steps": 4,
    "attack_eval_interval": 2,
    "attack_eval_early": (1,),
    "attack_batch_size": 2,
    "attack_lr": 1e-2,
}
TRAINING = [n for n, p in discovery.plugins("attacks").items() if hasattr(p.load().Settings(), "attack_lr")]


def question(place: int) -> Question:
    return Question(f"Question: w{place}? Answer:", ("a", "b", "c", "d"), place % 4, "s", f"e{place}/r", f"e{place}")


def moved(loaded: LoadedModel, device: str) -> LoadedModel:
    """The model on another device."""
    return dataclasses.replace(loaded, model=loaded.model.to(device), device=device)


class Watched:
    """A target that notes what was taught: the texts of every batch, and the weights at every evaluation."""

    def __init__(
        self, architecture: str = "gpt_neox", t: float = 0.0, device: str = "cpu", v: float = 0.25, later: float = 1.0
    ) -> None:
        self.loaded, base = (moved(tiny_loaded(architecture, seed), device) for seed in (1, 0))
        self.questions = {"t": [question(i) for i in range(4)], "v": [question(i) for i in range(4, 8)], "retain": []}
        self.t, self.v, self.later, self.seen, self.calls = t, v, later, [], []
        self.before = copy.deepcopy(all_parameters(self.loaded))
        self.target = AttackTarget(
            self.loaded, [f"hazard {i} text" for i in range(6)], self.evaluate, ["a b", "c d"], base,
            [f"benign {i} text" for i in range(6)], [f"template {i} text" for i in range(6)], self.questions,
        )  # fmt: skip

    def evaluate(self, step, examples_seen, strength=0.0, prefix="", tokens_seen=0) -> Evaluation:
        self.calls.append((step, examples_seen, tokens_seen))
        self.seen.append(copy.deepcopy(all_parameters(self.loaded)))
        predictions = {"t": [0, 1, 2, 3], "v": [0, 0, 0, 0], "retain": []}
        accuracy = {"t": self.t, "v": self.v, "retain": self.later if step else 1.0}
        return Evaluation(step, examples_seen, predictions, accuracy, strength, tokens_seen)

    def run(self, module, seed: int = 0, **settings) -> list[Evaluation]:
        own = {field.name for field in dataclasses.fields(module.Settings)}
        return module.attack(
            module.Settings(**{k: v for k, v in (SHORT | settings).items() if k in own}), self.target, seed, lambda _: None
        )  # fmt: skip


@pytest.fixture
def taught(monkeypatch) -> list[list[str]]:
    """The texts that each training was given."""
    import brittle.training.batches as batches

    found: list[list[str]] = []
    tokenise = batches.tokenise

    def noted(tokenizer, texts, *rest, **named):
        found.append(list(texts))
        return tokenise(tokenizer, texts, *rest, **named)

    monkeypatch.setattr(batches, "tokenise", noted)
    return found


def test_evaluations_stand_at_early_steps_intervals_and_the_end_and_count_what_was_shown() -> None:
    watched = Watched()
    evaluations = watched.run(relearning, attack_steps=5)
    assert [e.step for e in evaluations] == [0, 1, 2, 4, 5]
    assert [e.examples_seen for e in evaluations] == [0, 2, 4, 8, 10]
    width = len(watched.loaded.tokenizer("hazard 0 text")["input_ids"])
    assert [e.tokens_seen for e in evaluations] == [width * e.examples_seen for e in evaluations]


def test_every_arm_is_followed_as_long_but_one_that_answers_everything() -> None:
    long = {"attack_patience": 3, "attack_steps": 8}
    for t, v, retain in ((1.0, 0.25, 1.0), (1.0, 0.75, 1.0), (0.5, 1.0, 1.0), (1.0, 1.0, 0.9)):
        assert Watched(t=t, v=v, later=retain).run(relearning, **long)[-1].step == 8
    assert [e.step for e in Watched(t=1.0, v=1.0, later=0.96).run(relearning, **long)] == [0, 1, 2]
    assert Watched(t=1.0, v=1.0).run(relearning, attack_patience=0)[-1].step == 4


def test_a_seed_decides_the_attack_to_the_bit() -> None:
    runs = [Watched() for _ in range(3)]
    for run, seed in zip(runs, (0, 0, 1)):
        run.run(relearning, seed)
    one, same, other = (run.seen[-1] for run in runs)
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert any(not torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("architecture", ["gpt_neox", "gpt2", "llama"])
def test_adapters_leave_the_weights_alone_and_move_every_block_matrix(architecture) -> None:
    watched = Watched(architecture)
    watched.run(lora_relearning, attack_lora_rank=2, attack_lora_alpha=4.0)
    weights = all_parameters(watched.loaded)
    adapters = {name: weight for name, weight in weights.items() if "lora_B" in name}
    assert adapters and all(float(weight.abs().max()) > 0 for weight in adapters.values())
    own = [weight for name, weight in weights.items() if "lora_" not in name]
    for (name, before), after in zip(watched.before.items(), own, strict=True):
        assert torch.equal(before, after), name


@pytest.mark.parametrize(
    ("module", "word"), [(relearning, "hazard"), (benign_relearning, "benign"), (template_relearning, "template")]
)
def test_each_teaches_its_own_texts_alone(module, word, taught) -> None:
    evaluations = Watched().run(module)
    assert [all(text.startswith(word) for text in texts) for texts in taught] == [True]
    assert [e.strength for e in evaluations] == [0 if module is relearning else e.step for e in evaluations]


def test_repair_comes_before_the_attack_and_both_are_counted(taught) -> None:
    evaluations = Watched().run(repair_then_attack, repair_steps=3)
    assert [texts[0].split()[0] for texts in taught] == ["benign", "hazard"]
    assert [e.step for e in evaluations] == [0, 3, 4, 5, 7]
    assert [e.examples_seen for e in evaluations] == [0, 6, 8, 10, 14]
    assert evaluations[-1].tokens_seen > evaluations[1].tokens_seen > 0


def test_fewer_texts_are_among_more_and_each_number_starts_from_the_models_own_weights(taught) -> None:
    watched = Watched()
    evaluations = watched.run(relearning_from_examples, attack_examples=(1, 3, 100))
    assert [e.strength for e in evaluations] == [0, 1, 3, 6]
    assert [len(texts) for texts in taught] == [1, 3, 6]
    assert all(set(few) < set(more) for few, more in zip(taught, taught[1:]))
    alone = Watched()
    alone.run(relearning_from_examples, attack_examples=(100,))
    assert all(torch.equal(alone.seen[-1][name], weight) for name, weight in watched.seen[-1].items())
    after = all_parameters(watched.loaded)
    assert all(torch.equal(after[name], weight) for name, weight in watched.before.items())


def test_in_a_race_every_number_of_texts_begins_and_the_best_goes_to_its_end(taught) -> None:
    watched = Watched()
    evaluations = watched.run(relearning_from_examples, attack_examples=(1, 3, 100), race=True)
    assert [len(texts) for texts in taught] == [1, 3, 6, 1]  # all are as good here, so the first goes on
    assert [(e.step, e.strength) for e in evaluations] == [(0, 0), (1, 1), (2, 3), (3, 6)]
    assert [e.examples_seen for e in evaluations] == [0, 4 * 1, 1 * 2, 1 * 2]  # four steps, and a sixteenth of them
    alone = Watched()
    alone.run(relearning_from_examples, attack_examples=(1,))
    assert all(torch.equal(alone.seen[-1][name], weight) for name, weight in watched.seen[-1].items())
    after = all_parameters(watched.loaded)
    assert all(torch.equal(after[name], weight) for name, weight in watched.before.items())


def test_what_ends_early_learns_as_if_it_went_on() -> None:
    whole, begun = Watched(), Watched()
    begun.target = dataclasses.replace(begun.target, until=2)
    number = next(
        n for n in range(60) if relearning_search.describe(relearning_search.Settings(), n)["schedule"] == "cosine"
    )
    long = whole.run(relearning_search, number, attack_eval_early=(3,))
    cut = begun.run(relearning_search, number, attack_eval_early=(3,))
    assert [e.step for e in cut] == [0, 2] and [e.step for e in long][:2] == [0, 2]
    assert all(torch.equal(whole.seen[1][name], weight) for name, weight in begun.seen[1].items())


def test_every_fact_is_held_out_once_and_never_taught_then(taught) -> None:
    watched = Watched()
    evaluations = watched.run(relearning_folds, folds=4)
    everything = {q.text for side in ("t", "v") for q in watched.questions[side]}
    held_out = [everything - set(texts) for texts in taught]
    assert set().union(*held_out) == everything and sum(map(len, held_out)) == len(everything)
    # predictions of T are all right (0 1 2 3), of V one in four (answers 0 1 2 3, always 0): 5 of 8 held out
    assert {e.accuracy["v"] for e in evaluations} == {5 / 8}
    assert len(evaluations[0].asked["v"]) == 8 and len(evaluations[0].predictions["v"]) == 8
    with pytest.raises(BadInput, match="9 folds need as many entities"):
        relearning_folds.folds([*watched.questions["t"], *watched.questions["v"]], 9)


def test_held_out_answers_come_from_the_fold_that_never_saw_them() -> None:
    questions = [question(i) for i in range(4)]
    fold_of = relearning_folds.folds(questions, 2)
    assert fold_of == [0, 1, 0, 1]
    right, wrong = [0, 1, 2, 3], [3, 3, 3, 2]
    by_fold = [
        Evaluation(5, 10, {"t": answers[:2], "v": answers[2:], "retain": []}, {"t": 0, "v": 0, "retain": retain})
        for answers, retain in ((right, 1.0), (wrong, 0.5))
    ]
    found = relearning_folds._together(by_fold, questions, fold_of)
    assert found.predictions["v"] == [0, 3, 2, 2] and found.predictions["t"] == [3, 1, 3, 3]
    assert found.accuracy == {"v": 0.5, "t": 0.5, "retain": 0.75}


def test_more_trials_never_change_earlier_ones_and_rates_follow_the_flag() -> None:
    few, many = relearning_search.Settings(search_trials=3), relearning_search.Settings(search_trials=60)
    trials = [relearning_search.describe(many, number) for number in range(60)]
    assert [relearning_search.describe(few, number) for number in range(3)] == trials[:3]
    assert {trial["optimizer"] for trial in trials[:6]} == set(relearning_search.RATES)
    scaled = dataclasses.replace(many, attack_lr=many.attack_lr / 100)
    for number, trial in enumerate(trials):
        middle = many.attack_lr * relearning_search.RATES[trial["optimizer"]] * (2 if trial["lora_rank"] else 1)
        assert 0.099 < trial["lr"] / middle < 10.1
        assert relearning_search.describe(scaled, number)["lr"] == pytest.approx(trial["lr"] / 100, rel=0.06)
    assert len({tuple(trial.items()) for trial in trials}) == 60


def test_a_trial_trains_as_it_was_drawn(taught) -> None:
    number = next(n for n in range(60) if relearning_search.describe(relearning_search.Settings(), n)["steps"] == 40)
    drawn = relearning_search.describe(relearning_search.Settings(), number)
    evaluations = Watched().run(relearning_search, number)
    assert evaluations[-1].step == 40 and evaluations[-1].examples_seen == 40 * drawn["batch_size"]


def test_an_attack_that_diverges_is_missing_from_there_on_and_never_guessed(capsys) -> None:
    watched = Watched()
    evaluations = watched.run(relearning, attack_lr=1e30, attack_optimizer="sgd")
    assert evaluations[-1].step < 4 and "diverged" in capsys.readouterr().err
    few = Watched().run(relearning_from_examples, attack_lr=1e30, attack_optimizer="sgd", attack_examples=(1, 2))
    assert [e.strength for e in few] == [0]


@pytest.mark.parametrize("name", TRAINING)
def test_half_precision_is_of_the_arithmetic_alone(name) -> None:
    watched = Watched()
    module = discovery.find("attacks", name).load()
    watched.run(module, attack_dtype="bf16")
    moved = all_parameters(watched.loaded).values()
    assert all(weight.dtype == torch.float32 and math.isfinite(float(weight.sum())) for weight in moved)


def test_the_attacks_pages_are_those_of_their_files() -> None:
    from brittle.training.teaching import TeachingSettings
    from brittle.views.attack_pages import page

    written = (Path(__file__).parent.parent / "docs" / "attacks.md").read_text()
    assert written == page(TeachingSettings), "uv run brittle attacks --page docs/attacks.md"
    assert all(f"\n## {name}\n" in written for name in discovery.plugins("attacks"))
