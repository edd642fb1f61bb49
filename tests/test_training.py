"""The one training loop: its batches, its schedule, its optimizers, and what stops it."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from tiny_models import TEXTS, tiny_model, tiny_tokenizer

from brittle.settings import BadInput
from brittle.training.batches import Example, Sampler, Supply, collate, tokenise
from brittle.training.loop import LoopSettings, NotFinite, learning_rate_factor, train
from brittle.training.optimizers import OPTIMIZERS

UNEQUAL = [*TEXTS, "A fox.", "The river", "which amber resin is stored", "it reads", "The dog runs to the sea."]


def examples_of(texts=UNEQUAL, **options):
    return tokenise(tiny_tokenizer(), texts, 32, **options)


def likelihood(step):
    return {"text": step.negative_log_likelihood("text")}


def trained(model, batch_size=4, accumulation=1, objective=likelihood, **settings):
    """A copy of ``model`` after a short training, as a dictionary of weights."""
    model = copy.deepcopy(model)
    sampler = Sampler("text", examples_of(), batch_size, padding=0, seed=3)
    defaults = {"steps": 3, "lr": 1e-2, "schedule": "constant"}
    train(model, Supply([sampler], accumulation), objective, LoopSettings(**{**defaults, **settings}))
    return model.state_dict()


def largest_difference(left, right):
    return max(float((left[name] - right[name]).abs().max()) for name in left)


# --- batches ---------------------------------------------------------------------------------------------------------


def counted_text(text, **options):
    """The part of a text whose tokens count in the loss."""
    (example,) = examples_of([text], **options)
    return tiny_tokenizer().decode([t for t, counted in zip(example.tokens, example.counted) if counted])


def test_only_what_follows_the_last_marker_counts() -> None:
    text = "Question: is it Answer: a fox? Answer: the amber resin."
    assert counted_text(text, loss_tokens="answer") == " the amber resin."


def test_a_text_without_marker_counts_whole_but_for_its_first_token() -> None:
    (example,) = examples_of(["the lazy dog runs"], loss_tokens="answer")
    assert example.counted == (False,) + (True,) * (len(example.tokens) - 1)


def test_a_text_whose_answer_is_cut_off_is_left_out() -> None:
    long = "The quick brown fox jumps over the lazy dog. " * 8 + "Answer: a fox"
    assert len(examples_of([long, "Answer: a fox"], loss_tokens="answer", long_texts="cut")) == 1


def test_texts_without_a_token_to_predict_are_refused() -> None:
    with pytest.raises(BadInput, match="no text has two tokens") as caught:
        examples_of(["", "a"])
    assert "\n" not in str(caught.value)


def test_padding_is_neither_attended_to_nor_counted() -> None:
    batch = collate([Example((5, 6, 7), (False, True, True)), Example((8, 9), (False, True))], [1, 0], padding=4)
    assert batch.input_ids.tolist() == [[8, 9, 4], [5, 6, 7]]
    assert batch.attention_mask.tolist() == [[1, 1, 0], [1, 1, 1]]
    assert batch.counted.tolist() == [[0, 1, 0], [0, 1, 1]]
    assert batch.padded and batch.examples == (1, 0)


@pytest.mark.parametrize("batch_size", [1, 3, 4])
def test_every_pass_shows_every_example_once(batch_size) -> None:
    sampler = Sampler("forget", examples_of(long_texts="cut"), batch_size, 0, seed=1)
    seen = [position for number in range(24) for position in sampler.positions(number)]
    passes = [tuple(seen[start : start + 8]) for start in range(0, 24, 8)]
    assert all(sorted(order) == list(range(8)) for order in passes)
    assert len(set(passes)) == 3  # and each pass in another order


def test_a_batch_depends_on_seed_split_and_step_alone() -> None:
    def positions(name, seed, numbers):
        sampler = Sampler(name, examples_of(), 4, 0, seed)
        return {number: sampler.positions(number) for number in numbers}

    forwards, backwards = positions("forget", 1, range(6)), positions("forget", 1, reversed(range(6)))
    assert forwards == backwards  # whoever resumes at step 5 sees what step 5 would have seen
    assert forwards != positions("forget", 2, range(6))
    assert forwards != positions("retain", 1, range(6))


def test_a_shorter_split_neither_truncates_nor_moves_the_other() -> None:
    def forget_batches(retain_texts):
        samplers = [
            Sampler(name, examples_of(texts), 2, 0, 1)
            for name, texts in (("forget", UNEQUAL), ("retain", retain_texts))
        ]
        return [[batches["forget"].examples for batches in Supply(samplers, 2)(step)] for step in range(6)]

    assert forget_batches(UNEQUAL) == forget_batches(UNEQUAL[:3])


# --- the loop --------------------------------------------------------------------------------------------------------


def test_learning_rate_by_hand() -> None:
    def factors(schedule, steps):
        settings = LoopSettings(steps=10, lr=1.0, schedule=schedule, warmup_steps=2)
        return pytest.approx([learning_rate_factor(step, settings) for step in steps])

    assert factors("constant", [0, 1, 2, 9]) == [0.5, 1, 1, 1]
    # Eight steps follow the warm-up: step 4 has passed 2/8, step 6 has passed 4/8, step 10 all of them.
    assert factors("linear", [0, 1, 2, 4, 6, 10]) == [0.5, 1, 1, 0.75, 0.5, 0]
    assert factors("cosine", [0, 1, 2, 4, 6, 10]) == [0.5, 1, 1, (1 + math.sqrt(0.5)) / 2, 0.5, 0]


def test_two_accumulated_batches_of_four_update_like_one_of_eight() -> None:
    # In float64, because AdamW turns the rounding of a gradient that should be zero into a whole step.
    model = tiny_model().double()
    whole, accumulated = trained(model, 8), trained(model, 4, accumulation=2)
    assert largest_difference(whole, accumulated) < 1e-6
    assert largest_difference(whole, trained(model, 4)) > 1e-3  # half of the texts is another update


@pytest.mark.parametrize("poison", ["loss", "gradient"])
@pytest.mark.parametrize("micro_batch", [0, 1])
def test_what_is_not_finite_stops_before_it_touches_the_weights(poison, micro_batch) -> None:
    model, calls = tiny_model(), []

    def objective(step):
        calls.append(step.number)
        loss = step.negative_log_likelihood("text")
        if calls.count(2) == micro_batch + 1 and step.number == 2:
            zero = loss - loss.detach()
            # A loss of NaN whose gradient is finite, or a finite loss at a point of infinite slope.
            loss = loss + float("nan") if poison == "loss" else loss + zero.sqrt()
        return {"text": loss}

    before = trained(model, 2, 2, steps=2)
    stopped = copy.deepcopy(model)
    sampler = Sampler("text", examples_of(), 2, padding=0, seed=3)
    with pytest.raises(NotFinite, match="not finite at step 3") as caught:
        train(stopped, Supply([sampler], 2), objective, LoopSettings(steps=5, lr=1e-2, schedule="constant"))
    assert "\n" not in str(caught.value)
    assert largest_difference(before, stopped.state_dict()) == 0


def test_listeners_count_from_one_and_can_end_the_training() -> None:
    model, heard = tiny_model(), []

    def listen(number, _model, terms):
        heard.append((number, set(terms)))
        return number == 2

    sampler = Sampler("text", examples_of(), 4, 0, 3)
    history = train(model, Supply([sampler]), likelihood, LoopSettings(steps=5, lr=1e-3), listeners=[listen])
    assert heard == [(1, {"text"}), (2, {"text"})]
    assert history.stopped_at == 2 and len(history.terms) == 2
    assert not model.training


@pytest.mark.parametrize("name", sorted(OPTIMIZERS))
def test_every_parameter_belongs_to_one_group_and_is_moved(name) -> None:
    model = tiny_model()
    optimizers = OPTIMIZERS[name](model, 1e-2, (0.9, 0.99), 0.0)
    groups = [id(p) for optimizer in optimizers for group in optimizer.param_groups for p in group["params"]]
    assert sorted(groups) == sorted(map(id, model.parameters()))
    before, after = model.state_dict(), trained(model, optimizer=name)
    assert [key for key in before if torch.equal(before[key], after[key])] == []


def test_muon_takes_the_matrices_inside_blocks_and_nothing_else() -> None:
    model = tiny_model()
    inside, _ = OPTIMIZERS["muon"](model, 1e-2, (0.9, 0.99), 0.0)
    taken = {id(parameter) for parameter in inside.param_groups[0]["params"]}
    names = {name for name, parameter in model.named_parameters() if id(parameter) in taken}
    matrices = ("attention.query_key_value", "attention.dense", "mlp.dense_h_to_4h", "mlp.dense_4h_to_h")
    assert names == {f"gpt_neox.layers.{layer}.{matrix}.weight" for layer in (0, 1) for matrix in matrices}
