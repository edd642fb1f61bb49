"""The activation pass against transformers' own hidden states, and what padding, order and stopping must not change."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from tiny_loaded import RELATIVES, tiny_loaded
from tiny_models import ARCHITECTURES

from brittle.models.observation import hidden_states, observe
from brittle.settings import BadInput

TEXTS = [
    "The quick brown fox jumps over the lazy dog while the river runs to the sea.",
    "A fox.",
    "",
    "An unlearned model may only hide what it read.",
    "The amber resin is stored in the northern cellar.",
]


class Collector:
    """Keeps every observation."""

    def __init__(self):
        self.seen = []

    def update(self, observation):
        self.seen.append(observation)
        return self

    def by_text(self, side="hidden_a"):
        """Hidden states of the real tokens, ``[depths, tokens, width]``, by split and text."""
        found = {}
        for observation in self.seen:
            for row, index in enumerate(observation.text_indices):
                real = observation.mask[row].bool()
                found[observation.split, index] = torch.stack([h[row][real] for h in getattr(observation, side)])
        return found


def collect(texts=None, model_b=None, architecture="gpt_neox", **options):
    collector = Collector()
    observe(tiny_loaded(architecture), model_b, texts or {"forget": TEXTS}, [collector], **options)
    return collector


@pytest.mark.parametrize("architecture", ARCHITECTURES + RELATIVES)
def test_depths_are_the_models_own_hidden_states_before_the_final_norm(architecture):
    loaded = tiny_loaded(architecture)
    input_ids = torch.tensor([loaded.tokenizer(TEXTS[0])["input_ids"]])
    with torch.no_grad():
        output = loaded.model(input_ids=input_ids, output_hidden_states=True)
    found = hidden_states(loaded, input_ids, None, range(3))
    for mine, theirs in zip(found[:2], output.hidden_states[:2], strict=True):
        assert torch.allclose(mine, theirs, atol=1e-6)
    norm = loaded.anatomy.final_norm(loaded.model)
    assert torch.allclose(norm(found[2]), output.hidden_states[2], atol=1e-5)
    assert not torch.allclose(found[2], output.hidden_states[2], atol=1e-2)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_padding_and_batch_size_change_no_real_token(architecture):
    alone, together = (collect(architecture=architecture, batch_size=size).by_text() for size in (1, 4))
    assert alone.keys() == together.keys() == {("forget", index) for index in (0, 1, 3, 4)}
    for key, hidden in alone.items():
        assert torch.allclose(hidden, together[key], atol=1e-5), key


def test_the_order_of_texts_changes_nothing():
    forward, backward = collect().by_text(), collect({"forget": TEXTS[::-1]}).by_text()
    for split, index in forward:
        assert torch.allclose(forward[split, index], backward[split, len(TEXTS) - 1 - index], atol=1e-5)


def test_both_models_see_the_same_batch_and_every_fitter_sees_all():
    other = tiny_loaded(seed=1)
    fitters = [Collector(), Collector()]
    observe(tiny_loaded(), other, {"forget": TEXTS, "retain": TEXTS[:1]}, fitters, batch_size=3)
    assert [len(fitter.seen) for fitter in fitters] == [3, 3]
    observed, alone = fitters[0].by_text("hidden_b"), Collector()
    observe(other, None, {"forget": TEXTS}, [alone])
    for key, hidden in alone.by_text().items():
        assert torch.allclose(hidden, observed[key], atol=1e-5)
    assert not torch.allclose(observed["forget", 0], fitters[0].by_text()["forget", 0], atol=1e-2)
    assert alone.seen[0].hidden_b is None


def test_shapes_mask_and_length_limit():
    collector = collect(batch_size=2, max_length=5)
    assert sorted(index for each in collector.seen for index in each.text_indices) == [0, 1, 3, 4]
    for each in collector.seen:
        assert len(each.hidden_a) == 3
        assert each.hidden_a[0].shape == (*each.mask.shape, 32)
        assert each.mask.shape[1] <= 5
        assert (each.mask.diff(dim=1) <= 0).all(), "padding is on the right"


def test_the_pass_stops_after_the_last_block_that_is_read_and_leaves_no_hook():
    loaded = tiny_loaded()
    ran = []
    blocks = loaded.anatomy.blocks(loaded.model)
    for name, module in (("2", blocks[1]), ("head", loaded.anatomy.unembedding(loaded.model))):
        module.register_forward_pre_hook(lambda _module, _inputs, name=name: ran.append(name))
    hooks = [(len(block._forward_hooks), len(block._forward_pre_hooks)) for block in blocks]
    for last_depth, expected in ((0, []), (1, []), (2, ["2"]), (None, ["2"])):
        ran.clear()
        observe(loaded, None, {"forget": TEXTS[:1]}, [collector := Collector()], last_depth=last_depth)
        assert ran == expected
        assert len(collector.seen[0].hidden_a) == (3 if last_depth is None else last_depth + 1)
    assert hooks == [(len(block._forward_hooks), len(block._forward_pre_hooks)) for block in blocks]


def test_an_error_inside_the_model_is_not_swallowed_and_leaves_no_hook():
    loaded = tiny_loaded()
    block = loaded.anatomy.blocks(loaded.model)[0]

    def fail(_module, _inputs):
        raise RuntimeError("out of memory")

    handle = block.register_forward_pre_hook(fail)
    with pytest.raises(RuntimeError, match="out of memory"):
        observe(loaded, None, {"forget": TEXTS}, [Collector()])
    handle.remove()
    assert not block._forward_hooks
    assert not block._forward_pre_hooks


@pytest.mark.parametrize("texts", [[], [""]])
def test_a_split_without_text_is_refused_before_any_model_runs(texts):
    collector = Collector()
    broken = dataclasses.replace(tiny_loaded(), device="nowhere")
    with pytest.raises(BadInput, match="no retain text"):
        observe(broken, None, {"forget": TEXTS, "retain": texts}, [collector], last_depth=1)
    assert not collector.seen


def test_what_fitters_share_is_taken_from_real_tokens_alone():
    collector = collect({"forget": TEXTS, "retain": TEXTS[:2]}, model_b=tiny_loaded(seed=1), batch_size=3)
    for side in "ab":
        by_text = collector.by_text(f"hidden_{side}")
        for each in collector.seen:
            rows = [by_text[each.split, index].double() for index in each.text_indices]
            tokens = torch.cat([row[1] for row in rows]).float()
            assert torch.equal(each.tokens(side, 1), tokens)
            assert each.tokens(side, 1) is each.tokens(side, 1)
            assert torch.allclose(each.text_means(side), torch.stack([row.mean(dim=1) for row in rows]), atol=1e-12)
            assert torch.equal(each.last_tokens(side).double(), torch.stack([row[:, -1] for row in rows]))
            assert each.tokens_per_text.tolist() == [row.shape[1] for row in rows]
            assert each.text_of_token.bincount().tolist() == each.tokens_per_text.tolist()


def test_texts_are_told_apart_by_their_tokens_whatever_their_order():
    forward = collect({"forget": TEXTS, "retain": [*TEXTS, TEXTS[0]]}, batch_size=2)
    keys = {}
    for each in forward.seen:
        keys.update({(each.split, index): key for index, key in zip(each.text_indices, each.keys)})
        assert (each.model_a, each.model_b) == ("gpt_neox-0", "")
    assert keys["forget", 0] == keys["retain", 0] == keys["retain", 5]
    assert len(set(keys.values())) == 4
    assert collect(max_length=2).seen[0].keys != forward.seen[0].keys


def test_one_model_alone_has_no_second_side():
    with pytest.raises(ValueError, match="needs both models"):
        collect().seen[0].text_means("b")
