"""Preference losses by hand: two predicted tokens, then padding.

Logits (ln 3, 0) and (0, ln 4) give the distributions (3/4, 1/4) and (1/5, 4/5). Texts predict two tokens: forget 0
then 1, π = 3/4 · 4/5 = 3/5; retain 1 then 0, π = 1/4 · 1/5 = 1/20; refusal 0 then 0, π = 3/4 · 1/5 = 3/20. Before, they
had 1/4, 1/5 and 3/10, so Δ = ln 12/5 (forget), ln 1/4 (retain), ln 1/2 (refusal).
"""

from __future__ import annotations

import math

import pytest
from tiny_step import Before, found, step_on
from torch import tensor
from torch.testing import assert_close

LOGITS = [[math.log(3), 0.0], [0.0, math.log(4)]]
TEXTS = {"forget": [[0, 0, 1]], "refusal": [[0, 0, 0]], "retain": [[0, 1, 0]]}
BEFORE = Before({"forget": [math.log(1 / 4)], "refusal": [math.log(3 / 10)], "retain": [math.log(1 / 5)]})
RETAIN = (math.log(4) + math.log(5)) / 2


def check(name: str, expected: dict[str, float], gradient: list, **chosen: object) -> None:
    """Every term, and the first term's gradient with respect to the logits: one row per position."""
    terms, slopes = found(name, step_on(LOGITS, TEXTS, BEFORE), **chosen)
    assert terms == pytest.approx(expected, rel=1e-5)
    assert_close(tensor(slopes), tensor(gradient), rtol=1e-4, atol=1e-6)


def along_forget(slope: float) -> list[list[float]]:
    """A slope in log π of the forget text, carried on to the logits: y - p is (1/4, -1/4), then (-1/5, 1/5)."""
    return [[slope / 4, -slope / 4], [-slope / 5, slope / 5]]


def test_direct_preference() -> None:
    # Δ(retain) - Δ(forget) = -ln 48/5, so L = ln(1 + 48/5); slope -σ(ln 48/5) = -48/53 in the difference, whose own
    # gradient is (-3/4, 3/4) - (1/4, -1/4) = (-1, 1), then (4/5, -4/5) - (-1/5, 1/5) = (1, -1)
    gradient = [[48 / 53, -48 / 53], [-48 / 53, 48 / 53]]
    check("dpo", {"preference": math.log(53 / 5)}, gradient, beta=1.0)
    # the mean over tokens halves every Δ: with β = 2 the loss is that of β = 1
    check("dpo", {"preference": math.log(53 / 5)}, gradient, beta=2.0, log_probability="mean")
    # β = 2: L = ln(1 + 2304/25), slope -2 · 2304/2329
    gradient = [[4608 / 2329, -4608 / 2329], [-4608 / 2329, 4608 / 2329]]
    check("dpo", {"preference": math.log(2329 / 25)}, gradient, beta=2.0)


def test_negative_preference() -> None:
    # β = 2: -(2/2) ln σ(-2 ln 12/5) = ln(1 + 144/25) = 2 ln 13/5; slope 2 σ(2 ln 12/5) = 2 · 144/169
    expected = {"forget": 2 * math.log(13 / 5), "retain": 0.5 * RETAIN}
    check("npo", expected, along_forget(288 / 169), beta=2.0, retain_weight=0.5)
    # the mean over tokens: -ln σ(-ln 12/5) = ln 17/5; slope 2 σ(ln 12/5) / 2 = 12/17
    expected = {"forget": math.log(17 / 5), "retain": RETAIN}
    check("npo", expected, along_forget(12 / 17), beta=2.0, log_probability="mean")


def test_negative_preference_without_a_change_is_plain_ascent() -> None:
    # Δ = 0: L = (2/β) ln 2, and the slope in log π is 1 whatever β
    for beta in (0.1, 1.0, 10.0):
        step = step_on(LOGITS, TEXTS, Before({"forget": [math.log(3 / 5)]}))
        terms, gradient = found("npo", step, beta=beta)
        assert terms["forget"] == pytest.approx(2 / beta * math.log(2), rel=1e-5)
        assert_close(tensor(gradient), tensor(along_forget(1.0)), rtol=1e-4, atol=1e-6)


