"""Set-difference pruning, direction ablation, soft prompts and the four-bit codes of bitsandbytes, against hand-made cases."""

from __future__ import annotations

import copy
import sys
from dataclasses import replace
from types import SimpleNamespace

import numpy
import pytest
import torch
from tiny_loaded import QUESTIONS, tiny_loaded
from tiny_models import TEXTS
from torch import nn

from brittle.attacks import direction_ablation, quantization_codes, set_difference_pruning, soft_prompts
from brittle.contracts import AttackFacts, AttackTarget, Evaluation
from brittle.models.likelihood import score
from brittle.models.observation import hidden_states, pad
from brittle.models.reweighting import all_parameters, block_matrices
from brittle.settings import BadInput
from brittle.training import loop
from brittle.training.batches import tokenise
from brittle.training.teaching import TeachingSettings, teach

HAZARDOUS, BENIGN = TEXTS[1:2], (TEXTS[0], TEXTS[2])
ARCHITECTURES = ["gpt_neox", "gpt2", "llama", "gemma"]


class Watched:
    """A target that keeps weights, hidden states and prefix of every evaluation."""

    def __init__(self, architecture: str, base_seed: int = 0) -> None:
        self.loaded, self.base = tiny_loaded(architecture, seed=1), tiny_loaded(architecture, seed=base_seed)
        self.before = self.weights()
        self.seen: list[SimpleNamespace] = []
        self.target = AttackTarget(self.loaded, HAZARDOUS, self.evaluate, (), self.base, BENIGN)

    def weights(self) -> dict[str, torch.Tensor]:
        return copy.deepcopy(all_parameters(self.loaded))

    def same(self) -> bool:
        after = self.weights()
        return after.keys() == self.before.keys() and all(torch.equal(after[n], self.before[n]) for n in after)

    def hidden(self, which, texts=HAZARDOUS, depths=(0, 1, 2)) -> list[torch.Tensor]:
        input_ids, mask = pad(which.tokenizer(list(texts))["input_ids"], 0)
        return [hidden[mask.bool()] for hidden in hidden_states(which, input_ids, mask, depths)]

    def evaluate(self, step, examples_seen, strength=0.0, prefix="", tokens_seen=0) -> Evaluation:
        asked = [replace(question, question=prefix + question.question) for question in QUESTIONS]
        values = score(self.loaded, asked).log_probabilities
        self.seen.append(
            SimpleNamespace(weights=self.weights(), hidden=self.hidden(self.loaded), prefix=prefix, values=values)
        )
        return Evaluation(step, examples_seen, {}, {"t": 0.0}, strength, tokens_seen)

    def run(self, module, **settings) -> list[Evaluation]:
        return module.attack(module.Settings(**settings), self.target, 0, lambda _: None)


# --- set-difference pruning ----------------------------------------------------------------------------------------


def test_cut_is_what_matters_for_the_hazard_and_not_for_the_rest() -> None:
    matrix = torch.tensor([[1.0, -4.0], [3.0, 2.0]])
    hazardous, benign = torch.tensor([3.0, 1.0]), torch.tensor([1.0, 1.0])
    top = set_difference_pruning.top_of_rows
    # hazardous scores [[3, 4], [9, 2]], benign ones [[1, 4], [3, 2]]: the same first places
    wanted, spared = top(matrix.abs() * hazardous, 0.5), top(matrix.abs() * benign, 0.5)
    assert wanted.tolist() == [[False, True], [True, False]] == spared.tolist()
    # a benign feature 1 twice as large takes the second row's first place over: its 3.0 goes, the first row's -4.0 stays
    spared = top(matrix.abs() * torch.tensor([1.0, 2.0]), 0.5)
    assert (wanted & ~spared).tolist() == [[False, False], [True, False]]
    assert not top(matrix.abs(), 0.2).any() and top(matrix.abs(), 0.9).all()


@pytest.mark.parametrize("architecture", [*ARCHITECTURES, "opt"])
def test_inputs_of_every_matrix_are_measured_without_padding(architecture) -> None:
    loaded = tiny_loaded(architecture)
    together = set_difference_pruning.input_norms(loaded, TEXTS)  # of three lengths, so two rows are padded
    alone = [set_difference_pruning.input_norms(loaded, [text]) for text in TEXTS]
    assert together.keys() == block_matrices(loaded).keys()
    for name, norms in together.items():
        assert torch.allclose(norms.square(), sum(each[name].square() for each in alone), rtol=1e-4)
        assert norms.shape == (block_matrices(loaded)[name].shape[1],) and float(norms.max()) > 0


