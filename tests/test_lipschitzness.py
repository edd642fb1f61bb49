"""Step 12 in numbers: hand-made responses whose table is known, and what the seeds and noise do to real ones."""

from __future__ import annotations

import copy
import dataclasses
import math

import pytest
import torch
from tiny_loaded import tiny_loaded
from tiny_models import TEXTS

from brittle.diagnostics import local_lipschitzness as step
from brittle.models.perturbation import Responses
from brittle.models.sensitivity import SensitivityObservation, observe_sensitivity

NAN = float("nan")


def responses(hidden, logits, noise=2.0, divergence=1e-4, variance=3.0, gradient=5.0, likelihood=7.0):
    """Two seeds; ``hidden`` and ``logits`` have one value per copy, seed 2 twice as large."""
    scale = torch.tensor([[1.0], [2.0]], dtype=torch.float64)
    hidden, logits = (scale * torch.tensor([values], dtype=torch.float64) for values in (hidden, logits))
    shape = hidden.shape
    return Responses(
        torch.full(shape, noise).double(), hidden, logits, torch.full(shape, divergence).double(),
        torch.tensor([variance, variance], dtype=torch.float64), 10.0, gradient, likelihood,
    )  # fmt: skip


def observation(split, index, a, b):
    return SensitivityObservation(split, index, f"{split}{index}", "base", "unlearned", a, b)


def table(observations, **changes):
    fitter = step.Fitter(dataclasses.replace(step.Settings(seeds=(1, 2), lipschitz_perturbations=2), **changes))
    for each in observations:
        fitter.update(each)
    findings = fitter.finish()
    return {(row.model, row.data): row for row in findings.tables["lipschitzness_summary"]}, findings.summary


RETAIN = [observation("retain", index, responses([2, 2], [4, 4]), responses([2, 2], [4, 4])) for index in range(2)]


def test_the_table_by_hand():
    forget = [
        # max over copies of max(hidden, logits) / noise: (3, 6) / 2 by seed; the third copy is beyond the setting
        observation("forget", 0, responses([1, 3, 90], [2, 1, 90]), responses([1, 1, 90], [1, 1.5, 90], divergence=3e-4)),
        observation("forget", 1, responses([1, 1], [2, 5]), responses([1, 1], [2, 10], gradient=9.0, likelihood=NAN)),
    ]  # fmt: skip
    forget[1] = dataclasses.replace(forget[1], a=dataclasses.replace(forget[1].a, likelihood_gradient=NAN))
    rows, summary = table(forget + RETAIN)
    a, b = rows["A", "forget"], rows["B", "forget"]
    assert a.avg_lipschitz == pytest.approx((1.5 * 1.5 + 1.5 * 2.5) / 2)
    assert a.std_lipschitz == pytest.approx(1.5 * 0.5)
    assert b.avg_lipschitz == pytest.approx((1.5 * 0.75 + 1.5 * 5) / 2)
    assert (a.avg_gradient_norm, b.avg_gradient_norm, b.std_gradient_norm) == (5, 7, 2)
    assert (a.avg_output_variance, a.std_output_variance) == (3, 0)
    assert (a.avg_likelihood_gradient, b.likelihood_gradient_change) == (7, 0)
    assert (a.avg_divergence, b.avg_divergence) == pytest.approx((1.0, 2.0))
    assert b.divergence_change == pytest.approx(1.0)
    assert b.lipschitz_change == pytest.approx(5.75 / 4 - 1)
    assert (b.share_smoother, b.share_rougher, a.share_smoother, a.share_rougher) == (0.5, 0.5, 0, 0)
    assert (a.noise_share, a.texts) == (pytest.approx(0.2), 2)
    assert summary["forget_lipschitz_change"] == pytest.approx(5.75 / 4)
    assert summary["retain_lipschitz_change"] == 1
    assert (summary["forget_rougher"], summary["forget_smoother"], summary["selective_smoothing"]) == (
        True,
        False,
        False,
    )
    assert (summary["model_a"], summary["model_b"]) == ("base", "unlearned")


