"""One set of tests for every file in ``methods/``: losses, gradients, and what must change nothing.

A new method is examined as soon as it is there.
"""

from __future__ import annotations

import copy
import dataclasses
from typing import Any

import pytest
import torch
from tiny_loaded import tiny_loaded
from tiny_models import TEXTS, tiny_tokenizer
from torch.nn import functional

from brittle import discovery
from brittle.settings import with_overrides
from brittle.training import adversary
from brittle.training.batches import Batch, collate, tokenise
from brittle.training.loop import totals_of
from brittle.training.reference import reference_states
from brittle.training.step import HEAD, Step

METHODS = {name: plugin.load() for name, plugin in discovery.plugins("methods").items()}
NAMES = sorted(METHODS)
LAYERED = [name for name in NAMES if METHODS[name].NEEDS.layers]
REPRESENTATION = [name for name in LAYERED if METHODS[name].NEEDS.reference_hidden_states]
HELD_FIXED = {"wga", "satimp", "ce_u", "npo_sam", "tar"}
"""A factor of the loss is held fixed on purpose, so the gradient is not the loss's slope (test_methods_values_held_fixed has them)."""
PER_MICRO_BATCH = {"npo_sam", "tar"}
"""Where weights are shifted, each micro-batch shifts them by its own gradient."""
WITHOUT_LOGITS = [name for name in NAMES if not METHODS[name].NEEDS.logits]
DEPTH, LAYERS = 3, (0, 1)
TEXTS_OF = {
    "forget": [TEXTS[0], "A fox.", TEXTS[1], "which amber resin"],
    "refusal": ["The quick brown fox. I do", "A fox. I do", "Question: which? I do", "which amber I do"],
    "retain": ["The river runs to the sea.", TEXTS[2], "it may only hide it", "the dog"],
}
EXAMPLES = {split: tokenise(tiny_tokenizer(), texts, 24) for split, texts in TEXTS_OF.items()}


@pytest.fixture(params=NAMES)
def name(request) -> str:
    return request.param


@pytest.fixture(autouse=True)
def fixed_adversary(request, monkeypatch, tmp_path) -> None:
    """The adversary's answer is held fixed by example, so that a loss is a smooth function of the weights alone."""
    monkeypatch.setenv("BRITTLE_HOME", str(tmp_path))
    if "real_adversary" not in request.fixturenames:
        monkeypatch.setattr(adversary, "helpful_perturbation", fixed_perturbation)


@pytest.fixture
def real_adversary() -> None:
    """Asks for the latent adversary as it is."""


def fixed_perturbation(
    step: Step, layer: int, radius: float, steps: int, split: str = "forget", **_: Any
) -> torch.Tensor:
    batch = step.batches[split]
    perturbation = torch.zeros(*batch.input_ids.shape, step.width)
    for row, example in enumerate(batch.examples):
        generator = torch.Generator().manual_seed(example)
        perturbation[row] = torch.rand(perturbation.shape[1:], generator=generator)
    return radius * perturbation


def settings_of(method):
    return with_overrides(method.Settings, {"layer_id": LAYERS})


@dataclasses.dataclass
class Trial:
    """A method at work on a tiny model that has already moved a little from where it started."""

    method: Any
    loaded: Any
    reference: Any
    initial: Any

    def batches(self, positions, padding: int = 0) -> dict[str, Batch]:
        """The declared splits' examples, with that many columns of padding more than they need."""
        return {split: padded(collate(EXAMPLES[split], positions, 0), padding) for split in self.method.NEEDS.splits}

    def terms(self, positions=(0, 1, 2, 3), of=None, padding: int = 0) -> dict[str, torch.Tensor]:
        """The loss terms of one micro-batch of the optimizer step that holds the micro-batches ``of``."""
        parts = of or [positions]
        totals = totals_of([self.batches(part) for part in parts])
        step = Step(
            self.loaded.model, self.batches(positions, padding), totals,
            anatomy=self.loaded.anatomy, reference=self.reference, seed=7,
            initial=self.initial, share=1 / len(parts),
        )  # fmt: skip
        return self.method.loss(settings_of(self.method), step)

    def loss(self) -> torch.Tensor:
        return torch.stack(list(self.terms().values())).sum()