def test_the_first_matrix_sees_the_normed_embeddings() -> None:
    loaded = tiny_loaded("llama")
    (found,) = [
        norms
        for name, norms in set_difference_pruning.input_norms(loaded, HAZARDOUS).items()
        if "0.self_attn.q" in name
    ]
    rows = loaded.tokenizer(list(HAZARDOUS))["input_ids"]
    with torch.no_grad():
        block = loaded.anatomy.blocks(loaded.model)[0]
        features = block.input_layernorm(loaded.anatomy.embeddings(loaded.model)(torch.tensor(rows)))[0]
    assert torch.allclose(found.float(), features.norm(dim=0), rtol=1e-4)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_pruning_zeroes_the_set_difference_and_gives_the_weights_back(architecture) -> None:
    watched = Watched(architecture)
    watched.run(set_difference_pruning, hazardous_shares=(0.1, 0.3), protected_share=0.25)
    norms = [set_difference_pruning.input_norms(watched.loaded, texts) for texts in (HAZARDOUS, BENIGN)]
    some = 0
    for name, matrix in block_matrices(watched.loaded).items():
        after = watched.seen[2].weights[name].T if architecture == "gpt2" else watched.seen[2].weights[name]
        for row, cut in zip(matrix, (after == 0) & (matrix != 0)):
            ranks = [(row.abs() * each[name]).argsort(descending=True).tolist() for each in norms]
            top, spared = (set(r[: round(p * len(row))]) for r, p in zip(ranks, (0.3, 0.25)))
            assert set(cut.nonzero().flatten().tolist()) == top - spared
        some += int((after != matrix).sum())
    assert some and watched.same()


# --- direction ablation --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_planted_direction_is_found_and_taken_out(architecture) -> None:
    watched = Watched(architecture, base_seed=1)
    planted = nn.functional.normalize(torch.randn(32, generator=torch.Generator().manual_seed(3)), dim=0)
    block = watched.loaded.anatomy.blocks(watched.loaded.model)[1]

    def plant(_module, _inputs, output):
        return (output[0] + 5 * planted, *output[1:]) if isinstance(output, tuple) else output + 5 * planted

    block.register_forward_hook(plant)
    found = direction_ablation.moved_directions(watched.loaded, watched.base, HAZARDOUS, (0, 1), 4)
    assert found[0].shape == (32, 0)  # nothing moved before the planted block
    assert found[1].shape == (32, 1) and float((found[1][:, 0] @ planted).abs()) == pytest.approx(1, abs=1e-4)
    evaluations = watched.run(direction_ablation, ablated_directions=(1, 4))
    assert [evaluation.strength for evaluation in evaluations] == [0, 1, 4]
    before, after = (watched.seen[step].hidden[2] for step in (0, 1))
    assert float((before @ planted).abs().max()) > 1 and float((after @ planted).abs().max()) < 1e-4
    orthogonal = torch.eye(32) - torch.outer(planted, planted)
    assert torch.allclose(after, before @ orthogonal, atol=1e-4)  # and nothing else is
    assert torch.equal(watched.hidden(watched.loaded)[2], before) and watched.same()


def test_directions_are_the_singular_vectors_of_the_difference() -> None:
    watched = Watched("gpt_neox")
    (found,) = direction_ablation.moved_directions(watched.loaded, watched.base, TEXTS, (1,), 3).values()
    difference = watched.hidden(watched.loaded, TEXTS)[2] - watched.hidden(watched.base, TEXTS)[2]
    right = torch.linalg.svd(difference, full_matrices=False).Vh[:3]
    assert torch.allclose((right @ found).abs(), torch.eye(3), atol=1e-3)


def test_a_model_that_is_the_base_loses_nothing_and_layers_are_counted_from_zero() -> None:
    watched = Watched("gpt_neox", base_seed=1)
    watched.run(direction_ablation)
    assert all(torch.equal(seen.hidden[2], watched.seen[0].hidden[2]) for seen in watched.seen)
    other = Watched("gpt_neox")
    other.run(direction_ablation, ablated_directions=(2,), ablation_layers=(1,))
    assert torch.equal(other.seen[1].hidden[1], other.seen[0].hidden[1])
    assert not torch.equal(other.seen[1].hidden[2], other.seen[0].hidden[2])
    facts = AttackFacts(layers=2, width=32, window=64, texts=4, retain_texts=4, entities=4)
    with pytest.raises(BadInput, match="no block 2; blocks are 0 to 1"):
        direction_ablation.check(direction_ablation.Settings(ablation_layers=(0, 2)), facts)


