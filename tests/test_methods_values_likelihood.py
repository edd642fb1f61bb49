"""Losses made of token likelihoods and distributions, by hand: two or three predicted tokens, then padding.

Logits (ln 3, 0), (0, ln 4), (0, 0) give the distributions (3/4, 1/4), (1/5, 4/5), (1/2, 1/2). The forget text predicts
token 0, then 1, with probabilities 3/4 and 4/5; the retain text 1, 0, then 1, with 1/4, 1/5 and 1/2.
"""

from __future__ import annotations

import math

import pytest
import torch
from tiny_step import Before, Chosen, found, step_on, terms_of
from torch import tensor
from torch.testing import assert_close

from brittle.training import terms

EVEN, TILTED = [0.0, 0.0], [math.log(3), 0.0]
LOGITS = [TILTED, [0.0, math.log(4)], EVEN]
TEXTS = {"forget": [[0, 0, 1]], "retain": [[0, 1, 0, 1]]}
RETAIN = (math.log(4) + math.log(5) + math.log(2)) / 3  # NLL of the retain text
# KL from (3/4, 1/4) at every position of the retain text: 0, then against (1/5, 4/5), then against (1/2, 1/2)
DIVERGENCE = (
    3 / 4 * math.log(15 / 4) + 1 / 4 * math.log(5 / 16) + 3 / 4 * math.log(3 / 2) + 1 / 4 * math.log(1 / 2)
) / 3


def check(name: str, expected: dict[str, float], gradient: list, step=None, **chosen: object) -> None:
    """Every term, and the first term's gradient with respect to the logits: one row per position, the last ones 0."""
    terms, slopes = found(name, step or step_on(LOGITS, TEXTS), **chosen)
    assert terms == pytest.approx(expected, rel=1e-5)
    rows = gradient + [[0.0] * len(gradient[0])] * (len(slopes) - len(gradient))
    assert_close(tensor(slopes), tensor(rows), rtol=1e-4, atol=1e-6)


# NLL = (ln 4/3 + ln 5/4) / 2 = ln(5/3) / 2; its gradient (p - y) / 2 = (-1/8, 1/8), (1/10, -1/10)
ASCENT, DESCENT = -math.log(5 / 3) / 2, [[-1 / 8, 1 / 8], [1 / 10, -1 / 10]]


def negated(gradient: list[list[float]]) -> list[list[float]]:
    return [[-entry for entry in row] for row in gradient]


def test_gradient_ascent_alone() -> None:
    check("ga_simple", {"forget": ASCENT}, negated(DESCENT))


def test_gradient_ascent() -> None:
    check("ga", {"forget": ASCENT, "retain": 0.5 * RETAIN}, negated(DESCENT), retain_weight=0.5)


def test_task_vector_learns_the_forget_text() -> None:
    check("task_vector", {"forget": -ASCENT}, DESCENT)


@pytest.mark.parametrize(("weight", "forget"), [(1.0, -2.0), (0.5, -1.0), (0.0, 0.0)])
def test_grad_diff_descends_on_retain_and_ascends_on_forget(weight, forget) -> None:
    # retain (0.5 + 1) / 2; forget -w (1 + 3) / 2; the fourth position is padding
    found = terms_of("grad_diff", Chosen(), forget_weight=weight)
    assert found == pytest.approx({"retain": 0.75, "forget": forget})


def test_texts_of_unequal_length_count_by_token() -> None:
    # forget: NLL ln 4/3 and ln 5/4 in the first text, ln 4/3 in the second: one mean over three tokens
    texts = {"forget": [[0, 0, 1], [0, 0]], "retain": [[0, 1, 0], [0, 1]]}
    expected = {"forget": -(2 * math.log(4 / 3) + math.log(5 / 4)) / 3, "retain": (2 * math.log(4) + math.log(5)) / 3}
    assert terms_of("ga", step_on(LOGITS, texts)) == pytest.approx(expected, rel=1e-5)


