"""The area under the ROC curve and its hierarchical interval, by hand."""

from __future__ import annotations

import math
import random

import pytest
from sklearn.metrics import roc_auc_score

from brittle.mathematics.roc import Scored, roc_area


def models(positive, other, outer=lambda n: 0, inner=lambda n: n):
    scores = [(score, True) for score in positive] + [(score, False) for score in other]
    return [Scored(score, side, outer(n), inner(n)) for n, (score, side) in enumerate(scores)]


def test_area_counts_pairs_in_the_right_order_and_ties_half() -> None:
    assert roc_area(models([3, 1], [2, 1])).value == (1 + 1 + 0 + 0.5) / 4
    assert roc_area(models([2, 3], [0, 1])).value == 1
    assert roc_area(models([0, 1], [2, 3])).value == 0


def test_area_is_what_scikit_learn_gives() -> None:
    drawn = random.Random(0)
    scores, sides = [drawn.randint(0, 9) for _ in range(40)], [drawn.random() < 0.4 for _ in range(40)]
    found = roc_area([Scored(score, side, 0, n) for n, (score, side) in enumerate(zip(scores, sides))])
    assert found.value == pytest.approx(roc_auc_score(sides, scores))
    assert found.low < found.value < found.high


def test_scores_that_are_not_there_do_not_count() -> None:
    assert roc_area(models([2, math.nan], [1, math.nan])).value == 1
    assert math.isnan(roc_area(models([2], [math.nan])).value)


def test_what_is_there_once_does_not_vary() -> None:
    found = roc_area(models([3, 1], [2, 1], inner=lambda n: 0))
    assert math.isnan(found.low)


def test_worlds_that_contradict_each_other_make_the_interval_wide() -> None:
    right, wrong = (
        [Scored(n, n > 0, "right", n) for n in range(-3, 4)],
        [Scored(-n, n > 0, "wrong", n) for n in range(-3, 4)],
    )
    alike = [Scored(model.score, model.positive, world, model.inner) for world in ("a", "b") for model in right]
    assert roc_area(alike).low == 1
    found = roc_area([*right, *wrong])
    assert found.low == pytest.approx(0) and found.high == pytest.approx(1)
