"""Questions read once for all choices: the numbers of one row per choice, on every architecture; what would give others."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tiny_loaded import QUESTIONS, RELATIVES, Asked, tiny_loaded
from tiny_models import ARCHITECTURES, TEXTS

from brittle.models import likelihood, question_trees
from brittle.models.batching import batches_by_length
from brittle.models.hidden_states import NonFinite
from brittle.models.likelihood import score
from brittle.models.prepared_questions import Prepared, PreparedQuestion, prepare

ALL = ARCHITECTURES + RELATIVES
LONG = (
    Asked(TEXTS[0], ("to the sea", "a river", "the amber resin", "a"), 1),
    Asked(TEXTS[1], ("the northern cellar", "fox", "the lazy dog"), 0),
    *(asked for asked in QUESTIONS if asked.question.startswith("Question")),
)  # fmt: skip
"""With contexts longer than their choices, of three lengths."""
WINDOWS = {
    "mistral": {"sliding_window": 5},
    "phi3": {"sliding_window": 5},
    "qwen2": {"sliding_window": 5, "use_sliding_window": True, "layer_types": ["full_attention", "sliding_attention"]},
    "qwen3": {"sliding_window": 5, "use_sliding_window": True, "layer_types": ["sliding_attention", "full_attention"]},
    "gemma2": {"sliding_window": 5, "attn_logit_softcapping": 2.0, "final_logit_softcapping": 2.0},
    "gemma3_text": {"sliding_window": 5, "layer_types": ["sliding_attention", "full_attention"]},
}
"""Windows shorter than any context here, and shorter than some choices with what they must see of it."""


@pytest.fixture
def read(monkeypatch):
    """Scores read in trees and in one row per choice; the first is refused where a question did not take its tree."""

    def both(loaded, questions, **options):
        prepared = questions if isinstance(questions, Prepared) else prepare(loaded.tokenizer, questions)
        assert not any(question.single for question in prepared.questions)
        with monkeypatch.context() as patch:
            patch.setattr(likelihood, "token_log_probabilities", None)
            shared = score(loaded, prepared, **options)
        with monkeypatch.context() as patch:
            patch.setattr(likelihood, "fits", lambda model, question: False)
            patch.setattr(likelihood, "trees", None)
            return shared, score(loaded, prepared, **options)

    return both


def places(branches):
    """Every token's place in its row."""
    return torch.arange(branches.shape[1]).expand_as(branches)


def assert_same(shared, whole, within=2e-5):
    assert shared.log_probabilities.shape == whole.log_probabilities.shape
    assert np.allclose(shared.log_probabilities, whole.log_probabilities, rtol=0, atol=within)
    assert (shared.predictions == whole.predictions).all()


@pytest.mark.parametrize("architecture", ALL)
@pytest.mark.parametrize("batch_size", [1, 32])
def test_a_tree_gives_the_numbers_of_one_row_per_choice_at_every_depth(architecture, batch_size, read):
    overrides = {"attn_logit_softcapping": 2.0, "final_logit_softcapping": 2.0} if architecture == "gemma2" else {}
    assert_same(*read(tiny_loaded(architecture, **overrides), LONG, depths="all", batch_size=batch_size))


@pytest.mark.parametrize(
    ("architecture", "attention"),
    [(name, kind) for name in WINDOWS for kind in ("sdpa", "eager") if (name, kind) != ("gemma2", "sdpa")],
)
def test_a_sliding_window_counts_positions(architecture, attention, read, monkeypatch):
    loaded = tiny_loaded(architecture, **WINDOWS[architecture])
    loaded.model.set_attn_implementation(attention)
    shared, whole = read(loaded, LONG, depths="all")
    assert_same(shared, whole)
    given = question_trees._given
    by_place = lambda of, branches, positions: given(of, branches, places(branches))  # noqa: E731
    monkeypatch.setattr(
        question_trees, "_given", lambda *of: by_place(*of) | {"position_ids": given(*of)["position_ids"]}
    )
    assert not np.allclose(score(loaded, LONG).log_probabilities, whole.log_probabilities[-1:], rtol=0, atol=1e-3)


def test_a_window_that_the_architecture_does_not_have_is_not_applied(read):
    loaded = tiny_loaded("llama", sliding_window=5, layer_types=["sliding_attention"] * 2)
    assert loaded.model.config.sliding_window == 5
    assert_same(*read(loaded, LONG))


@pytest.mark.parametrize("architecture", ALL)
def test_choices_that_see_each_other_or_go_on_in_position_would_be_found(architecture, read, monkeypatch):
    loaded = tiny_loaded(architecture)
    _, whole = read(loaded, LONG)
    given = question_trees._given
    for fault in (
        lambda of, branches, positions: given(of, branches.clamp(max=0), positions),
        lambda of, branches, positions: given(of, branches, places(branches).clamp(max=63)),
        lambda of, branches, positions: given(of, torch.where(branches > 0, branches + 100 * positions, branches), positions),
    ):  # fmt: skip
        monkeypatch.setattr(question_trees, "_given", fault)
        found, known = score(loaded, LONG).log_probabilities, np.isfinite(whole.log_probabilities)
        assert np.abs(found[known] - whole.log_probabilities[known]).max() > 1e-3


