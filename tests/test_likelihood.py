"""Likelihoods against a direct computation from the model's own logits, on every architecture."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from tiny_loaded import QUESTIONS, RELATIVES, SINGLE, Asked, tiny_loaded
from tiny_models import ARCHITECTURES, TEXTS

from brittle.models import likelihood
from brittle.models.likelihood import PreparedQuestion, negative_log_likelihood, prepare, score
from brittle.settings import BadInput

ALL = ARCHITECTURES + RELATIVES


def own_log_probabilities(loaded, tokens):
    """Log-probability of every token but the first, by one unpadded forward pass of the whole model."""
    with torch.no_grad():
        logits = loaded.model(input_ids=torch.tensor([tokens])).logits[0, :-1].double()
    return logits.log_softmax(-1).gather(1, torch.tensor(tokens)[1:, None])[:, 0].numpy()


def direct(loaded, asked):
    """The expected values of one question's choices."""
    start = len(loaded.tokenizer(asked.question)["input_ids"])
    rows = [loaded.tokenizer(f"{asked.question} {choice}")["input_ids"] for choice in asked.choices]
    return [own_log_probabilities(loaded, row)[start - 1 :].mean() for row in rows]


def assert_equal(found, expected):
    for row, values in zip(found, expected, strict=True):
        assert row[: len(values)] == pytest.approx(values, abs=2e-5)
        assert np.isneginf(row[len(values) :]).all()


def test_the_questions_of_these_tests_take_both_paths():
    prepared = prepare(tiny_loaded().tokenizer, QUESTIONS)
    assert [question.single for question in prepared.questions] == [asked in SINGLE for asked in QUESTIONS]
    assert 0 < len(SINGLE) < len(QUESTIONS)


@pytest.mark.parametrize("architecture", ALL)
def test_scores_are_those_of_the_models_own_logits_and_the_lens_ends_there(architecture):
    overrides = {"final_logit_softcapping": 2.0} if architecture.startswith("gemma") and "2" in architecture else {}
    loaded = tiny_loaded(architecture, **overrides)
    expected = [direct(loaded, asked) for asked in QUESTIONS]
    last, everywhere = score(loaded, QUESTIONS), score(loaded, QUESTIONS, depths="all")
    assert_equal(last.log_probabilities[0], expected)
    assert_equal(everywhere.log_probabilities[-1], expected)
    assert everywhere.log_probabilities.shape == (3, 5, 4)
    assert everywhere.depths == (0, 1, 2)
    assert last.depths == (2,)
    assert np.abs(everywhere.log_probabilities[1, :, 0] - everywhere.log_probabilities[2, :, 0]).max() > 1e-2


def test_the_soft_cap_and_the_bias_of_the_output_take_part():
    capped, free = (tiny_loaded("gemma2", final_logit_softcapping=cap) for cap in (2.0, None))
    assert (
        np.abs(score(capped, SINGLE).log_probabilities[0, 0] - score(free, SINGLE).log_probabilities[0, 0]).max() > 0.1
    )
    phi = tiny_loaded("phi")
    assert phi.anatomy.unembedding(phi.model).bias.abs().max() > 0.1
    assert_equal(score(phi, SINGLE).log_probabilities[0], [direct(phi, asked) for asked in SINGLE])
    bare = score(phi, SINGLE, normalise=False)
    assert (bare.predictions == score(phi, SINGLE).predictions).all()


@pytest.mark.parametrize("architecture", ALL)
def test_without_normaliser_choices_differ_by_the_same_amounts(architecture):
    loaded = tiny_loaded(architecture)
    whole, bare = (score(loaded, SINGLE, depths="all", normalise=normalise) for normalise in (True, False))
    present = np.isfinite(whole.log_probabilities)
    assert (present == np.isfinite(bare.log_probabilities)).all()
    for scores in (whole, bare):
        scores.log_probabilities[~present] = np.nan
    first = [scores.log_probabilities - scores.log_probabilities[..., :1] for scores in (whole, bare)]
    assert np.nanmax(np.abs(first[0] - first[1])) < 2e-5
    assert np.nanmax(np.abs(whole.log_probabilities - bare.log_probabilities)) > 0.1, "the normaliser was not skipped"


def test_candidates_in_half_precision_are_not_rounded_to_ties():
    loaded = tiny_loaded()
    loaded.model.bfloat16()
    bare = torch.from_numpy(score(loaded, SINGLE, normalise=False).log_probabilities[0, 0])
    assert (bare != bare.bfloat16()).any()
    whole = score(loaded, SINGLE).log_probabilities[0, 0]
    assert (bare - bare[0]).numpy() == pytest.approx(whole - whole[0], abs=0.05)


