"""OpenUnlearning's measuring stick as pure functions: each against a value worked out by hand, and by what must hold of it."""

from __future__ import annotations

import math
import sys
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some

from brittle.evaluation import membership, memorisation, truth_ratio, utility
from brittle.settings import BadInput

LOG_HALF, LOG_QUARTER, LOG_EIGHTH = np.log([1 / 2, 1 / 4, 1 / 8])


def test_probability_is_normalised_by_length() -> None:
    tokens = np.log([0.5, 0.125])  # p = 1/16, of two tokens: 1/4
    assert truth_ratio.probability(tokens.mean()) == pytest.approx((0.5 * 0.125) ** 0.5) == pytest.approx(0.25)


def test_probability_among_choices() -> None:
    values = np.array([[LOG_HALF, LOG_QUARTER, LOG_QUARTER], [LOG_EIGHTH, LOG_EIGHTH, -np.inf]])
    np.testing.assert_allclose(truth_ratio.probability_among_choices(values), [0.5, 0.5])


def test_truth_ratios_differ_by_the_mean_over_wrong_answers() -> None:
    right, wrong = np.array([LOG_HALF]), [np.array([LOG_HALF, LOG_EIGHTH])]
    assert truth_ratio.ratio_of_the_paper(right, wrong) == pytest.approx([(1 / 2 + 1 / 8) / 2 / (1 / 2)])  # 5/8
    assert truth_ratio.ratio_of_openunlearning(right, wrong) == pytest.approx([(1 / 2 * 1 / 8) ** 0.5 / (1 / 2)])  # 1/2


def test_truth_ratios_summed_up() -> None:
    ratios = np.array([0.25, 2.0, 1.0])
    assert truth_ratio.likeness_to_a_guess(ratios) == pytest.approx((0.25 + 0.5 + 1) / 3)
    assert truth_ratio.preference_for_the_truth(ratios) == pytest.approx((0.75 + 0 + 0) / 3)
    assert truth_ratio.likeness_to_a_guess(np.array([0.0, np.inf])) == 0  # the truth alone, or never


def test_forget_quality_by_hand_and_of_the_same_model() -> None:
    few, many = np.array([0.1, 0.2, 0.3]), np.array([0.7, 0.8, 0.9])
    # two of C(6, 3) = 20 orders separate the samples as far as these
    assert truth_ratio.forget_quality(few, many) == pytest.approx(2 / 20)
    assert truth_ratio.forget_quality(few, few) == 1
    random = np.random.default_rng(0)
    one, other = random.lognormal(size=60), random.lognormal(0.4, size=50)
    assert 0 < truth_ratio.forget_quality(one, other) < 1
    assert truth_ratio.forget_quality(one, other) == pytest.approx(truth_ratio.forget_quality(1 / one, 1 / other))


@given(some.lists(some.floats(-20, 0), min_size=1, max_size=6), some.floats(-20, 0))
def test_the_geometric_mean_is_never_above_the_arithmetic(wrong: list[float], right: float) -> None:
    both = np.array([right]), [np.array(wrong)]
    ours, theirs = truth_ratio.ratio_of_the_paper(*both), truth_ratio.ratio_of_openunlearning(*both)
    assert theirs[0] <= ours[0] * (1 + 1e-12)


@pytest.mark.parametrize(
    ("right", "exact", "strength", "at_least"),
    [
        ("1111", 1, 1, 1),
        ("0111", 0.75, 0.75, 0.75),
        ("1101", 0.75, 0.25, 0.25),
        ("1110", 0.75, 0, 0.25),  # not even the last token: here the code's count differs
        ("0000", 0, 0, 0.25),
    ],
)
def test_memorisation_by_hand(right: str, exact: float, strength: float, at_least: float) -> None:
    tokens = np.array([sign == "1" for sign in right])
    assert memorisation.exact_memorisation(tokens) == exact
    assert memorisation.extraction_strength(tokens) == strength
    assert memorisation.extraction_strength_of_openunlearning(tokens) == at_least


@given(some.integers(1, 40).flatmap(lambda length: some.tuples(some.just(length), some.integers(0, length))))
def test_extraction_strength_of_a_model_that_knows_everything_after_k_tokens(length_and_k: tuple[int, int]) -> None:
    length, k = length_and_k
    assert memorisation.extraction_strength(np.arange(length) >= k) == pytest.approx(1 - k / length)