@pytest.mark.parametrize("architecture", ALL)
def test_cut_questions_and_a_prefix_that_is_never_cut(architecture, read):
    loaded = tiny_loaded(architecture)
    prepared = prepare(loaded.tokenizer, [Asked(f"{TEXTS[0]} {TEXTS[1]}", LONG[0].choices, 0), *LONG], "A fox reads. ")
    limit = loaded.model.config.max_position_embeddings
    trees = [question.within(limit) for question in prepared.questions]
    assert max(map(question_trees.tokens_of, trees)) > limit - 2, "the row is longer than the model's positions"
    shared, whole = read(loaded, prepared, depths="all")
    assert_same(shared, whole)
    shorter, whole = read(loaded, prepared, max_length=24)
    assert_same(shorter, whole)
    assert not np.allclose(shorter.log_probabilities, shared.log_probabilities[-1:], atol=1e-3)


def test_logits_are_held_in_parts_and_read_once_where_all_choices_begin(read, monkeypatch):
    loaded, seen = tiny_loaded(), []
    expected, _ = read(loaded, LONG)
    monkeypatch.setattr(likelihood, "ROWS_AT_ONCE", 3)

    def head(hidden, columns):
        seen.append(len(hidden))
        return likelihood.lens(loaded, hidden, columns)

    found = score(loaded, LONG, read=head, translate=lambda depth, hidden: hidden * 1.0)
    assert_same(found, expected)
    questions = prepare(loaded.tokenizer, LONG).questions
    assert max(seen) == 3
    assert sum(seen) == sum(1 + question_trees.tokens_of(question) - question.start for question in questions)
    doubled = score(loaded, LONG, translate=lambda depth, hidden: hidden * torch.linspace(0, 2, hidden.shape[1]))
    assert not np.allclose(doubled.log_probabilities, expected.log_probabilities, atol=1e-3)


def test_in_bfloat16_trees_and_rows_agree_as_far_as_it_goes(read):
    for architecture in ("llama", "gemma2"):
        loaded = tiny_loaded(architecture)
        loaded.model.bfloat16()
        shared, whole = read(loaded, LONG)
        assert np.allclose(shared.log_probabilities, whole.log_probabilities, rtol=0, atol=0.15)


def question(start, *lengths):
    return PreparedQuestion(tuple(tuple(range(start + length)) for length in lengths), start, 0)


def test_which_questions_are_read_as_trees():
    model = tiny_loaded().model
    assert question_trees.fits(model, question(20, 4, 4, 4, 4))
    assert not question_trees.fits(model, question(8, 30, 30, 30, 30)), "the choices are longer than what they share"
    assert not question_trees.fits(model, question(20, 4)), "nothing is shared"
    model.config._attn_implementation = "flash_attention_2"
    assert not question_trees.fits(model, question(20, 4, 4, 4, 4)), "takes no mask of queries by keys"
    other = tiny_loaded("qwen2").model
    other.config.layer_types = ["full_attention", "chunked_attention"]
    assert not question_trees.fits(other, question(20, 4, 4, 4, 4)), "a kind of layer whose mask is not known here"


def test_choices_on_two_sides_of_a_turn_of_angles_are_read_apart(read):
    rope = {
        "rope_type": "longrope", "rope_theta": 10000.0, "original_max_position_embeddings": 24, "factor": 4.0,
        "short_factor": [1.0] * 4, "long_factor": [4.0] * 4,
    }  # fmt: skip
    loaded = tiny_loaded("phi3", rope_parameters=rope, original_max_position_embeddings=24)
    for lengths, sides in (((2, 3, 4), 1), ((3, 4, 5), 0), ((5, 5, 5), 0), ((5, 6, 7), 1)):
        asked = question(20, *lengths)
        assert question_trees.fits(loaded.model, asked) == sides
    both = Prepared((question(20, 2, 3, 4), question(20, 5, 6, 7)), 0)
    assert_same(*read(loaded, both, depths="all"))


def test_a_batch_has_no_more_tokens_than_its_rows_would_have_with_one_choice():
    questions = [question(start, 4, 4, 4) for start in range(9, 40)]
    batches = list(
        batches_by_length(tiny_loaded().model, questions, lambda each: each.longest, 8, question_trees.tokens_of)
    )
    assert sorted(each.start for batch in batches for each in batch) == list(range(9, 40))
    for batch in batches:
        longest = max(map(question_trees.tokens_of, batch))
        assert len(batch) * longest <= 8 * max(each.longest for each in batch)
    assert max(map(len, batches)) > 4


def test_what_is_not_finite_in_a_tree_is_named_by_its_layer():
    loaded = tiny_loaded("gpt2")
    with torch.no_grad():
        loaded.anatomy.blocks(loaded.model)[1].mlp.c_proj.bias.fill_(float("nan"))
    asked = prepare(loaded.tokenizer, [Asked(f"{TEXTS[0]} {TEXTS[1]}", LONG[0].choices, 0)])
    with pytest.raises(NonFinite, match="layer 1 "):
        score(loaded, asked)
