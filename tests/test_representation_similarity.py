"""CKA, shift and cosine between representations whose relation is known, and the spread columns of step 3."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from planted_states import found_by, gaussian, observed, rotation

from brittle.diagnostics import activation_comparison
from brittle.diagnostics import representation_similarity as step
from brittle.mathematics import similarity
from brittle.settings import BadInput

WIDTH, TEXTS, TOKENS = 16, 40, 5
LENGTHS = [1 + index % TOKENS for index in range(TEXTS)]


def states(seed=0):
    return 3 + gaussian(TEXTS, TOKENS, WIDTH, seed=seed)


def rows(a, b, lengths=LENGTHS, **settings):
    retain = states(9)
    findings = found_by(step, observed("forget", a, b, lengths), observed("retain", retain, retain), **settings)
    forget, same = findings.tables["representation_similarity"]
    assert (same.mean_shift, same.relative_mean_shift, same.cosine_distance, same.mean_shift_high) == (0, 0, 0, 0)
    assert same.linear_cka == pytest.approx(1)
    assert same.cka_above_chance == pytest.approx(1)
    return forget


def means(hidden):
    return np.stack([text[:length].double().mean(0).numpy() for text, length in zip(hidden, LENGTHS)])


def test_against_the_textbook_formula():
    a, b = states(), 0.5 * states() + states(1)
    x, y = (means(each) - means(each).mean(0) for each in (a, b))
    expected = np.linalg.norm(y.T @ x) ** 2 / np.linalg.norm(x.T @ x) / np.linalg.norm(y.T @ y)
    found = rows(a, b)
    assert found.linear_cka == pytest.approx(expected, rel=1e-5)
    assert found.linear_cka_low < found.linear_cka_high
    left, right = means(a), means(b)
    cosines = (left * right).sum(1) / np.linalg.norm(left, axis=1) / np.linalg.norm(right, axis=1)
    assert found.cosine_distance == pytest.approx(1 - cosines.mean(), rel=1e-5)


def test_rotation_scale_and_shift_leave_cka_at_1():
    found = rows(states(), 2 * states() @ rotation(WIDTH) + 5)
    assert found.linear_cka == pytest.approx(1, abs=1e-6)
    assert found.linear_cka_std == pytest.approx(0, abs=1e-6)
    assert found.mean_shift > 1


def test_a_constant_shift_is_found_with_its_length():
    shift = gaussian(WIDTH, seed=4)
    found = rows(states(), states() + shift)
    length = float(shift.norm())
    for name in ("mean_shift", "mean_shift_mean", "mean_shift_low", "mean_shift_high"):
        assert getattr(found, name) == pytest.approx(length, rel=1e-5)
    tokens = torch.cat([text[:each] for text, each in zip(states(), LENGTHS)])
    assert found.relative_mean_shift == pytest.approx(length / float(tokens.mean(0).norm()), rel=1e-5)


def test_the_shift_is_a_mean_over_tokens_not_over_texts():
    a = torch.zeros(2, 4, 3) + 1
    b = a.clone()
    b[0] += torch.tensor([4.0, 0, 0])
    found = rows(a, b, lengths=[3, 1])
    assert found.mean_shift == pytest.approx(3)
    assert math.isnan(found.cka_above_chance)


def test_unrelated_gaussians_are_at_chance():
    """E CKA ≈ width / (width + texts) for isotropic Gaussians; above chance, 0."""
    found = rows(states(), states(1), lengths=None)
    assert found.expected_cka == pytest.approx(WIDTH / (WIDTH + TEXTS), rel=0.1)
    assert found.linear_cka == pytest.approx(found.expected_cka, rel=0.25)
    assert abs(found.cka_above_chance) < 0.1


def test_the_expectation_is_the_mean_over_all_matchings():
    from itertools import permutations

    left, right = (similarity.centred_gram(gaussian(5, 3, seed=seed)) for seed in (1, 2))
    ones = torch.ones(1, 5, dtype=torch.float64)
    _, chance = similarity.centred_kernel_alignment(left, right, ones)
    matched = [
        similarity.centred_kernel_alignment(left, right[list(order)][:, list(order)], ones)[0]
        for order in permutations(range(5))
    ]
    assert float(chance) == pytest.approx(float(torch.cat(matched).mean()), rel=1e-9)


def test_weights_repeat_texts():
    values = gaussian(6, 4, seed=1), gaussian(6, 3, seed=2)
    weights = torch.tensor([[0.0, 1, 2, 1, 1, 1]], dtype=torch.float64)
    repeated = [1, 2, 2, 3, 4, 5]
    found, _ = similarity.centred_kernel_alignment(*(similarity.centred_gram(each) for each in values), weights)
    again = [similarity.centred_gram(each[repeated]) for each in values]
    expected, _ = similarity.centred_kernel_alignment(*again, torch.ones(1, 6, dtype=torch.float64))
    assert float(found) == pytest.approx(float(expected), rel=1e-9)


def test_a_single_text_is_refused():
    one = states()[:1]
    with pytest.raises(BadInput, match="at least two forget texts"):
        found_by(step, observed("forget", one, one))


def test_step_3_scales_with_the_activations_and_has_an_interval():
    a, retain = states(), states(3)
    findings = found_by(
        activation_comparison, observed("forget", a, 3 * a, LENGTHS, batch_size=7), observed("retain", retain, retain)
    )
    forget, same = findings.tables["activation_comparison"]
    tokens = torch.cat([text[:length] for text, length in zip(a, LENGTHS)]).double()
    for order in (1, 2):
        norm = float(tokens.norm(p=order, dim=1).mean())
        assert getattr(forget, f"model_a_norm_L{order}") == pytest.approx(norm, rel=1e-6)
        assert getattr(forget, f"model_b_norm_L{order}") == pytest.approx(3 * norm, rel=1e-6)
        assert getattr(forget, f"mean_dh_L{order}") == pytest.approx(2 * norm, rel=1e-6)
    assert forget.model_a_norm_L2_low < forget.model_a_norm_L2 < forget.model_a_norm_L2_high
    assert forget.model_a_norm_L2_std > 0
    assert (same.mean_dh_L1, same.mean_dh_L1_high) == (0, 0)
    assert findings.summary["forget"]["tokens"] == sum(LENGTHS)


def test_the_interval_covers_the_truth_about_as_often_as_it_says():
    """Texts with their own mean length: the resampling is of texts, so the interval knows of them."""
    covered, trials = 0, 60
    for seed in range(trials):
        scale = 1 + 0.5 * gaussian(60, 1, 1, seed=seed).abs()
        hidden = scale * torch.ones(60, 3, 2)
        (row,) = found_by(activation_comparison, observed("forget", hidden, hidden), seeds=(seed,)).tables[
            "activation_comparison"
        ]
        truth = 2 * (1 + 0.5 * math.sqrt(2 / math.pi))
        covered += row.model_a_norm_L1_low <= truth <= row.model_a_norm_L1_high
    assert covered / trials >= 0.85