@pytest.mark.parametrize(("factor", "smoother", "selective"), [(0.89, True, True), (0.91, False, False)])
def test_smoothing_is_selective_below_the_documented_bound(factor, smoother, selective):
    forget = [observation("forget", 0, responses([4], [1]), responses([4 * factor], [1]))]
    _, summary = table(forget + RETAIN)
    assert (summary["forget_smoother"], summary["selective_smoothing"]) == (smoother, selective)


def test_seeds_and_texts_spread_and_the_change_is_paired():
    """B is A times 1.3 on every text: the averages scatter, the change does not."""
    sizes = [1.0, 5.0, 9.0, 2.0, 7.0, 4.0]
    forget = [observation("forget", i, responses([s], [0]), responses([1.3 * s], [0])) for i, s in enumerate(sizes)]
    row = table(forget + RETAIN)[0]["B", "forget"]
    assert row.avg_lipschitz_low < row.avg_lipschitz < row.avg_lipschitz_high
    assert row.avg_lipschitz_std > 0
    for name in ("lipschitz_change", "lipschitz_change_mean", "lipschitz_change_low", "lipschitz_change_high"):
        assert getattr(row, name) == pytest.approx(0.3)
    assert row.lipschitz_change_std == pytest.approx(0, abs=1e-12)


def test_texts_outside_the_plan_do_not_count_and_a_broken_model_shows():
    unmeasured = dataclasses.replace(responses([8], [8]), variance=torch.full((2,), NAN).double())
    forget = [observation("forget", i, each, each) for i, each in enumerate([responses([4], [4]), unmeasured])]
    row = table(forget + RETAIN, lipschitz_texts=1)[0]["A", "forget"]
    assert (row.texts, row.avg_output_variance, row.avg_lipschitz) == (1, 3, 3)
    forget[0] = dataclasses.replace(forget[0], b=responses([NAN], [NAN]))
    assert math.isnan(table(forget + RETAIN)[0]["B", "forget"].avg_lipschitz)


def test_one_model_alone_is_refused():
    with pytest.raises(ValueError, match="both models"):
        table([dataclasses.replace(RETAIN[0], b=None)])


def observed(model_b, **changes):
    fitter = step.Fitter(step.Settings(**changes))
    texts = {"forget": TEXTS[:2], "retain": TEXTS[2:]}
    observe_sensitivity(tiny_loaded(), model_b, texts, [fitter], fitter.settings)
    return {(row.model, row.data): row for row in fitter.finish().tables["lipschitzness_summary"]}


def test_twice_the_logits_are_twice_as_rough_by_the_documented_measures():
    """Twice the unembedding: ‖Δlogits‖ and the gradient of the mean logit double exactly."""
    loaded = tiny_loaded()
    doubled = dataclasses.replace(loaded, model=copy.deepcopy(loaded.model), digest="doubled")
    with torch.no_grad():
        doubled.anatomy.unembedding(doubled.model).weight *= 2
    rows = observed(doubled)
    for split in ("forget", "retain"):
        a, b = rows["A", split], rows["B", split]
        assert b.lipschitz_change == pytest.approx(1, rel=1e-3)
        assert b.avg_gradient_norm == pytest.approx(2 * a.avg_gradient_norm, rel=1e-3)
        assert b.avg_output_variance == pytest.approx(4 * a.avg_output_variance, rel=1e-3)


def test_a_constant_on_all_logits_changes_what_is_documented_but_no_probability():
    """A direction of the embedding that raises every logit alike moves mean(logits) and no next-token distribution."""
    loaded = tiny_loaded()
    shifted = dataclasses.replace(loaded, model=copy.deepcopy(loaded.model), digest="shifted")
    with torch.no_grad():
        shifted.anatomy.unembedding(shifted.model).weight += torch.ones(32)
    row = observed(shifted)["B", "forget"]
    assert abs(row.lipschitz_change) > 0.05
    assert row.divergence_change == pytest.approx(0, abs=1e-3)
    assert row.likelihood_gradient_change == pytest.approx(0, abs=1e-3)


def test_another_seed_is_another_noise():
    first, second = (observed(tiny_loaded(seed=1), seeds=(seed,))["A", "forget"] for seed in (1, 2))
    assert first.avg_lipschitz != second.avg_lipschitz
    assert first.avg_lipschitz == pytest.approx(second.avg_lipschitz, rel=0.3)
    assert first.avg_gradient_norm == second.avg_gradient_norm
