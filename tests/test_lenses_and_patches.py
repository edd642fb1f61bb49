"""The tuned lens against the model's own head, patches against models put together by hand, the depth score in numbers."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import torch
from tiny_loaded import QUESTIONS, tiny_loaded
from tiny_models import ARCHITECTURES, TEXTS

from brittle.diagnostics import causal_depth
from brittle.mathematics.depth import erased_share, unlearning_depth_score
from brittle.models import tuned_lens
from brittle.models.likelihood import lens, score
from brittle.models.observation import hidden_states
from brittle.models.patching import PatchObservation, answer_log_probabilities, answer_rows, patched
from brittle.settings import BadInput


@pytest.mark.parametrize("architecture", ["gpt_neox", "llama", "gemma2"])
def test_a_tuned_lens_comes_nearer_and_is_the_model_at_the_last_depth(architecture):
    loaded = tiny_loaded(architecture)
    before = {name: value.clone() for name, value in loaded.model.state_dict().items()}
    found = tuned_lens.train(loaded, TEXTS * 4, lr=1e-2, epochs=8)
    own, untuned = np.array(found.divergence), np.array(found.divergence_untuned)
    assert own[-1] == untuned[-1] == 0 and (own[:-1] < 0.8 * untuned[:-1]).all() and (own[:-1] > 0).all()
    hidden = torch.randn(3, loaded.model.config.hidden_size)
    assert torch.equal(found.translate(2, hidden), hidden) and not torch.equal(found.translate(0, hidden), hidden)
    scores = [score(loaded, QUESTIONS, "all", translate=found.translate), score(loaded, QUESTIONS, "all")]
    assert np.array_equal(scores[0].log_probabilities[-1], scores[1].log_probabilities[-1])
    assert not np.allclose(scores[0].log_probabilities[0, :, :2], scores[1].log_probabilities[0, :, :2])
    assert all(torch.equal(value, before[name]) for name, value in loaded.model.state_dict().items())
    assert all(parameter.grad is None for parameter in loaded.model.parameters())


def test_the_divergence_is_the_mean_over_held_out_tokens():
    """By hand: every text is held out but the one that is learned from, and nothing is learned at a rate near zero."""
    loaded = tiny_loaded()
    found = tuned_lens.train(loaded, TEXTS, lr=1e-30, epochs=1, train_frac=1e-9)
    first = torch.randperm(len(TEXTS), generator=torch.Generator().manual_seed(42))[0]
    sums, tokens = 0.0, 0
    for index, text in enumerate(TEXTS):
        if index != first:
            ids = torch.tensor([loaded.tokenizer(text)["input_ids"]])
            with torch.no_grad():
                target = loaded.model(ids).logits[0].double().log_softmax(-1)
                shown = lens(loaded, hidden_states(loaded, ids, None, [1])[0][0]).double().log_softmax(-1)
            sums += float((target.exp() * (target - shown)).sum())
            tokens += ids.shape[1]
    assert found.divergence_untuned[1] == pytest.approx(sums / tokens, rel=1e-4)


def test_a_lens_never_reads_worse_than_untuned_and_needs_text_to_check_itself():
    """Whatever a far too high rate does, the best epoch is kept, and the first is the logit lens."""
    loaded = tiny_loaded()
    for lr in (1.0, 1e3, 1e6):
        found = tuned_lens.train(loaded, TEXTS, lr=lr, epochs=2)
        assert all(own <= untuned for own, untuned in zip(found.divergence, found.divergence_untuned, strict=True))
    with pytest.raises(BadInput, match="at least two texts"):
        tuned_lens.train(loaded, TEXTS[:1])


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_patched_model_is_the_donors_first_blocks_under_the_recipients_last(architecture):
    recipient, donor = tiny_loaded(architecture, 0), tiny_loaded(architecture, 1)
    rows = answer_rows(recipient, QUESTIONS, 512)
    values = answer_log_probabilities(recipient, donor, rows, 2)
    clean = answer_log_probabilities(recipient, None, rows, 3)
    own = score(recipient, QUESTIONS).log_probabilities[0]
    expected = {float(own[index, question.answer]) for index, question in enumerate(QUESTIONS)}
    assert sorted(clean[0]) == pytest.approx(sorted(expected), abs=2e-5)
    chimera = copy.deepcopy(recipient)
    chimera.model.load_state_dict(donor.model.state_dict())
    blocks, others = chimera.anatomy.blocks(chimera.model), recipient.anatomy.blocks(recipient.model)
    blocks[1].load_state_dict(others[1].state_dict())
    for part in (chimera.anatomy.final_norm, chimera.anatomy.unembedding):
        if part(chimera.model) is not None:
            part(chimera.model).load_state_dict(part(recipient.model).state_dict())
    if chimera.model.get_input_embeddings().weight is chimera.model.get_output_embeddings().weight:
        embeddings = copy.deepcopy(donor.model.get_input_embeddings())
        chimera.model.set_input_embeddings(embeddings)
    together = answer_log_probabilities(chimera, None, rows, 2)[0]
    assert values[1] == pytest.approx(together, abs=2e-5)
    assert values.shape == (3, len(rows)) and np.abs(values[2] - clean[0]).max() > 1e-3


@pytest.mark.parametrize("depth", [0, 1, 2])
def test_own_states_patched_in_change_nothing_and_the_patch_comes_off(depth):
    loaded = tiny_loaded("llama")
    ids = torch.tensor([loaded.tokenizer(TEXTS[0])["input_ids"]])
    with torch.no_grad():
        expected = loaded.model(ids).logits
        states = hidden_states(loaded, ids, None, [0, 1, 2])[depth]
        with patched(loaded, depth, states):
            assert torch.equal(loaded.model(ids).logits, expected)
        with patched(loaded, depth, states + 1):
            assert not torch.allclose(loaded.model(ids).logits, expected)
        assert torch.equal(loaded.model(ids).logits, expected)


def test_the_depth_score_in_numbers():
    reference = torch.tensor([0.04, 1.0, 3.0, 4.0])
    drop = torch.tensor([9.0, 0.25, 6.0, -1.0])
    assert erased_share(drop, reference).tolist() == pytest.approx([math.nan, 0.25, 1.0, 0.0], nan_ok=True)
    assert float(unlearning_depth_score(drop, reference)) == pytest.approx((1 * 0.25 + 3 * 1) / 8)
    assert float(unlearning_depth_score(reference, reference)) == 1
    assert float(unlearning_depth_score(0 * reference, reference)) == 0
    assert math.isnan(unlearning_depth_score(drop, torch.full((4,), 0.05)))
    scaled = unlearning_depth_score(7 * drop, 7 * reference, 7 * 0.05)
    assert float(scaled) == pytest.approx(float(unlearning_depth_score(drop, reference)))


def test_the_filtered_model_scores_one_and_the_base_zero():
    clean = np.array([-0.1, -0.3])
    filtered = np.array([[-1.1, -2.3], [-2.1, -2.3], [-3.1, -4.3]])
    for patched_b, expected in ((filtered, 1.0), (np.tile(clean, (3, 1)), 0.0)):
        fitter = causal_depth.Fitter(causal_depth.Settings())
        fitter.update(PatchObservation(("x", "y"), clean, patched_b, filtered, "a", "b", "c"))
        summary = fitter.finish().summary
        assert summary["unlearning_depth_score"] == pytest.approx(expected)
        assert summary["clean_log_probability"] == pytest.approx(-0.2)
        assert summary["final_drop"] == pytest.approx(3.5 * expected)
        assert summary["knowledge_layers"] == [1, 2]


def test_a_second_filtered_model_shows_what_two_trainings_differ_by():
    """Drops of 1 and 3 with the first, of 0.5 and 3 with the second: (1 · 0.5 + 3 · 1) / 4."""
    clean, b = np.array([-0.1]), np.array([[-0.1], [-0.1], [-0.1]])
    first, second = np.array([[-9.0], [-1.1], [-3.1]]), np.array([[-9.0], [-0.6], [-3.1]])
    fitter = causal_depth.Fitter(causal_depth.Settings())
    findings = fitter.update(PatchObservation(("x",), clean, b, first, "a", "b", "c", second, "d")).finish()
    assert findings.summary["unlearning_depth_score"] == 0
    assert findings.summary["unlearning_depth_score_filtered_again"] == pytest.approx(3.5 / 4)
    assert [row.drop_filtered_again for row in findings.tables["causal_depth"]] == pytest.approx([8.9, 0.5, 3])
    assert findings.summary["filtered_again"] == "d"


def test_without_a_filtered_model_there_is_a_drop_and_no_score():
    fitter = causal_depth.Fitter(causal_depth.Settings())
    values = np.array([[-0.1, -0.3], [-1.1, -0.3]])
    findings = fitter.update(PatchObservation(("x", "y"), values[0], values, None)).finish()
    assert [row.drop for row in findings.tables["causal_depth"]] == pytest.approx([0, 0.5])
    assert math.isnan(findings.summary["unlearning_depth_score"])
    assert math.isnan(findings.summary["unlearning_depth_score_filtered_again"])
