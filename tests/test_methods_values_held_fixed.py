"""Losses whose weights or directions are held fixed, by hand, on a model that is nothing but its logits.

The forget text has two tokens of which the second is predicted, y = 0; the retain text predicts 0, then 1. Where the
logits are the same at both positions, the gradients' rows are summed.
"""

from __future__ import annotations

import math

import pytest
import tiny_step
from tiny_step import Before

THREE_QUARTERS = [math.log(3), 0.0]  # p = 3/4
EVEN = [0.0, 0.0]  # p = 1/2
RETAIN = (math.log(4 / 3) + math.log(4)) / 2  # where p = 3/4 at both positions
TEXTS = {"forget": [[0, 0]], "retain": [[0, 0, 1]]}


def found(name: str, logits: list, **chosen: object) -> tuple[dict[str, float], list]:
    """The loss terms, and the gradient of the first of them; the untouched model gave y the probability 1/2."""
    step = tiny_step.step_on(logits, TEXTS, Before({"forget": [math.log(0.5)]}))
    return tiny_step.found(name, step, **{"retain_weight": 0.5, **chosen})


def test_weighted_ascent_by_hand() -> None:
    terms, gradient = found("wga", THREE_QUARTERS, wga_exponent=2.0)
    # p² = 9/16 weighs the ascent and is held fixed; NLL = ln 4/3, its gradient (p - 1, 1 - p) = (-1/4, 1/4)
    assert terms == pytest.approx({"forget": -9 / 16 * math.log(4 / 3), "retain": 0.5 * RETAIN})
    assert gradient == pytest.approx([9 / 64, -9 / 64])


def test_saturation_and_importance_by_hand() -> None:
    terms, gradient = found("satimp", THREE_QUARTERS, satimp_saturation=2.0, satimp_importance=1.0, forget_weight=0.1)
    # p² (1 - p) = 9/64
    assert terms == pytest.approx({"forget": -0.1 * 9 / 64 * math.log(4 / 3), "retain": 0.5 * RETAIN})
    assert gradient == pytest.approx([0.1 * 9 / 256, -0.1 * 9 / 256])


def test_cross_entropy_unlearning_by_hand() -> None:
    terms, gradient = found("ce_u", [math.log(2), 0.0, 0.0])
    # π = (1/2, 1/4, 1/4); without y the target is (0, 1/2, 1/2), so CE = ln 4 and its gradient is π - target
    assert terms == pytest.approx({"forget": math.log(4), "retain": 0.5 * 1.5 * math.log(2)})
    assert gradient == pytest.approx([1 / 2, -1 / 4, -1 / 4])


def test_negative_preference_by_hand() -> None:
    terms, gradient = found("npo", THREE_QUARTERS, beta=1.0)
    # difference ln 3/4 - ln 1/2 = ln 3/2; -2 log σ(-ln 3/2) = 2 ln 5/2; slope 2 σ(ln 3/2) (1 - p) = 2 · 3/5 · 1/4
    assert terms == pytest.approx({"forget": 2 * math.log(2.5), "retain": 0.5 * RETAIN})
    assert gradient == pytest.approx([0.3, -0.3])


def test_negative_preference_at_the_worst_weights_nearby_by_hand() -> None:
    terms, gradient = found("npo_sam", [EVEN, THREE_QUARTERS], beta=1.0, sam_radius=math.log(3) / math.sqrt(2))
    # g points along (1, -1) / √2, so the shift is (ln 3, -ln 3) / 2 and p there is 3/4: the values of npo at 3/4.
    # The retain term stays where the weights are, p = 1/2, then 1/4.
    assert terms == pytest.approx({"forget": 2 * math.log(2.5), "retain": 0.5 * 1.5 * math.log(2)})
    assert gradient == [pytest.approx([0.3, -0.3]), [0, 0]]


def test_tampering_resistance_by_hand() -> None:
    texts = {"forget": [[0, 0, 1]], "retain": [[0, 1, 1, 0]]}
    step = tiny_step.step_on([THREE_QUARTERS, EVEN, EVEN], texts)
    settings = {"tar_inner_steps": 1, "tar_inner_lr": math.log(3) / 2, "tar_weight": 2.0, "retain_weight": 0.5}
    terms, gradient = tiny_step.found("tar", step, **settings)
    # The attacker moves each logit by ln(3) / 2 towards the right token: the first from (ln 3, 0) to a lead of ln 9,
    # p = 9/10; the second from (0, 0) to a lead of ln 3 for token 1, p = 3/4. Means over two tokens and two points.
    assert terms["tampered"] == pytest.approx(2 * (certainty(3 / 4) + 0 + certainty(9 / 10) + certainty(3 / 4)) / 4)
    assert terms["retain"] == pytest.approx(0.5 * (math.log(4) + 2 * math.log(2)) / 3)
    # d(-H)/dz = p (1 - p) · lead, times 2 / 4, where the attacker's way is held fixed
    first = (3 / 16 * math.log(3) + 9 / 100 * math.log(9)) / 2
    second = 3 / 16 * math.log(3) / 2
    assert gradient == [pytest.approx([first, -first]), pytest.approx([-second, second]), [0, 0]]


def certainty(p: float) -> float:
    """ln 2 - H of a distribution (p, 1 - p)."""
    return math.log(2) + p * math.log(p) + (1 - p) * math.log(1 - p)
