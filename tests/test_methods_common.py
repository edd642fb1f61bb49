"""One set of tests for every file in ``methods/``: losses, and what must change nothing.

A new method is examined as soon as it is there. Gradients: test_methods_gradients.
"""

from __future__ import annotations

import copy

import pytest
import torch
from method_trials import METHODS, MIDDLE, NAMES, fixed_perturbation, trial_of

from brittle.training import adversary

LAYERED = [name for name in NAMES if METHODS[name].NEEDS.layers]
REPRESENTATION = [name for name in LAYERED if METHODS[name].NEEDS.reference_hidden_states]
TOGETHER = [name for name in NAMES if METHODS[name].NEEDS.together]
STILL = {"scrub"}
"""What compares the model with itself alone, and so has no slope at the very first step."""
WITHOUT_LOGITS = [name for name in NAMES if not METHODS[name].NEEDS.logits]


@pytest.fixture(params=NAMES)
def name(request) -> str:
    return request.param


@pytest.fixture(autouse=True)
def fixed_adversary(request, monkeypatch, tmp_path) -> None:
    """The adversary's answer is held fixed by example, unless a test asks for the real one."""
    monkeypatch.setenv("BRITTLE_HOME", str(tmp_path))
    if "real_adversary" not in request.fixturenames:
        monkeypatch.setattr(adversary, "helpful_perturbation", fixed_perturbation)


@pytest.fixture
def real_adversary() -> None:
    """Asks for the latent adversary as it is."""


@pytest.mark.parametrize("architecture", ["gpt_neox", "llama"])
def test_loss_and_gradients_are_finite(name, architecture, real_adversary) -> None:
    trial = trial_of(name, architecture)
    terms = trial.terms()
    assert all(term.shape == () and bool(torch.isfinite(term)) for term in terms.values())
    torch.stack(list(terms.values())).sum().backward()
    gradients = [parameter.grad for parameter in trial.loaded.model.parameters() if parameter.grad is not None]
    assert all(bool(torch.isfinite(gradient).all()) for gradient in gradients)
    assert any(bool(gradient.any()) for gradient in gradients)


def test_the_same_step_gives_the_same_loss(name, real_adversary) -> None:
    trial = trial_of(name)
    assert float(trial.loss().detach()) == float(trial.loss().detach())


@pytest.mark.parametrize("moved", [False, True], ids=["first step", "later step"])
def test_accumulation_changes_nothing(name, moved) -> None:
    """One batch of eight is two of four and four of two, in every weight's gradient, from the very first step on."""
    trial = trial_of(name, moved=moved)
    trial.number = MIDDLE if moved else 0
    eight = (0, 1, 2, 3, 3, 2, 1, 0)
    whole = trial.gradient([eight])
    largest = max(float(part.abs().max()) for part in whole.values())
    assert largest > 0 or (name in STILL and not moved)
    for parts in ([eight[:4], eight[4:]], [eight[first : first + 2] for first in range(0, 8, 2)]):
        for key, gradient in trial.gradient(parts).items():
            torch.testing.assert_close(gradient, whole[key], rtol=0, atol=1e-5 * largest, msg=f"{len(parts)}: {key}")


def test_padding_changes_nothing(name) -> None:
    trial = trial_of(name)
    narrow = trial.terms()
    for term, value in trial.terms(padding=5).items():
        torch.testing.assert_close(value, narrow[term], rtol=1e-4, atol=1e-6)


def test_a_few_tokens_at_a_time_give_the_same_loss_and_gradients(name) -> None:
    trial = trial_of(name)
    parameters = list(trial.loaded.model.parameters())
    whole, chunked = trial.terms(), trial.terms(chunk=5)
    for term, value in whole.items():
        torch.testing.assert_close(chunked[term], value, rtol=1e-4, atol=1e-6)
    slopes = [torch.autograd.grad(sum(terms.values()), parameters, allow_unused=True) for terms in (whole, chunked)]
    for expected, found in zip(*slopes):
        assert (expected is None) == (found is None)
        if expected is not None:
            torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4 * float(expected.abs().max()))


@pytest.mark.parametrize("name", TOGETHER, indirect=True)
def test_one_pass_over_all_splits_gives_the_same_loss_and_gradients(name) -> None:
    trial = trial_of(name)
    parameters, calls = list(trial.loaded.model.parameters()), []
    trial.loaded.anatomy.blocks(trial.loaded.model)[0].register_forward_hook(lambda *_: calls.append(1))
    joint = trial.terms(together=True)
    assert len(calls) == 1
    alone = trial.terms(together=False)
    assert len(calls) == 1 + len(trial.method.NEEDS.splits)
    for term, value in alone.items():
        torch.testing.assert_close(joint[term], value, rtol=1e-4, atol=1e-6)
    slopes = [torch.autograd.grad(sum(terms.values()), parameters, allow_unused=True) for terms in (alone, joint)]
    for expected, found in zip(*slopes):
        assert (expected is None) == (found is None)
        if expected is not None:
            torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4 * float(expected.abs().max()))


@pytest.mark.parametrize("name", REPRESENTATION, indirect=True)
def test_layers_deeper_than_those_read_receive_no_gradient(name, real_adversary) -> None:
    trial = trial_of(name)
    trial.loss().backward()
    blocks = trial.loaded.anatomy.blocks(trial.loaded.model)
    assert all(bool(p.grad.any()) for block in blocks[:2] for p in block.parameters() if p.grad is not None)
    assert any(p.grad is not None for p in blocks[1].parameters())
    assert all(p.grad is None for p in blocks[2].parameters())
    assert all(p.grad is None for p in trial.loaded.anatomy.unembedding(trial.loaded.model).parameters())


@pytest.mark.parametrize("name", WITHOUT_LOGITS, indirect=True)
def test_a_method_that_declares_no_logits_never_runs_the_unembedding(name, real_adversary) -> None:
    trial, calls = trial_of(name), []
    trial.loaded.anatomy.unembedding(trial.loaded.model).register_forward_hook(lambda *_: calls.append(1))
    trial.loss()
    assert calls == []


def test_computing_a_loss_moves_no_weight_and_leaves_no_hook(name, real_adversary) -> None:
    trial = trial_of(name)
    before = copy.deepcopy(trial.loaded.model.state_dict())
    trial.loss()
    assert all(torch.equal(before[key], value) for key, value in trial.loaded.model.state_dict().items())
    assert all(not module._forward_hooks for module in trial.loaded.model.modules())
    assert all(parameter.grad is None for parameter in trial.loaded.model.parameters())
