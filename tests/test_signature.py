"""The signature in numbers worked out by hand: anchoring, alikeness, the thesis's marks, one row per unlearned model."""

from __future__ import annotations

import html
import json
import math

import pandas
import pytest

from brittle.command_line import main
from brittle.results.headlines import Value, alike, flattened, measures, read
from brittle.results.outputs import gather
from brittle.views.sentences import sensitivity_sentence, telling_sentence
from brittle.views.signature import signature

MODELS = {"base": "base", "gold": "filtered", "again": "retrained", "rmu": "unlearned", "ga": "unlearned"}
SIZES = {"gold": 2.0, "again": 2.1, "rmu": 0.5, "ga": 2.2}
CKA = {"gold": 0.5, "again": 0.8, "rmu": 0.6, "ga": 0.95}
LENS = {"base": 1.0, "gold": 0.25, "again": 1.0, "rmu": 0.55, "ga": 0.28}


def run(outputs, *more):
    with pytest.raises(SystemExit) as ended:
        main("signature", [str(outputs), *more])
    return ended.value.code


@pytest.fixture
def outputs(tmp_path):
    def record(folder, summary):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "record.json").write_text(json.dumps({"status": "complete", "fingerprint": folder}))
        (tmp_path / folder / "summary.json").write_text(json.dumps(summary))

    models = [{"name": name, "role": role, "reference": name, "method": name} for name, role in MODELS.items()]
    pairs = [{"folder": f"base__to__{name}", "a": "base", "b": name} for name in SIZES]
    (tmp_path / "comparison.json").write_text(json.dumps({"models": models, "comparisons": pairs}))
    for name, size in SIZES.items():
        summary = {"relative_frobenius_norm": size, "controls": {"random": {"relative_frobenius_norm": size / 2}}}
        record(f"base__to__{name}/weight_comparison", summary)
        record(f"base__to__{name}/representation_similarity", {"forget": {"linear_cka": CKA[name], "deep": True}})
    for name, best in LENS.items():
        low, high = best - 0.05, best + 0.05
        bounds = {"best_layer_accuracy_low": low, "best_layer_accuracy_high": high}
        record(f"{name}/wmdp_logit_lens", {"best_layer_accuracy": best, **bounds})
    return tmp_path


def test_anchored_marks_and_controls(outputs):
    data = gather(outputs)
    size, cka, lens = measures(data)
    assert [measure.diagnostic for measure in (size, cka, lens)] == [
        "weight_comparison", "representation_similarity", "wmdp_logit_lens",
    ]  # fmt: skip
    assert (size.untouched, cka.untouched, lens.untouched) == (0, 1, 1)
    assert size.anchored(data, "rmu") == pytest.approx((0.5 - 2) / (0 - 2))
    assert cka.anchored(data, "rmu") == pytest.approx((0.6 - 0.5) / (1 - 0.5))
    assert lens.anchored(data, "rmu") == pytest.approx((0.55 - 0.25) / 0.75)
    assert size.anchored(data, "gold") == 0
    assert size.random["ga"].value == 1.1
    assert [measure.tells(data) for measure in (size, cka, lens)] == [None, None, None]  # one training each
    assert [measure.borne_out(data, "rmu") for measure in (size, cka, lens)] == [True, False, True]
    assert [measure.borne_out(data, "ga") for measure in (size, cka, lens)] == [False, True, False]
    assert "one training each: cannot tell; build several with: brittle laboratory --references 5" in telling_sentence(
        data
    )
    page = signature(data)
    assert page.count("✓") - 2 == 3 and page.count("✗") - 2 == 0  # two of each in the note
    assert (
        page.count("≈") - 2 == 3
    )  # ga's size 2.2 beside 2.0, its lens, and rmu's likeness, are as the filtered model's


def references(values):
    """``references.csv`` of ``{measure: {kind: [value of training 0, 1, …]}}``, trainings in worlds 0, 0, 1, 1, 2."""
    worlds = (0, 0, 1, 1, 2)
    rows = [
        {"pair": "a → b", "kind": kind, "measure": measure, "value": value, "world": worlds[i], "training": i}
        for measure, kinds in values.items()
        for kind, series in kinds.items()
        for i, value in enumerate(series)
    ]
    return pandas.DataFrame(rows)


SEVERAL = {
    "weight_comparison.relative_frobenius_norm": {"filtered": [2.0, 2.2, 1.9, 2.1, 2.0], "retrained": [2.1, 2.0, 2.2, 1.9, 2.1]},
    "representation_similarity.forget.linear_cka": {"filtered": [0.5, 0.51, 0.49, 0.5, 0.52], "retrained": [0.8, 0.81, 0.8, 0.79, 0.8]},
    "wmdp_logit_lens.best_layer_accuracy": {"filtered": [0.25, 0.3, 0.24, 0.26, 0.25], "retrained": [1.0, 1.0, 0.99, 1.0, 1.0]},
}  # fmt: skip


