"""Step 8 on features whose separation is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from planted_states import found_by, gaussian, observed, rotation

from brittle.diagnostics import activation_separation as step
from brittle.mathematics import separation
from brittle.settings import BadInput

WIDTH, TEXTS = 16, 50
LENGTHS = [1 + index % 5 for index in range(TEXTS)]
AUC = "linear_discriminability_auc"


def states(seed, shift=0.0, offset=2.0, width=WIDTH, texts=TEXTS):
    hidden = offset + gaussian(texts, 5, width, seed=seed)
    hidden[..., 0] += shift
    return hidden


def separate(forget, retain, benign=None, lengths=LENGTHS, **settings):
    """Each split is a pair of A's and B's states; the three tables and the summary."""
    pairs = {"forget": forget, "retain": retain} | ({"benign": benign} if benign else {})
    findings = found_by(step, *(observed(split, *pair, lengths) for split, pair in pairs.items()), **settings)
    tables = [findings.tables[name] for name in ("separation_metrics_model_a", "separation_metrics_model_b")]
    return *tables, findings.tables["separation_changes"], findings.summary


def features(hidden):
    return np.stack([text[:length].double().mean(0).numpy() for text, length in zip(hidden, LENGTHS)])


def test_the_documented_columns_against_numpy():
    forget, retain = states(1, 1.0), states(2)
    (row,), _, _, _ = separate((forget, forget), (retain, retain))
    x, y = features(forget), features(retain)
    c, d = x.mean(0), y.mean(0)
    assert row.cosine_distance == pytest.approx(1 - c @ d / np.linalg.norm(c) / np.linalg.norm(d), rel=1e-5)
    assert row.euclidean_distance == pytest.approx(np.linalg.norm(c - d), rel=1e-6)
    assert (row.forget_centroid_norm, row.retain_centroid_norm) == pytest.approx(
        (np.linalg.norm(c), np.linalg.norm(d)), rel=1e-6
    )
    between = np.stack([c, d]).var(axis=0).mean()
    within = (x.var(axis=0).mean() + y.var(axis=0).mean()) / 2
    assert row.variance_ratio == pytest.approx(between / within, rel=1e-6)
    assert row.cosine_distance_low < row.cosine_distance < row.cosine_distance_high


def test_a_planted_direction_that_b_adds_is_found_with_its_interval():
    forget, retain = states(1), states(2)
    (a,), (b,), (change,), summary = separate((forget, states(1, 8.0)), (retain, retain))
    assert 0.3 < getattr(a, AUC) < 0.7
    assert getattr(b, AUC) == 1
    assert getattr(change, f"{AUC}_change") == pytest.approx(getattr(b, AUC) - getattr(a, AUC))
    assert change.cosine_distance_change_low > 0
    assert summary["avg_cosine_change"] == change.cosine_distance_change == summary["max_separation_value"]
    assert (summary["model_a"], summary["model_b"], summary["max_separation_layer"]) == ("base", "unlearned", 0)
    assert math.isnan(summary["avg_auc_change_benign"])


def test_noise_is_at_chance_where_dimensions_outnumber_texts():
    found = [
        separate(*((states(seed, width=300),) * 2 for seed in (10 * trial, 10 * trial + 1)))[0][0] for trial in range(4)
    ]
    assert np.mean([getattr(row, AUC) for row in found]) == pytest.approx(0.5, abs=0.1)
    for row in found:
        assert row.variance_ratio == pytest.approx(row.expected_variance_ratio, rel=0.3)


def test_scale_rotation_and_padding_change_only_what_they_should():
    forget, retain, turn = states(1, 1.0), states(2), rotation(WIDTH)
    (a,), (b,), _, _ = separate((forget, 3 * forget @ turn), (retain, 3 * retain @ turn))
    for name in ("cosine_distance", "variance_ratio", AUC, f"{AUC}_std"):
        assert getattr(b, name) == pytest.approx(getattr(a, name), rel=1e-5), name
    assert b.euclidean_distance == pytest.approx(3 * a.euclidean_distance, rel=1e-5)
    assert b.forget_centroid_norm == pytest.approx(3 * a.forget_centroid_norm, rel=1e-5)


def test_length_alone_separates_nothing():
    """Tokens of one distribution, texts of different lengths, large values in the padding."""
    seen = [
        *observed("forget", *(states(1, offset=0.0),) * 2, [5] * TEXTS, filler=1e4),
        *observed("retain", *(states(2, offset=0.0),) * 2, [2] * TEXTS, filler=1e4),
    ]
    (row,) = found_by(step, seen).tables["separation_metrics_model_a"]
    assert 0.2 < getattr(row, AUC) < 0.8


def test_benign_texts_of_the_same_form_show_what_form_alone_gives():
    forget, retain, benign = states(1, 8.0), states(2), states(3, 8.0)
    (row,), _, (change,), summary = separate((forget, forget), (retain, retain), (benign, states(3)))
    assert getattr(row, AUC) == getattr(row, f"{AUC}_benign") == 1
    assert 0.2 < getattr(row, f"{AUC}_matched") < 0.8
    assert row.variance_ratio_benign > 20 * row.variance_ratio_matched
    assert change.cosine_distance_change == 0
    assert change.cosine_distance_change_benign < 0 < change.cosine_distance_change_matched
    assert summary["avg_auc_change_matched"] > 0.2 > 0 > summary["avg_auc_change_benign"]


def test_identical_models_change_by_exactly_0():
    _, _, (change,), _ = separate((states(1),) * 2, (states(2),) * 2, (states(3),) * 2)
    assert all(value == 0 for value in vars(change).values())


def test_seeds_give_splits_and_draws():
    pairs = (states(1, 0.5),) * 2, (states(2),) * 2
    (one,), (two,) = (separate(*pairs, seeds=seeds)[0] for seeds in ((1, 2, 3), (4, 5, 6)))
    assert getattr(one, AUC) != getattr(two, AUC)
    assert getattr(one, AUC) == getattr(one, f"{AUC}_mean")
    assert one.cosine_distance == two.cosine_distance
    assert one.cosine_distance_std != two.cosine_distance_std


def test_classes_of_one_size_are_drawn_apart():
    """Were both drawn alike, two equal classes would never differ under resampling."""
    hidden = states(1)
    (row,), _, _, _ = separate((hidden, hidden), (hidden, hidden))
    assert row.euclidean_distance == pytest.approx(0, abs=1e-6)
    assert row.euclidean_distance_mean > 0.1


def test_the_expected_variance_ratio_is_that_of_many_samples():
    found = []
    ones = torch.ones(1, 1, dtype=torch.float64)
    for seed in range(300):
        gram = separation.gram(gaussian(15, 40, seed=seed))
        classes = [
            separation.Class.of(place, ones.expand(1, size))
            for place, size in zip(separation.places([6, 9]), (6, 9))
        ]  # fmt: skip
        found.append(float(separation.variance_ratio(gram, *classes)))
    assert np.mean(found) == pytest.approx(separation.expected_variance_ratio(6, 9), rel=0.03)


def test_fewer_than_two_texts_are_refused():
    with pytest.raises(BadInput, match="at least two different forget and retain texts"):
        found_by(step, observed("forget", *(states(1)[:1],) * 2), observed("retain", *(states(2)[:4],) * 2))
