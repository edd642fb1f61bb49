"""Several trainings of each reference: names, tests worked out by hand, and how often nothing is called something."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest
from scipy import stats

from brittle.command_line import main
from brittle.commands import pipeline
from brittle.mathematics import groups
from brittle.results import trainings
from brittle.runs import trainings as training_runs
from brittle.runs.chosen import chosen
from brittle.runs.trainings import Training, spread
from brittle.settings import BadInput
from brittle.suites.laboratory import ROLES, Laboratory, parse, role_of
from brittle.views.references_page import page

WORLDS = (0, 0, 1, 1, 2)


def test_trainings_share_initial_weights_where_the_first_ones_do() -> None:
    assert [role_of(name) for name in ROLES] == list(ROLES.values())
    for number in (1, 2, 30):
        own = {kind: role_of(f"{kind}.{number}") for kind in ROLES}
        assert own["base"].initial_seed == own["filtered"].initial_seed == own["retrained"].initial_seed
        assert own["reinitialised"].initial_seed not in (own["base"].initial_seed, 0, 1)
        assert all(own[kind].hazardous == role.hazardous for kind, role in ROLES.items())
    seeds = [role_of(f"{kind}{ending}").data_seed for kind in ROLES for ending in ("", ".1", ".2")]
    assert len(set(seeds)) == len(seeds)


def test_a_training_has_a_name_and_a_record_of_its_own() -> None:
    assert parse("laboratory:filtered.2@tiny-1") == ("filtered.2", Laboratory("tiny", 1))
    own = Laboratory("tiny", 1)
    assert own.identity("base.1").fingerprint not in (
        own.identity("base").fingerprint,
        own.identity("base.2").fingerprint,
    )
    assert own.folder == Laboratory("tiny", 1).folder


@pytest.mark.parametrize("name", ["base.0", "base.", "base.x", "base.01", "base.-1", "nothing.1", "base.1.1"])
def test_a_training_that_there_is_not_is_refused(name: str) -> None:
    with pytest.raises(BadInput, match="laboratory model"):
        parse(f"laboratory:{name}@tiny")
    with pytest.raises(BadInput, match="laboratory model"):
        role_of(name)


def test_trainings_are_spread_over_three_worlds() -> None:
    assert [(each.world, each.number) for each in spread("tiny", 5, 0)] == [(0, 0), (0, 1), (1, 0), (1, 1), (2, 0)]
    assert [(each.world, each.number) for each in spread("tiny", 2, 7)] == [(7, 0), (8, 0)]
    assert Training("tiny", 8, 1).reference("filtered") == "laboratory:filtered.1@tiny-8"
    assert Training("tiny", 8, 0).reference("base") == "laboratory:base@tiny-8"


def test_welch_is_the_textbooks_without_blocks() -> None:
    one, other = [3.0, 4.0, 5.0, 8.0], [1.0, 2.0, 2.5]
    assert groups.welch(one, other) == pytest.approx(stats.ttest_ind(one, other, equal_var=False).pvalue)
    assert groups.welch(one, other, (0, 0, 1, 1), (0, 1, 1)) == groups.welch(one, other)  # blocks of unlike counts
    assert math.isnan(groups.welch([1.0], other))


def test_blocks_are_taken_out_by_hand() -> None:
    """Worlds 10 apart, groups 1 apart, residuals ±0.1: SS = 0.04 each on 4 − 1 − ½ degrees of freedom, t = 1 / √(2·0.004)."""
    one, other = [1.1, 0.9, 11.1, 10.9], [0.1, -0.1, 10.1, 9.9]
    error = 2 * (0.04 / 2.5 / 4)
    expected = 2 * stats.t.sf(1 / math.sqrt(error), 5)
    blocks = (0, 0, 1, 1)
    assert groups.welch(one, other, blocks, blocks) == pytest.approx(expected)
    assert expected < 1e-4 < 0.5 < groups.welch(one, other)


def test_groups_that_do_not_vary() -> None:
    assert groups.welch([0.3] * 5, [0.3] * 5) == 1
    assert groups.welch([2.0] * 5, [3.0] * 5) == pytest.approx(2 / 252)


def test_holm_by_hand() -> None:
    assert groups.holm([0.01, 0.04, math.nan, 0.03]) == pytest.approx([0.03, 0.06, math.nan, 0.06], nan_ok=True)
    assert groups.holm([0.9, 0.8]) == [1, 1]


def test_two_of_a_group_by_hand() -> None:
    """The others 1, 2, 3 have the deviation 1, so that 4√2 apart is t = 4 on two degrees of freedom."""
    assert groups.odd_one_out(0, 4 * math.sqrt(2), [1, 2, 3]) == pytest.approx(2 * stats.t.sf(4, 2))
    assert groups.odd_one_out(0, 5, [1, 1, 1]) == 1
    assert math.isnan(groups.odd_one_out(0, 5, [1]))


def test_the_share_over_pairs_draws_members() -> None:
    called = np.array([[np.nan, 1, 1, 1], [1, np.nan, 0, 0], [1, 0, np.nan, 0], [1, 0, 0, np.nan]], dtype=float)
    share, low, high = groups.share_over_pairs(called)
    assert share == pytest.approx(0.5)  # one odd member of four stands in half of the pairs
    assert low == 0 and high == 1


def table(values: dict[str, dict[str, list[float]]]) -> pandas.DataFrame:
    return pandas.DataFrame([
        {"pair": "laboratory:base@tiny-0 → b", "kind": kind, "measure": measure, "value": value, "world": WORLDS[i],
         "training": i}
        for measure, kinds in values.items() for kind, own in kinds.items() for i, value in enumerate(own)
    ])  # fmt: skip


def at_random(generator: np.random.Generator, count: int, worlds: float) -> pandas.DataFrame:
    """``count`` measures on which filtered and retrained do not differ; worlds do, by ``worlds`` deviations."""
    shifts = worlds * generator.standard_normal((count, 3))[:, WORLDS]
    values = {kind: shifts + generator.standard_normal((count, 5)) for kind in ("filtered", "retrained")}
    return table({f"m{i}": {kind: list(own[i]) for kind, own in values.items()} for i in range(count)})


@pytest.mark.parametrize("worlds", [0.0, 2.0])
def test_where_nothing_differs_at_most_one_measure_in_twenty_is_marked(worlds: float) -> None:
    generator = np.random.default_rng(1)
    marked, families, p_values = 0, 0, []
    for _ in range(40):
        drawn = at_random(generator, 20, worlds)
        told = trainings.told_apart(drawn)
        marked += sum(bool(each.tells) for each in told.values())
        families += any(each.tells for each in told.values())
        for _measure, part in drawn.groupby("measure"):
            one, other = (part[part.kind == kind] for kind in ("filtered", "retrained"))
            p_values.append(groups.welch(list(one.value), list(other.value), list(one.world), list(other.world)))
    assert marked <= 0.05 * 800
    assert families <= 6  # Holm: 5 % of 40 families, and twice the deviation of that
    assert np.mean(np.array(p_values) <= 0.05) == pytest.approx(0.05, abs=3 * (0.05 * 0.95 / 800) ** 0.5)


def test_what_differs_by_construction_is_marked_and_what_does_not_is_not() -> None:
    generator = np.random.default_rng(2)
    noise = generator.standard_normal((2, 5))
    told = trainings.told_apart(table({
        "apart": {"filtered": list(10 + noise[0]), "retrained": list(noise[1])},
        "alike": {"filtered": list(noise[1]), "retrained": list(noise[0])},
        "weight_comparison.relative_frobenius_norm": {
            "filtered": list(np.exp(noise[0])), "retrained": list(np.exp(noise[0] + 0.2)),
        },
    }))  # fmt: skip
    assert [each.tells for each in told.values()] == [True, False, False]


def test_ratios_are_compared_by_their_logarithm() -> None:
    assert trainings.scaled("weight_comparison.relative_frobenius_norm", [1.0, math.e]) == pytest.approx([0, 1])
    assert trainings.scaled("weight_comparison.relative_frobenius_norm", [0.0, 1.0]) == [0.0, 1.0]
    assert trainings.scaled("wmdp_logit_lens.best_layer_accuracy", [0.5, 1.0]) == [0.5, 1.0]


def test_two_trainings_of_a_kind_are_called_different_in_few_measures() -> None:
    pairs = list(trainings.pairs_of_a_kind(at_random(np.random.default_rng(3), 400, 0.0)))
    assert len(pairs) == 2 * 10 and all(pair.measures == 400 for pair in pairs)
    assert sum(pair.called_alone for pair in pairs) / (20 * 400) == pytest.approx(0.05, abs=0.01)
    assert sum(pair.called for pair in pairs) / (20 * 400) <= 0.05
    share, low, high = trainings.share_called(pairs[:10], alone=True)
    assert 0.03 < low <= share <= high < 0.08


def test_an_odd_training_is_found() -> None:
    """Training 2 of each measure lies far from the others; only its pairs are called different."""
    generator = np.random.default_rng(4)
    values = {
        f"m{i}": {"retrained": [*generator.standard_normal(2), 1e4, *generator.standard_normal(2)]} for i in range(5)
    }
    pairs = list(trainings.pairs_of_a_kind(table(values)))
    odd = trainings.named(1, 2)
    assert all((pair.called_alone == 5) == (odd in (pair.one, pair.other)) for pair in pairs)


def test_a_page_of_what_the_trainings_say(tmp_path: Path) -> None:
    path = tmp_path / "references.csv"
    at_random(np.random.default_rng(5), 3, 0.0).to_csv(path, index=False)
    text = page(path)
    assert text.startswith("# What two trainings differ by") and "size tiny, worlds 0, 1 and 2" in text
    assert text.count("| filtered | world 0, training 0 |") == 4
    assert "without correction in" in text and "Intervals of 95 %: the trainings were drawn anew" in text
    with pytest.raises(BadInput, match="--references 5 --diagnose"):
        page(tmp_path / "nowhere" / "references.csv")


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--diagnose", "o"], "--diagnose is read with --references only"),
        (["--references", "3", "--page", "p.md"], "--page is read with --diagnose only"),
        (["--references", "3", "--models", "base"], "leave --models out"),
    ],
)
def test_flags_that_need_each_other(flags: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main("laboratory", ["--size", "tiny", *flags])
    assert ended.value.code == 2
    assert said in capsys.readouterr().err


def test_a_second_filtered_model_is_compared_in_its_own_part(monkeypatch: pytest.MonkeyPatch) -> None:
    found: dict[str, Any] = {}
    monkeypatch.setattr(pipeline, "pipeline", lambda given, *_more, **_words: found.update(given) or 0)
    names = ["base", "filtered", "filtered.1", "retrained.1", "reinitialised"]
    pipeline.compare({"models": ",".join(f"laboratory:{name}@tiny-0" for name in names)}, None)
    assert found["filtered"] == "laboratory:filtered@tiny-0,laboratory:filtered.1@tiny-0"
    assert found["control"] == "laboratory:retrained.1@tiny-0"
    assert found["unlearned"] == "laboratory:reinitialised@tiny-0"


@pytest.mark.slow
def test_several_trainings_are_built_compared_and_judged(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a laboratory of a few steps and by three diagnostics: what is written, and that nothing is measured twice."""
    few = [each for each in chosen({}) if each[0].name in ("weight_comparison", "causal_depth", "wmdp_logit_lens")]
    monkeypatch.setattr(training_runs, "chosen", lambda _overrides: few)
    shape = ["--name", "brief", "--size", "tiny", "--width", "16", "--layers", "2", "--steps", "4"]
    asked = [*shape, "--references", "4", "--diagnose", str(tmp_path), "--page", str(tmp_path / "page.md")]
    written = []
    for _ in range(2):
        with pytest.raises(SystemExit) as ended:
            main("laboratory", asked)
        assert ended.value.code == 0, capsys.readouterr().err
        written.append({path: path.stat().st_mtime_ns for path in tmp_path.rglob("record.json")})
    assert written[0] == written[1]
    found = pandas.read_csv(tmp_path / "references.csv")
    assert list(found.columns) == ["pair", "kind", "measure", "value", "world", "training"]
    trained = {(0, 0), (0, 1), (1, 0), (2, 0)}
    assert set(zip(found["world"], found["training"])) == trained and set(found["kind"]) == set(trainings.KINDS)
    size = found[found["measure"] == "weight_comparison.relative_frobenius_norm"]
    assert len(size) == 12 and (size["value"] > 0).all() and size["value"].nunique() == 12
    depth = found[found["measure"] == "causal_depth.unlearning_depth_score"]
    assert set(depth["world"]) <= {0}  # elsewhere there is no second filtered model to measure against
    told = trainings.told_apart(found)
    assert all(each.tells is not None for name, each in told.items() if not name.startswith("causal_depth"))
    text = (tmp_path / "page.md").read_text()
    assert "over 4 and 4 trainings in 3 worlds" in text and text.count("| reinitialised |") == 6