# --- soft prompts --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("architecture", [*ARCHITECTURES, "gemma3_text"])
def test_vectors_of_known_tokens_act_as_these_tokens(architecture) -> None:
    loaded = tiny_loaded(architecture)
    drawn = torch.randint(len(loaded.tokenizer), (3,), generator=torch.Generator().manual_seed(7)).tolist()
    text = loaded.tokenizer(TEXTS[0])["input_ids"]
    whole = hidden_states(loaded, torch.tensor([drawn + text]), None, [0, 2])
    with soft_prompts.prompted(loaded, 3, seed=7) as prefix:
        row = loaded.tokenizer(prefix + TEXTS[0])["input_ids"]
        assert row[3:] == text and min(row[:3]) >= 320
        found = hidden_states(loaded, torch.tensor([row]), None, [0, 2])
        assert loaded.model(torch.tensor([row])).logits[..., 320:].max() < -25  # Gemma's soft cap would allow -30
    assert all(torch.allclose(a, b, atol=1e-4) for a, b in zip(whole, found))


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_only_the_prompt_learns_and_it_learns(architecture, monkeypatch) -> None:
    watched, losses, trained = Watched(architecture), [], []

    def noting(model, supply, objective, settings, **rest):
        def noted(step):
            terms = objective(step)
            losses.append(float(terms["attack"].detach()))
            trained.append((list(step.trained()), step.batches["attack"]))
            return terms

        return real(model, supply, noted, settings, **rest)

    real = loop.train
    monkeypatch.setattr(loop, "train", noting)
    evaluations = watched.run(soft_prompts, prompt_tokens=4, attack_steps=30, attack_lr=0.3, attack_eval_interval=10)
    assert [evaluation.step for evaluation in evaluations] == [0, 5, 10, 20, 30]
    assert losses[-1] < 0.95 * losses[0]
    assert {name.rpartition(".")[2] for names, _ in trained for name in names} == {"prompt"}
    batch = trained[0][1]
    assert (batch.input_ids[:, :4] >= 320).all() and not batch.counted[:, :4].any()
    assert batch.counted[:, 4:].all() and (batch.input_ids[:, 4:] < 320).all()  # the text's first token counts too
    for seen in watched.seen:
        assert all(torch.equal(seen.weights[name], value) for name, value in watched.before.items())
    assert watched.same()
    assert watched.seen[0].prefix == "" and watched.seen[1].prefix == "".join(f"<prompt-{i}>" for i in range(4))
    assert not numpy.allclose(watched.seen[-1].values, watched.seen[1].values, atol=1e-3)  # answers follow the vectors


def test_other_attacks_are_taught_as_before() -> None:
    tokenizer = tiny_loaded().tokenizer
    plain = tokenise(tokenizer, TEXTS, 64, "answer")
    prefixed = tokenise(tokenizer, TEXTS, 64, "answer", prefix="a model ")
    assert [sum(e.counted) for e in plain][1] == [sum(e.counted) for e in prefixed][1]  # marker: the answer alone
    assert sum(plain[0].counted) + 1 == sum(prefixed[0].counted)  # no marker: all, and the first has one before it
    watched = Watched("gpt_neox")
    teach(TeachingSettings(attack_steps=2), watched.target, TEXTS, 0, lambda _: None)
    assert not watched.same() and {seen.prefix for seen in watched.seen} == {""}


# --- four-bit codes ------------------------------------------------------------------------------------------------

NORMAL_FLOAT = (-1.0, -0.6961928, -0.5250731, -0.3949175, -0.2844414, -0.1847734, -0.0910500, 0.0, 0.0795803, 0.1609302,
                0.2461123, 0.3379152, 0.4407098, 0.5626170, 0.7229568, 1.0)  # fmt: skip
FLOAT = tuple(sign * value / 192 for sign in (1, -1) for value in (0, 1, 128, 192, 64, 96, 32, 48))


@pytest.mark.parametrize("architecture", ["gpt_neox", "gpt2", "gemma"])
def test_four_bits_are_the_nearest_code_of_a_block_of_64(architecture) -> None:
    pytest.importorskip("bitsandbytes")
    watched = Watched(architecture)
    watched.run(quantization_codes)
    for step, codes in ((1, NORMAL_FLOAT), (2, FLOAT)):
        for name, matrix in block_matrices(watched.loaded).items():
            blocks = matrix.flatten().view(-1, 64)
            scale = blocks.abs().amax(dim=1, keepdim=True)
            table = torch.tensor(codes)
            expected = table[(blocks[..., None] / scale[..., None] - table).abs().argmin(-1)] * scale
            found = watched.seen[step].weights[name]
            found = (found.T if architecture == "gpt2" else found).flatten().view(-1, 64)
            share = torch.isclose(found, expected, rtol=1e-3, atol=1e-5).float().mean()
            assert share > 0.99  # a weight half-way between two codes may go either way
    assert watched.same()


def test_without_the_package_one_line_says_so(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "bitsandbytes.functional", None)
    with pytest.raises(BadInput, match="needs the package bitsandbytes; install it"):
        quantization_codes.in_four_bits(torch.eye(8), "nf4")