def test_simple_negative_preference() -> None:
    # log π per token = ln(3/5) / 2; β = 2: -ln σ(-ln 3/5) = ln(1 + 3/5); slope 2 σ(ln 3/5) / 2 = 3/8
    expected = {"forget": math.log(8 / 5), "retain": 0.5 * RETAIN}
    check("simnpo", expected, along_forget(3 / 8), beta=2.0, retain_weight=0.5)


def test_simple_negative_preference_with_a_margin() -> None:
    # e^γ = 5: -ln σ(-ln 3/5 - ln 5) = ln(1 + 3); slope 2 σ(ln 3) / 2 = 3/4, twice that without a margin
    expected = {"forget": math.log(4), "retain": 0.5 * RETAIN}
    chosen = {"simnpo_beta": 2.0, "retain_weight": 0.5}
    check("simnpo_paper", expected, along_forget(3 / 4), reward_margin=math.log(5), **chosen)
    expected["forget"] = math.log(8 / 5)  # that of simnpo above
    check("simnpo_paper", expected, along_forget(3 / 8), reward_margin=0.0, **chosen)


def test_refusal_preference() -> None:
    # Δ(refusal) - Δ(forget) = -ln 24/5, so L = -2 ln σ(-ln 24/5) = 2 ln 29/5; slope -2 σ(ln 24/5) = -48/29. Both texts
    # begin alike, so the first position cancels; the second has (4/5, -4/5) - (-1/5, 1/5) = (1, -1)
    expected = {"preference": 2 * math.log(29 / 5), "retain": 0.5 * RETAIN}
    check("idk_dpo", expected, [[0.0, 0.0], [-48 / 29, 48 / 29]], beta=1.0, retain_weight=0.5)
    # β = 2: -ln σ(-2 ln 24/5) = ln 601/25, slope -2 · 576/601
    expected = {"preference": math.log(601 / 25), "retain": RETAIN}
    check("idk_dpo", expected, [[0.0, 0.0], [-1152 / 601, 1152 / 601]], beta=2.0)


@pytest.mark.parametrize(
    ("log_probability", "first", "second"),
    [("sum", 2 * math.log(13 / 5), math.log(13 / 4)), ("mean", math.log(17 / 5), math.log(13 / 4))],
)
def test_texts_of_unequal_length_count_alike(log_probability, first, second) -> None:
    # The second text predicts one token, of probability 3/4, before 1/2: ln(1 + (3/2)²), by sum and by mean.
    texts = {"forget": [[0, 0, 1], [0, 0]], "retain": [[0, 1, 0]]}
    before = Before({"forget": [math.log(1 / 4), math.log(1 / 2)]})
    terms, _ = found("npo", step_on(LOGITS, texts, before), beta=2.0, log_probability=log_probability)
    assert terms == pytest.approx({"forget": (first + second) / 2, "retain": RETAIN}, rel=1e-5)


def test_each_retain_text_is_set_against_the_forget_text_beside_it() -> None:
    # first pair as above, ln 53/5; second: retain 1, Δ = ln(1/4 / 3/4), forget 0, Δ = ln(3/4 / 1/2): -ln σ(-ln 9/2)
    texts = {"forget": [[0, 0, 1], [0, 0]], "retain": [[0, 1, 0], [0, 1]]}
    before = {"forget": [math.log(1 / 4), math.log(1 / 2)], "retain": [math.log(1 / 5), math.log(3 / 4)]}
    terms, _ = found("dpo", step_on(LOGITS, texts, Before(before)), beta=1.0)
    assert terms == pytest.approx({"preference": (math.log(53 / 5) + math.log(11 / 2)) / 2}, rel=1e-5)