def padded(batch: Batch, columns: int) -> Batch:
    wider = [functional.pad(part, (0, columns)) for part in (batch.input_ids, batch.attention_mask, batch.counted)]
    return Batch(*wider, batch.examples)


def trial_of(name: str, architecture: str = "gpt_neox") -> Trial:
    """What a workflow does before the first step; then every weight is moved, so that no term sits at its minimum."""
    method, loaded = METHODS[name], tiny_loaded(architecture, num_hidden_layers=DEPTH)
    needs = method.NEEDS
    states = {*needs.reference_hidden_states, *needs.reference_logits}
    examples = {split: EXAMPLES[split] for split in sorted(states | {*needs.reference_log_probabilities})}
    layers = [*(LAYERS if needs.reference_hidden_states else ()), *([HEAD] if needs.reference_logits else ())]
    reference = reference_states(
        loaded.model, loaded.anatomy, examples, layers, digest=architecture, padding=0, device="cpu",
        log_probabilities=needs.reference_log_probabilities,
    ) if examples else None  # fmt: skip
    initial = {key: p.detach().clone() for key, p in loaded.model.named_parameters()} if needs.initial_weights else None
    if hasattr(method, "prepare"):
        method.prepare(settings_of(method), loaded.model, 7)
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in loaded.model.parameters():
            parameter += 0.02 * torch.randn(parameter.shape, generator=generator)
    return Trial(method, loaded, reference, initial)


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


@pytest.fixture
def double_precision(monkeypatch) -> None:
    """``.float()`` lifts half precision to single; on a model in float64 it would round, so here it lifts to double."""
    monkeypatch.setattr(torch.Tensor, "float", torch.Tensor.double)


def slope(trial: Trial, parameters, direction, size: float = 1e-5) -> float:
    """The loss's central difference along a direction in the space of weights."""
    values = []
    with torch.no_grad():
        for sign in (1, -2):
            for parameter, change in zip(parameters, direction):
                parameter += sign * size * change
            values.append(float(trial.loss()))
        for parameter, change in zip(parameters, direction):
            parameter += size * change
    return (values[0] - values[1]) / (2 * size)


@pytest.mark.parametrize("name", sorted(set(NAMES) - HELD_FIXED), indirect=True)
def test_gradient_is_the_slope_of_the_loss(name, double_precision) -> None:
    trial = trial_of(name)
    trial.loaded.model.double()
    parameters = list(trial.loaded.model.parameters())
    gradients = torch.autograd.grad(trial.loss(), parameters, materialize_grads=True)
    generator = torch.Generator().manual_seed(1)
    everywhere = [torch.randn(p.shape, generator=generator, dtype=p.dtype) for p in parameters]
    assert slope(trial, parameters, everywhere) == pytest.approx(dot(gradients, everywhere), rel=1e-5)
    scale = max(float(gradient.abs().max()) for gradient in gradients)
    for index in range(0, len(parameters), 5):
        entry = [torch.zeros_like(p) for p in parameters]
        position = int(torch.randint(parameters[index].numel(), (), generator=generator))
        entry[index].view(-1)[position] = 1
        expected = dot(gradients, entry)
        assert slope(trial, parameters, entry) == pytest.approx(expected, rel=1e-4, abs=1e-7 * scale)


def dot(left, right) -> float:
    return float(sum((a * b).sum() for a, b in zip(left, right)))


@pytest.mark.parametrize("name", sorted(set(NAMES) - PER_MICRO_BATCH), indirect=True)
def test_one_batch_of_four_is_two_accumulated_batches_of_two(name) -> None:
    trial = trial_of(name)
    whole = trial.terms((0, 1, 2, 3))
    halves = [trial.terms(half, of=[(0, 1), (2, 3)]) for half in ((0, 1), (2, 3))]
    for term, value in whole.items():
        torch.testing.assert_close(halves[0][term] + halves[1][term], value, rtol=1e-4, atol=1e-6)


def test_padding_changes_nothing(name) -> None:
    trial = trial_of(name)
    narrow = trial.terms()
    for term, value in trial.terms(padding=5).items():
        torch.testing.assert_close(value, narrow[term], rtol=1e-4, atol=1e-6)


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