def test_weights_by_probability_belong_to_each_token() -> None:
    # p weighs each token: 3/4 and 4/5, then p (1 - p): 3/16 and 4/25; the mean is over tokens, not over weights
    forget = -(3 / 4 * math.log(4 / 3) + 4 / 5 * math.log(5 / 4)) / 2
    weighted = [[3 / 32, -3 / 32], [-4 / 50, 4 / 50]]
    check("wga", {"forget": forget, "retain": RETAIN}, weighted, wga_exponent=1.0)
    forget = -0.1 * (3 / 16 * math.log(4 / 3) + 4 / 25 * math.log(5 / 4)) / 2
    weighted = [[0.1 * 3 / 128, -0.1 * 3 / 128], [-0.1 * 4 / 250, 0.1 * 4 / 250]]
    exponents = {"satimp_saturation": 1.0, "satimp_importance": 1.0}
    check("satimp", {"forget": forget, "retain": RETAIN}, weighted, forget_weight=0.1, **exponents)


def test_cross_entropy_unlearning() -> None:
    # π = (1/2, 1/4, 1/4), y = 0: target (0, 1/2, 1/2), CE = ln 4; π = (1/8, 4/8, 3/8), y = 1: target (1/4, 0, 3/4),
    # CE = 1/4 ln 8 + 3/4 ln 8/3. Gradient (π - target) / 2. Retain: 1/4, then 1/8, then a third of three.
    logits = [[math.log(2), 0.0, 0.0], [0.0, math.log(4), math.log(3)], [0.0, 0.0, 0.0]]
    forget = (math.log(4) + 1 / 4 * math.log(8) + 3 / 4 * math.log(8 / 3)) / 2
    retain = (math.log(4) + math.log(8) + math.log(3)) / 3
    gradient = [[1 / 4, -1 / 8, -1 / 8], [-1 / 16, 1 / 4, -3 / 16]]
    check("ce_u", {"forget": forget, "retain": 0.5 * retain}, gradient, step_on(logits, TEXTS), retain_weight=0.5)


def test_maximum_entropy() -> None:
    # forget: cross-entropy with (1/2, 1/2): -ln(3/4 · 1/4) / 2 = ln(16/3) / 2, -ln(1/5 · 4/5) / 2 = ln(25/4) / 2
    forget = (math.log(16 / 3) / 2 + math.log(25 / 4) / 2) / 2
    # gradient (p - 1/2) / 2
    step = step_on(LOGITS, TEXTS, Before(logits={"retain": TILTED}))
    gradient = [[1 / 8, -1 / 8], [-3 / 20, 3 / 20]]
    check("max_entropy", {"forget": forget, "retain": 0.5 * DIVERGENCE}, gradient, step, retain_weight=0.5)


def test_self_distillation() -> None:
    # before (1/2, 1/2), ln 3 taken from the right token: targets (1/4, 3/4), then (3/4, 1/4)
    first = -(1 / 4 * math.log(3 / 4) + 3 / 4 * math.log(1 / 4))
    second = -(3 / 4 * math.log(1 / 5) + 1 / 4 * math.log(4 / 5))
    expected = {"forget": (first + second) / 2, "retain": 0.5 * RETAIN}
    # gradient (p - target) / 2
    gradient = [[1 / 4, -1 / 4], [-11 / 40, 11 / 40]]
    step = step_on(LOGITS, TEXTS, Before(logits={"forget": EVEN}))
    check("undial", expected, gradient, step, undial_strength=math.log(3), retain_weight=0.5)


def scrub_step(number: int):
    return step_on(LOGITS, TEXTS, Before(logits={"forget": EVEN, "retain": TILTED}), number=number)


@pytest.mark.parametrize("number", [0, 2])
def test_scrub_steps_away_on_even_steps(number) -> None:
    # KL((1/2, 1/2) ‖ (3/4, 1/4)) = ln(2/3) / 2 + ln(2) / 2;  KL((1/2, 1/2) ‖ (1/5, 4/5)) = ln(5/2) / 2 + ln(5/8) / 2
    forget = -(math.log(4 / 3) / 2 + math.log(25 / 16) / 2) / 2
    # gradient of the mean divergence (p - before) / 2, ascended
    check("scrub", {"forget": forget}, [[-1 / 8, 1 / 8], [3 / 20, -3 / 20]], scrub_step(number))