def test_a_mark_is_given_where_the_trainings_of_the_references_lie_apart(outputs):
    references(SEVERAL).to_csv(outputs / "references.csv", index=False)
    data = gather(outputs)
    assert [measure.tells(data) for measure in measures(data)] == [False, True, True]
    sentence = telling_sentence(data)
    assert (
        "Of 3 measures, 2 tell base → filtered from base → retrained over 5 and 5 trainings in 3 worlds (what varied"
        in sentence
    )
    assert signature(data).count("◆") - signature(data).count("◆ marks") == 2


def test_two_trainings_each_are_too_few_for_a_mark(outputs):
    few = {measure: {kind: own[:2] for kind, own in kinds.items()} for measure, kinds in SEVERAL.items()}
    references(few).to_csv(outputs / "references.csv", index=False)
    data = gather(outputs)
    assert [measure.tells(data) for measure in measures(data)] == [None, None, None]
    assert "fewer than 3 trainings of each: cannot tell; build several with: brittle laboratory" in telling_sentence(
        data
    )
    assert signature(data).count("◆") == signature(data).count("◆ marks")


def test_disagreeing_sensitivities_are_named(outputs):
    for name, response, slope in (("rmu", 0.5, 3.0), ("ga", 2.0, 3.0), ("gold", 0.95, 3.0)):
        folder = outputs / f"base__to__{name}" / "lipschitzness"
        folder.mkdir()
        (folder / "record.json").write_text(json.dumps({"status": "complete", "fingerprint": name}))
        summary = {"forget_lipschitz_change": response, "forget_likelihood_gradient_change": slope}
        (folder / "summary.json").write_text(json.dumps(summary))
    sentence = sensitivity_sentence(gather(outputs))
    assert "disagree for rmu (0.50 and 3.00 of the base's). The" in sentence
    assert sentence in html.unescape(signature(gather(outputs)))


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        (Value(1.0), Value(1.25), True), (Value(1.0), Value(1.26), False), (Value(-1.0), Value(1.0), False),
        (Value(0.0), Value(0.0), True), (Value(-2.0), Value(-1.9), True), (Value(0.0), Value(0.01), False),
        (Value(1.0, 0.5, 1.5), Value(2.0, 1.4, 2.5), True), (Value(1.0, 0.9, 1.1), Value(1.2, 1.15, 1.3), False),
    ],
)  # fmt: skip
def test_alike(one, other, expected):
    assert alike(one, other) == alike(other, one) == expected


def test_reading_and_flattening():
    summary = {"a": {"b": 1, "b_low": 0.5}, "c": "word", "d": None, "flag": True, "controls": {"random": {"a": 9}}}
    assert dict(flattened(summary)) == {"a.b": 1.0, "a.b_low": 0.5, "flag": 1.0}
    found = read(summary, "a.b")
    assert found.value == 1 and found.low == 0.5 and math.isnan(found.high)
    assert read(summary, "c") is None and read(summary, "d") is None and read(summary, "a.b.c") is None


def test_one_row_per_unlearned_model_and_a_page(outputs, capsys):
    assert run(outputs, "--page", str(outputs / "page.md")) == 0
    table = pandas.read_csv(outputs / "signature.csv", index_col="model")
    assert list(table.index) == ["rmu", "ga"]
    own = "weight_comparison.relative_frobenius_norm"
    assert table.loc["ga", [f"{kind}{own}" for kind in ("", "random.", "filtered.", "retrained.")]].tolist() == [
        2.2, 1.1, 2.0, 2.1,
    ]  # fmt: skip
    assert table.loc["rmu", f"anchored.{own}"] == pytest.approx(0.75)
    lines = (outputs / "page.md").read_text().splitlines()
    assert (
        "| size of the update of block matrices ‖ΔW‖/‖W‖ | 0 | 2 (1) | 2.1 (1.05) | 0.5 (0.25) ✓ | 2.2 (1.1) ≈ | below filtered | 1 of 2 |"
        in lines
    )


def test_nothing_unlearned_is_refused_in_one_line(outputs, capsys):
    plan = json.loads((outputs / "comparison.json").read_text())
    (outputs / "comparison.json").write_text(json.dumps(plan | {"models": plan["models"][:3], "comparisons": []}))
    assert run(outputs) == 2
    assert "no unlearned model" in capsys.readouterr().err
    assert not (outputs / "signature.csv").exists()
