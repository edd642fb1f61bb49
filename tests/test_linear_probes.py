"""Probes on planted directions, on noise and on repeated texts; step 5's table."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch
from planted_states import found_by, gaussian, observed
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from brittle.diagnostics import linear_probe_analysis as step
from brittle.mathematics import probes
from brittle.settings import BadInput

SEEDS = (42, 123, 456)
LENGTHS = [1 + index % 4 for index in range(60)]


def keys(start, number):
    return [f"text {index}" for index in range(start, start + number)]


def trial(first=30, second=40, seeds=SEEDS):
    return probes.trial(keys(0, first), keys(1000, second), seeds)


def test_a_trial_is_stratified_and_decided_by_seed_and_text():
    found = trial()
    for held in found.held_out:
        assert (int(held[:30].sum()), int(held[30:].sum())) == (6, 8)
    assert not torch.equal(found.held_out[0], found.held_out[1])
    assert torch.equal(found.held_out[2], trial(seeds=(456,)).held_out[0])
    assert found.positive.sum() == 30


def test_repeated_texts_are_used_once_and_shared_ones_not_at_all():
    found = probes.trial(["a", "a", "b", "c", "x"], ["x", "d", "e", "e"], SEEDS)
    assert (found.first.tolist(), found.second.tolist()) == ([1, 2, 3], [1, 3])
    assert found.enough
    assert not probes.trial(["a", "b"], ["a", "b"], SEEDS).enough
    assert not probes.trial(["a", "a"], ["c", "b"], SEEDS).enough


@pytest.mark.parametrize("width", [5, 200])
def test_scores_are_scikit_learns_also_with_more_features_than_texts(width):
    features, own = gaussian(70, width) * torch.linspace(1, 50, width) + 3, trial()
    features[:30, 0] += 2
    scores = probes.logistic_scores(features, own, 0.5, 1000)
    x, y = features.double().numpy(), own.positive.numpy()
    for found, held in zip(scores, own.held_out.numpy()):
        model = make_pipeline(StandardScaler(), LogisticRegression(C=0.5, max_iter=5000, tol=1e-8))
        expected = model.fit(x[~held], y[~held]).decision_function(x)
        assert np.allclose(found.numpy(), expected, atol=2e-2 * np.abs(expected).max())


def test_area_and_accuracy_are_scikit_learns_with_ties():
    own = trial()
    scores = gaussian(3, 70).double().round(decimals=0)
    area, accuracy = probes.area_under_curve(scores, own), probes.accuracy(scores + 0.25, own)
    for index, held in enumerate(own.held_out):
        assert float(area[1 + index]) == pytest.approx(roc_auc_score(own.positive[held], scores[index, held]))
        right = (scores[index, held] + 0.25 > 0) == own.positive[held]
        assert float(accuracy[1 + index]) == pytest.approx(float(right.double().mean()))
    assert float(area[0]) == pytest.approx(float(area[1:4].mean()))
    assert len(area) == len(accuracy) == 4 + 1000
    assert probes.area_under_curve(torch.zeros(3, 70).double(), own)[0] == 0.5
    assert probes.accuracy(torch.zeros(3, 70).double(), own)[0] == 0.5


def test_rounding_decides_no_comparison():
    own = trial()
    scores = own.positive.double().repeat(3, 1)
    noise = 1e-9 * gaussian(3, 70).double()
    assert torch.equal(probes.area_under_curve(scores + noise, own), probes.area_under_curve(scores, own))
    flat = torch.cat([scores[:, :1] * 0 + 9, torch.zeros(3, 69)], dim=1).double()
    assert torch.equal(probes.area_under_curve(flat + noise, own), probes.area_under_curve(flat, own))


def test_the_discriminant_is_the_shrunk_one_of_scikit_learn():
    from sklearn.covariance import ledoit_wolf
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

    features, own = gaussian(70, 12) * torch.linspace(1, 3, 12), trial(seeds=(1,))
    features[:30, 3] += 1
    scores = probes.discriminant_scores(features.double() @ features.double().T, 12, own)[0]
    learnt = ~own.held_out[0]
    x, y = features[learnt].double().numpy(), own.positive[learnt].numpy()
    centred = np.concatenate([x[y] - x[y].mean(0), x[~y] - x[~y].mean(0)])
    covariance, shrinkage = ledoit_wolf(centred, assume_centered=True)
    assert 0.01 < shrinkage < 0.9
    expected = features.double().numpy() @ np.linalg.solve(covariance, x[y].mean(0) - x[~y].mean(0))
    assert np.corrcoef(scores.numpy(), expected)[0, 1] == pytest.approx(1, abs=1e-9)
    unshrunk = LinearDiscriminantAnalysis().fit(x, y).decision_function(features.double().numpy())
    assert 0.9 < np.corrcoef(scores.numpy(), unshrunk)[0, 1] < 1 - 1e-6


def test_the_discriminant_does_not_mind_scale_rotation_or_constant_features():
    features, own = gaussian(70, 200), trial()
    gram = features.double() @ features.double().T
    scores = probes.discriminant_scores(gram, 200, own)
    scaled = probes.discriminant_scores(1e6 * gram, 200, own)
    assert torch.allclose(scaled / scaled.std(), scores / scores.std(), rtol=1e-6)
    constant = probes.discriminant_scores(torch.ones(70, 70), 200, own)
    assert probes.area_under_curve(constant, own)[0] == 0.5


@pytest.mark.parametrize("kind", ["logistic", "discriminant"])
def test_noise_is_at_chance_and_a_planted_direction_is_found_where_dimensions_outnumber_texts(kind):
    own, found = trial(150, 150), {}
    for strength in (0.0, 4.0):
        features = gaussian(300, 1000, seed=7).double()
        features[:150, :50] += strength / math.sqrt(50)
        if kind == "logistic":
            scores = probes.logistic_scores(features, own, 1.0, 1000)
        else:
            scores = probes.discriminant_scores(features @ features.T, 1000, own)
        found[strength] = float(probes.area_under_curve(scores, own)[0])
        assert probes.training_accuracy(scores, own) > 0.95, "the fit itself separates anything"
    assert found[0.0] == pytest.approx(0.5, abs=0.12)
    assert found[4.0] > 0.9


def states(seed, shift=0.0, number=60, width=24):
    """Four tokens each; only the last real token carries the planted direction."""
    hidden = gaussian(number, 4, width, seed=seed)
    for text, length in enumerate(LENGTHS[:number]):
        hidden[text, length - 1, 0] += shift
    return hidden


def probe(forget, retain, benign=None, **settings):
    seen = [observed(split, each, lengths=LENGTHS) for split, each in (("forget", forget), ("retain", retain))]
    seen += [observed("benign", benign, lengths=LENGTHS)] if benign is not None else []
    findings = found_by(step, *seen, **settings)
    return findings.tables["probe_results"], findings.summary


def test_a_planted_direction_at_the_last_token_is_found_at_its_depth_alone():
    planted = [states(1), states(2, 8.0), states(3)]
    rows, summary = probe(planted, [states(4), states(5), states(6)])
    assert rows[1].auc == 1
    assert rows[1].test_accuracy > 0.95
    for row in (rows[0], rows[2]):
        assert 0.3 < row.auc < 0.7
        assert row.train_accuracy > row.test_accuracy
    for row in rows:
        assert row.majority_baseline == 0.5
        assert row.selectivity == pytest.approx(row.test_accuracy - 0.5)
        assert row.test_accuracy_low <= row.test_accuracy <= row.test_accuracy_high
        assert math.isnan(row.auc_benign) and math.isnan(row.auc_matched_std)
    assert (summary["best_layer"], summary["best_auc"], summary["num_layers"]) == (1, 1, 2)
    assert (summary["model"], summary["probe_C"], summary["probe_max_iter"]) == ("base", 1.0, 1000)


def test_form_alone_is_seen_in_the_benign_columns():
    """Forget and benign texts share a direction that retain texts lack."""
    (row,), _ = probe(states(1, 8.0), states(2), states(3, 8.0))
    assert row.auc == row.auc_benign == 1
    assert 0.3 < row.auc_matched < 0.7


def test_the_settings_and_the_seeds_matter():
    forget, retain = states(1, 1.5), states(2)
    (plain,), _ = probe(forget, retain)
    (weak,), _ = probe(forget, retain, C=1e-6)
    (other,), _ = probe(forget, retain, seeds=(1, 2, 3))
    assert weak.train_accuracy < plain.train_accuracy
    assert other.auc != plain.auc
    assert plain.auc == plain.auc_mean


def test_too_few_texts_are_refused():
    with pytest.raises(BadInput, match="at least two different forget and retain texts"):
        found_by(step, observed("forget", states(1)[:1]), observed("retain", states(2)[:3]))


def test_equal_texts_in_both_splits_are_refused():
    same = [dataclasses.replace(each, digests=("a", "b")) for each in observed("forget", states(1)[:2])]
    again = [dataclasses.replace(each, split="retain") for each in same]
    with pytest.raises(BadInput, match="none of them in both files"):
        found_by(step, same, again)
