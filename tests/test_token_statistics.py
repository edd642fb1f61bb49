"""What models think of every token: equal to the model's own logits, whatever is padded; greedy texts; gradient norms."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tiny_loaded import tiny_loaded

from brittle.models.continuations import continuations
from brittle.models.encoding import encode
from brittle.models.generation import GenerationSettings, stream
from brittle.models.gradient_norms import gradient_norms
from brittle.models.token_statistics import token_statistics

TEXTS = ["The quick brown fox jumps over the lazy dog", "A model", "The river runs to the sea while it reads"]


@pytest.mark.parametrize("architecture", ["gpt_neox", "llama", "gemma2"])
def test_statistics_are_those_of_the_models_own_logits(architecture: str) -> None:
    loaded = tiny_loaded(architecture)
    rows, starts = encode(loaded.tokenizer, TEXTS), [2, 1, 4]
    for batch_size in (1, 3):
        found = token_statistics(loaded, rows, starts, batch_size)
        for row, start, each in zip(rows, starts, found, strict=True):
            with torch.no_grad():
                logits = loaded.model(input_ids=torch.tensor([row])).logits[0, start - 1 : -1].double()
            probabilities = logits.softmax(-1)
            logs, own = logits.log_softmax(-1).numpy(), np.array(row[start:])
            np.testing.assert_allclose(each.log_probabilities, logs[range(len(own)), own], atol=1e-4)
            assert (each.right == (logits.argmax(-1).numpy() == own)).all()
            np.testing.assert_allclose(each.means, -torch.distributions.Categorical(probabilities).entropy(), atol=1e-4)
            expected = (probabilities.numpy() * (logs - each.means[:, None]) ** 2).sum(-1)
            np.testing.assert_allclose(each.variances, expected, atol=1e-3)


@pytest.mark.parametrize("architecture", ["gpt_neox", "llama", "opt"])
def test_greedy_continuations_are_those_of_one_text_at_a_time(architecture: str) -> None:
    loaded = tiny_loaded(architecture)
    rows, lengths = encode(loaded.tokenizer, TEXTS), [6, 3, 9]
    expected = []
    for text, most in zip(TEXTS, lengths):
        tokens = list(stream(loaded, text, GenerationSettings(max_tokens=most, temperature=0)))
        ended = tokens[-1].ended == "end of text"
        expected.append(loaded.tokenizer.decode([t.token_id for t in tokens][: -1 if ended else None]))
    loaded.model.generation_config.repetition_penalty = 5.0  # not heeded
    for batch_size in (1, 3):
        assert continuations(loaded, rows, lengths, batch_size) == expected
    assert any(expected)


def test_gradient_norms_are_those_of_finite_differences_and_leave_no_trace() -> None:
    loaded = tiny_loaded("llama")
    rows, starts = encode(loaded.tokenizer, TEXTS[:2]), [3, 1]
    before = {name: value.clone() for name, value in loaded.model.state_dict().items()}
    norms = gradient_norms(loaded, rows, starts)
    assert norms.shape == (2, 2) and (norms > 0).all() and (norms[:, 0] >= norms[:, 1]).all()
    assert all(each.grad is None for each in loaded.model.parameters())
    assert all(torch.equal(value, before[name]) for name, value in loaded.model.state_dict().items())

    def loss() -> float:
        return float(-token_statistics(loaded, rows[:1], starts[:1])[0].log_probabilities.mean())

    # a step along the gradient lowers the loss by the step times the squared norm
    loaded.model.double()
    logits = loaded.model(input_ids=torch.tensor(rows[:1])).logits[0, starts[0] - 1 : -1]
    torch.nn.functional.cross_entropy(logits, torch.tensor(rows[0][starts[0] :])).backward()
    step, first = 1e-5, loss()
    with torch.no_grad():
        for parameter in loaded.model.parameters():
            if parameter.grad is not None:
                parameter -= step * parameter.grad
    assert (first - loss()) / step == pytest.approx(norms[0, 0] ** 2, rel=0.02)