@pytest.mark.parametrize("number", [1, 3])
def test_scrub_comes_back_on_odd_steps(number) -> None:
    # gradient (p - before) / 3
    expected = {"retain_divergence": DIVERGENCE, "retain": 0.5 * RETAIN}
    gradient = [[0.0, 0.0], [-11 / 60, 11 / 60], [-1 / 12, 1 / 12]]
    check("scrub", expected, gradient, scrub_step(number), retain_weight=0.5)


def test_latent_adversarial_training_ascends_where_the_adversary_helps() -> None:
    # The model is at p = 1/2 twice. The adversary moves each logit by ln(3) / 2 towards the right token: p = 3/4 for
    # token 0, then for token 1, so NLL = ln 4/3 (had it moved the other way: ln 4). Retain keeps 1/2, 1/2 and 1/4.
    step = step_on([EVEN, EVEN, TILTED], TEXTS)
    expected = {"forget": -math.log(4 / 3), "retain": 0.5 * (2 * math.log(2) + math.log(4)) / 3}
    gradient = negated([[-1 / 8, 1 / 8], [1 / 8, -1 / 8]])
    attack = {"lat_eps": math.log(3) / 2, "lat_steps": 2, "layer_id": (0,)}
    check("lat", expected, gradient, step, retain_weight=0.5, **attack)
    # a ball of radius ln(3) / √2 holds the same point, straight along the gradient
    attack["lat_eps"] = math.log(3) / math.sqrt(2)
    check("lat_paper", expected, gradient, step, retain_weight=0.5, **attack)


def test_the_untargeted_adversary_raises_the_retain_loss() -> None:
    # Forget texts are read as they are: p = 1/2 twice. Each retain logit moves by ln(3) / 2 away from the right token: p = 1/4
    # twice, then logits (3/2 ln 3, -1/2 ln 3): p = 1/10.
    expected = {"forget": -math.log(2), "retain": 0.5 * (2 * math.log(4) + math.log(10)) / 3}
    gradient = negated([[-1 / 4, 1 / 4], [1 / 4, -1 / 4]])
    attack = {"lat_eps": math.log(3) / math.sqrt(2), "lat_steps": 2, "layer_id": (0,), "lat_goal": "untargeted"}
    check("lat_paper", expected, gradient, step_on([EVEN, EVEN, TILTED], TEXTS), retain_weight=0.5, **attack)


def test_a_gradient_of_one_component_is_ascended_as_it_is() -> None:
    # two logits: the rows of the gradient are multiples of (1, -1), so the matrix has rank 1 and nothing is larger than the rest
    check("repselect", {"forget": ASCENT}, negated(DESCENT), gradient_components=2)


def test_the_largest_components_of_a_gradient_become_the_smallest() -> None:
    # singular values 4, 2, 1; two are pressed: 2² / 4 = 1 and 2² / 2 = 2, the third stays; the directions stay, too
    turn = tensor([[0.6, -0.8, 0.0], [0.8, 0.6, 0.0], [0.0, 0.0, 1.0]])
    for left, right in ((torch.eye(3), turn), (turn, turn.mT)):
        found = terms.collapsed(left @ tensor([4.0, 2.0, 1.0]).diag() @ right, 2)
        assert_close(found, left @ tensor([1.0, 2.0, 1.0]).diag() @ right, rtol=1e-4, atol=1e-5)
    all_three = terms.collapsed(tensor([4.0, 2.0, 1.0]).diag(), 9)
    assert_close(all_three, tensor([0.25, 0.5, 1.0]).diag(), rtol=1e-4, atol=1e-5)
    assert_close(terms.collapsed(torch.zeros(2, 3), 2), torch.zeros(2, 3))