@pytest.mark.parametrize("architecture", ALL)
def test_one_row_per_question_gives_what_one_row_per_choice_gives(architecture, monkeypatch):
    loaded = tiny_loaded(architecture)
    fast = score(loaded, SINGLE, depths="all").log_probabilities
    monkeypatch.setattr(PreparedQuestion, "single", property(lambda self: False))
    slow = score(loaded, SINGLE, depths="all").log_probabilities
    assert np.allclose(fast, slow, atol=2e-5)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_batch_size_order_and_padding_change_nothing(architecture):
    loaded = tiny_loaded(architecture)
    expected = score(loaded, QUESTIONS, depths="all", batch_size=1).log_probabilities
    assert np.allclose(score(loaded, QUESTIONS, depths="all", batch_size=3).log_probabilities, expected, atol=2e-5)
    turned = score(loaded, QUESTIONS[::-1], depths="all").log_probabilities[:, ::-1]
    assert np.allclose(turned, expected, atol=2e-5)


def test_predictions_and_correctness():
    scores = score(tiny_loaded(), prepare(tiny_loaded().tokenizer, QUESTIONS))
    assert scores.model == "gpt_neox-0"
    assert scores.answers.tolist() == [asked.answer for asked in QUESTIONS]
    assert scores.predictions.tolist() == [[int(np.argmax(direct(tiny_loaded(), asked))) for asked in QUESTIONS]]
    assert (scores.correct == (scores.predictions == scores.answers)).all()
    right = [dataclasses.replace(asked, answer=choice) for asked, choice in zip(QUESTIONS, scores.predictions[0])]
    assert score(tiny_loaded(), right).correct.all()


class Merging:
    """A tokenizer that knows a few strings and takes the longest that fits: answers can merge into the question."""

    vocabulary = ("a", "b", " ", "c", "d", "b c", "a b c")
    pad_token_id = 0

    def __call__(self, texts, add_special_tokens=True):
        return {"input_ids": [self.tokens(text) for text in texts] if isinstance(texts, list) else []}

    def tokens(self, text):
        found = []
        while text:
            longest = max((word for word in self.vocabulary if text.startswith(word)), key=len)
            found.append(self.vocabulary.index(longest) + 1)
            text = text[len(longest) :]
        return found


def test_a_merge_over_the_boundary_counts_for_every_choice_from_the_same_context():
    (asked,) = prepare(Merging(), [Asked("aab", ("c", "d"), 0)]).questions
    assert asked.rows == ((1, 1, 6), (1, 1, 2, 3, 5))  # a a "b c" and a a b " " d; alone: a a b
    assert asked.start == 2
    assert not asked.single
    (asked,) = prepare(Merging(), [Asked("aab", ("d", "a"), 0)]).questions
    assert asked.start == 3
    (asked,) = prepare(Merging(), [Asked("a b", ("c d", "d"), 0)]).questions
    assert asked.start == 1, "the first token is never predicted"


def test_questions_longer_than_the_model_lose_their_beginning():
    loaded = tiny_loaded()
    question = " ".join(TEXTS) * 2
    limit = loaded.model.config.max_position_embeddings
    for choices in (("a", "c"), ("to the sea", "a")):
        rows = [loaded.tokenizer(f"{question} {choice}")["input_ids"] for choice in choices]
        start, excess = len(loaded.tokenizer(question)["input_ids"]), max(map(len, rows)) - limit
        assert excess > 0
        expected = [own_log_probabilities(loaded, row[excess:])[start - excess - 1 :].mean() for row in rows]
        assert score(loaded, [Asked(question, choices, 0)]).log_probabilities[0, 0] == pytest.approx(expected, abs=2e-5)
    shorter = score(loaded, SINGLE, max_length=3).log_probabilities
    assert not np.allclose(shorter, score(loaded, SINGLE).log_probabilities, atol=1e-3)
    with pytest.raises(BadInput, match="longer than the 2 tokens"):
        score(loaded, QUESTIONS, max_length=2)


def test_nothing_to_score_is_refused():
    with pytest.raises(BadInput, match="no questions"):
        prepare(tiny_loaded().tokenizer, [])
    with pytest.raises(BadInput, match="no token of a choice"):
        prepare(Merging(), [Asked("a b", ("c", "d"), 0)])  # "a b c" is one token: nothing stands before it


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_texts_likelihood_is_the_models_own(architecture, monkeypatch):
    loaded = tiny_loaded(architecture)
    texts = [TEXTS[0], "A fox.", TEXTS[2], "", "T"]
    rows = [loaded.tokenizer(text)["input_ids"][:40] for text in texts]
    expected = [-own_log_probabilities(loaded, row).mean() if len(row) > 1 else np.nan for row in rows]
    monkeypatch.setattr(likelihood, "ROWS_AT_ONCE", 7)
    for batch_size in (1, 3):
        found = negative_log_likelihood(loaded, texts, batch_size, max_length=40)
        assert found == pytest.approx(expected, abs=2e-5, nan_ok=True)
    assert np.isnan(found).tolist() == [False, False, False, True, True]


def test_the_likelihood_of_all_tokens_of_a_text_is_what_training_minimises():
    loaded = tiny_loaded()
    tokens = torch.tensor([loaded.tokenizer(TEXTS[1])["input_ids"]])
    with torch.no_grad():
        loss = loaded.model(input_ids=tokens, labels=tokens).loss
    assert negative_log_likelihood(loaded, [TEXTS[1]])[0] == pytest.approx(float(loss), abs=1e-5)