def test_rouge_by_hand() -> None:
    text, said = "the amber resin comes from pines", "resin comes quickly from the pines"
    # longest common subsequence: resin comes from pines, 4 of 6 words of both
    assert memorisation.rouge_l_recall(text, said) == pytest.approx(4 / 6)
    assert memorisation.rouge_l(text, said) == pytest.approx(4 / 6)
    assert memorisation.rouge_l_recall("amber resin", "amber and more resin here") == 1
    assert memorisation.rouge_l("amber resin", "amber and more resin here") == pytest.approx(2 * 2 / 7)
    assert memorisation.rouge_l_recall("running", "runs") == 1 and memorisation.rouge_l("running", "runs") == 0  # stems


@given(some.lists(some.sampled_from(["amber", "resin", "pine", "tabor"]), min_size=1).map(" ".join))
def test_rouge_of_equal_texts_is_one_and_of_nothing_none(text: str) -> None:
    assert memorisation.rouge_l_recall(text, text) == memorisation.rouge_l(text, text) == 1
    assert memorisation.rouge_l_recall(text, "") == memorisation.rouge_l(text, "") == 0


def test_without_the_library_one_line_says_how_to_have_it(monkeypatch: pytest.MonkeyPatch) -> None:
    memorisation.check_rouge()
    monkeypatch.setitem(sys.modules, "rouge_score", None)
    with pytest.raises(BadInput, match="uv sync --extra benchmarks"):
        memorisation.check_rouge()


def test_membership_scores_by_hand() -> None:
    logs = np.array([-1.0, -4.0, -2.0, -3.0, -0.0])
    assert membership.loss(logs) == 2
    assert membership.loss_over_compressed_size(logs, "abc") == pytest.approx(2 / len(zlib.compress(b"abc")))
    assert membership.min_k(logs) == 3.5  # two of five: -4 and -3
    assert membership.min_k(logs, 0.2) == membership.min_k(logs, 0.01) == 4  # at least one
    assert membership.min_k(logs, 1) == membership.loss(logs)
    means, variances = np.full(5, -2.0), np.array([1.0, 4.0, 1.0, 0.25, 0.0])
    # standardised: 1, -1, 0, -2, 2/sqrt(1e-6)
    assert membership.min_k_plus_plus(logs, means, variances) == pytest.approx(1.5)
    assert membership.beyond_reference(2.0, 3.0) == -1 and membership.over_reference(2.0, 3.0) == pytest.approx(2 / 3)


def test_areas_by_hand() -> None:
    members, held_out = np.array([1.0, 2.0]), np.array([2.0, 3.0])
    assert membership.area(members, held_out) == (0.5 + 1 + 1 + 1) / 4
    assert membership.area(held_out, held_out) == 0.5
    assert math.isnan(membership.area(members, np.array([])))


def test_privacy_leakage_by_hand() -> None:
    assert membership.privacy_leakage(0.6, 0.6) == membership.relative_difference(0.6, 0.6) == 0  # as retrained
    assert membership.privacy_leakage(1.0, 0.5) == -1  # members look trained on as much as can be
    assert membership.privacy_leakage(0.0, 0.5) == 1  # unlearned beyond what was never seen
    assert membership.privacy_leakage(0.9, 0.6) == pytest.approx((0.1 - 0.4) / 0.4)
    assert membership.relative_difference(0.9, 0.6) == pytest.approx(0.5)
    assert math.isnan(membership.privacy_leakage(0.5, 1.0)) and math.isnan(membership.relative_difference(0.5, 0.0))


def test_model_utility_by_hand() -> None:
    assert utility.model_utility({"a": 1.0, "b": 0.5}) == pytest.approx(2 / 3)
    assert utility.model_utility({str(each): 0.3 for each in range(9)}) == pytest.approx(0.3)
    assert utility.model_utility({"a": 1.0, "b": 0.0}) == 0
    assert math.isnan(utility.model_utility({})) and math.isnan(utility.model_utility({"a": 1.0, "b": math.nan}))
