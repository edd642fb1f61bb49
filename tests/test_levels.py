"""Several worlds and seeds together: what is averaged, what is left out, what varied in words, and the command that varies it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas
import pytest
import reports_tree

from brittle.command_line import main
from brittle.commands import pipeline
from brittle.mathematics.nested import nested_mean
from brittle.results.levels import MANY, Measure, OverLevels, Place, Varied, over_levels, varied
from brittle.results.outputs import gather
from brittle.results.verdicts import Judgement
from brittle.runs import carried_over
from brittle.views.levels import intervals, left_out, verdicts
from brittle.views.words import OVER_QUESTIONS, OVER_SEEDS, what_varied

BASE = "laboratory_base"
LATENT, BROKEN = (name for name, role in reports_tree.ROLES.items() if role == "unlearned")
RUNS = [(world, seed) for world in (0, 1) for seed in (42, 43)]


def build(outputs: Path, seed: int) -> Path:
    """The synthetic tree, with models unlearned with this seed."""
    reports_tree.build(outputs)
    plan = json.loads((outputs / "comparison.json").read_text())
    for model in plan["models"]:
        if model["role"] == "unlearned":
            model["settings"]["seed"] = seed
    (outputs / "comparison.json").write_text(json.dumps(plan))
    return outputs


@pytest.fixture
def places(tmp_path: Path) -> list[Place]:
    return [Place(build(tmp_path / f"world-{world}" / f"seed-{seed}", seed), str(world)) for world, seed in RUNS]


def attacked(place: Place, change: Any) -> None:
    """Change the table of what came back."""
    path = place.outputs / "recovery" / "recovery.csv"
    change(pandas.read_csv(path)).to_csv(path, index=False)


def costs(place: Place, name: str, nats: float) -> None:
    """What held-out benign texts cost a model."""
    rows = [{"kind": "stories", "text": text, "nats_per_token": nats + text / 100} for text in range(8)]
    reports_tree.save(place.outputs / name / "evals", "benign_likelihood", rows)


def of(rows: list[OverLevels], name: str) -> OverLevels:
    return next(row for row in rows if row.name == name)


def test_the_mean_of_means_is_that_of_the_runs_tables(places: list[Place]) -> None:
    def lower(table: pandas.DataFrame) -> pandas.DataFrame:
        own = table["model"] == LATENT
        return table.assign(accuracy_v=table["accuracy_v"].where(~own, table["accuracy_v"] - 0.1))

    for place in places[2:]:  # the second world
        attacked(place, lower)
    found = of(over_levels(places), "cb_lat")
    rows = [next(row for row in gather(place.outputs).matched if row.model == LATENT) for place in places]
    means = [row.v.mean for row in rows if row.v]
    assert found.v is not None and found.v.mean == pytest.approx(sum(means) / 4)
    assert means[0] - means[2] == pytest.approx(0.1, abs=0.02)
    assert (found.runs, found.read, found.measure) == (4, 4, Measure.MATCHED_T)
    assert (found.v.low, found.v.high) == (
        pytest.approx(0.26, abs=0.1),
        1.0,
    )  # two worlds 0.1 apart: ± 12.7 · 0.05, cut
    seeds = {
        (place.world, seed, number): v
        for place, (_, seed), row in zip(places, RUNS, rows)
        for number, v in row.v_by_seed
    }
    assert found.v.low == pytest.approx(nested_mean(list(seeds.values()), list(seeds)).low)
    assert found.varied == Varied(2, 1, 2, 3)


def test_a_reference_counts_once_in_each_world(places: list[Place]) -> None:
    rows = over_levels(places)
    filtered = of(rows, "filtered")
    assert (filtered.runs, filtered.read, filtered.varied) == (2, 2, Varied(2, 1, 1, 3))
    assert filtered.by_chance is not None and filtered.by_chance == pytest.approx(0.25, abs=0.02)
    assert [row.name for row in rows] == ["base", "filtered", "retrained", "cb_lat", "wt_dist"]


def test_a_damaged_run_is_counted_and_not_averaged(places: list[Place]) -> None:
    for place in places:
        costs(place, BASE, 0.7)
        costs(place, BROKEN, 1.0)
    whole = of(over_levels(places), "wt_dist")
    assert (whole.read, whole.damaged, whole.judgements) == (4, 0, {Judgement.NO_SIGN: 4})
    costs(places[3], BROKEN, 9.4)
    attacked(places[3], lambda table: table.assign(accuracy_v=table["accuracy_v"].where(table["model"] != BROKEN, 0.0)))
    found = of(over_levels(places), "wt_dist")
    assert (found.runs, found.read, found.damaged, found.cannot_tell) == (4, 3, 1, 0)
    assert found.judgements == {Judgement.NO_SIGN: 3, Judgement.CANNOT_TELL: 1}
    assert found.v == of(over_levels(places[:3]), "wt_dist").v
    assert (left_out(found), verdicts(found)) == ("1 damaged", "3 no sign found, 1 cannot tell")


def test_a_run_of_which_nothing_can_be_told_is_counted_and_not_averaged(places: list[Place]) -> None:
    attacked(places[0], lambda table: table[table["role"] != "filtered"])
    found = of(over_levels(places), "wt_dist")
    assert (found.read, found.damaged, found.cannot_tell, left_out(found)) == (3, 0, 1, "1 cannot tell")
    none = of(over_levels(places[:1]), "wt_dist")
    assert (none.read, none.v, none.measure, left_out(none)) == (0, None, None, "1 cannot tell")


def test_where_one_run_never_learned_t_all_are_read_at_their_worst(places: list[Place]) -> None:
    def short(table: pandas.DataFrame) -> pandas.DataFrame:
        own = table["model"] == LATENT
        return table.assign(accuracy_t=table["accuracy_t"].where(~own, table["accuracy_t"].clip(upper=0.9)))

    attacked(places[0], short)
    found = of(over_levels(places), "cb_lat")
    assert (found.read, found.measure, found.by_chance) == (4, Measure.WORST, None)
    assert found.varied == Varied(2, 1, 2, 1)
    worst = [case.found.after.mean for p in places for case in gather(p.outputs).worst if case.found.model == LATENT]
    assert found.v is not None and found.v.mean == pytest.approx(sum(worst) / 4)
    one = of(over_levels(places[:1]), "cb_lat")
    assert one.v is not None and what_varied(one.varied) == OVER_QUESTIONS


def test_one_folder_has_the_interval_of_its_report(places: list[Place]) -> None:
    found = of(over_levels(places[:1]), "cb_lat")
    row = next(row for row in gather(places[0].outputs).matched if row.model == LATENT)
    assert (
        row.v
        and found.v
        and (found.v.mean, found.v.low, found.v.high) == pytest.approx((row.v.mean, row.v.low, row.v.high))
    )
    assert (found.varied, found.runs) == (Varied(attack_seeds=3), 1)


def test_models_of_one_method_and_seed_in_one_folder_are_not_taken_together(places: list[Place]) -> None:
    path = places[0].outputs / "comparison.json"
    path.write_text(path.read_text().replace('"wt_dist"', '"cb_lat"'))
    assert [row.name for row in over_levels(places[:1])][3:] == [LATENT, BROKEN]


@pytest.mark.parametrize(
    ("levels", "words"),
    [
        (Varied(attack_seeds=MANY), "95 % interval over attack seeds, with the same questions, models and world"),
        (Varied(attack_seeds=3), "95 % interval over 3 attack seeds, with the same questions, models and world"),
        (Varied(attack_seeds=MANY, questions=True), "95 % interval over questions and attack seeds, with the same models and world"),
        (Varied(1, 1, 2, 3), "95 % interval over 2 unlearning seeds and 3 attack seeds, with the same questions, base and world"),
        (Varied(1, 2, 1, 3), "95 % interval over 2 trainings of the base and 3 attack seeds, with the same questions and world"),
        (Varied(3, 1, 1, 3), "95 % interval over 3 worlds and 3 attack seeds; each model was made once in each world"),
        (Varied(3, 1, 2, 3), "95 % interval over 3 worlds, 2 unlearning seeds and 3 attack seeds; the base was trained once in each world"),
        (Varied(2, 2, 2, 1), "95 % interval over 2 worlds, 2 trainings of the base and 2 unlearning seeds"),
        (Varied(), "no interval: one world, one training, one attack seed"),
    ],
)  # fmt: skip
def test_what_varied_is_said_in_words(levels: Varied, words: str) -> None:
    assert what_varied(levels) == words


def test_captions_within_one_folder_are_the_same_words() -> None:
    assert what_varied(Varied(attack_seeds=MANY)) == OVER_SEEDS
    assert what_varied(Varied(attack_seeds=MANY, questions=True)) == OVER_QUESTIONS


def test_a_level_has_as_many_members_as_the_fullest_outer_one() -> None:
    assert varied([("0", "b", 42, 1), ("0", "b", 43, 1), ("1", "b", 42, 1), ("1", "b", 42, 2)]) == Varied(2, 1, 2, 2)
    assert varied([("0", "a", None), ("0", "b", None)]) == Varied(1, 2, 1, 1)


def refused(capsys: pytest.CaptureFixture[str], *flags: str) -> str:
    with pytest.raises(SystemExit) as ended:
        main("demo", ["--outroot", "nowhere", *flags])
    captured = capsys.readouterr()
    assert (ended.value.code, captured.out) == (2, "") and captured.err.count("\n") == 1
    assert not Path("nowhere").exists()
    return captured.err


@pytest.mark.parametrize("flag", ["--worlds", "--model-seeds"])
@pytest.mark.parametrize("value", ["0,0", "x", "", "-1", "1.5", "4294967296", ","])
def test_lists_that_name_no_distinct_seeds_are_refused(flag: str, value: str, capsys, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert refused(capsys, f"{flag}={value}").startswith(f"error: {flag}: ")


def test_what_any_world_would_refuse_is_refused_before_the_first(capsys, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert "--world names one" in refused(capsys, "--worlds", "0,1", "--world", "2")
    assert "no_method" in refused(capsys, "--worlds", "0,1", "--methods", "no_method")
    assert "--seeds" in refused(capsys, "--worlds", "0,1", "--seeds", "x")


def demo(*flags: str) -> None:
    with pytest.raises(SystemExit) as ended:
        main("demo", ["--size", "tiny", *flags])
    assert ended.value.code == 0


def carried_out(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The pipeline's jobs instead of the pipeline, each with the synthetic tree as its result."""
    jobs: list[dict[str, Any]] = []

    def job(given: dict[str, Any], _environment: object) -> int:
        jobs.append(given)
        build(Path(given["outroot"]), given.get("model_seed", 42))
        return 0

    monkeypatch.setattr(pipeline, "pipeline", job)
    return jobs


def test_demo_over_worlds_and_seeds_leaves_a_folder_each_and_one_table(tmp_path, monkeypatch, capsys) -> None:
    jobs, out = carried_out(monkeypatch), tmp_path / "out"
    demo("--worlds", "0,1", "--model-seeds", "42,43", "--outroot", str(out))
    folders = [out / f"world-{world}" / f"seed-{seed}" for world, seed in RUNS]
    assert [(job["world"], job["model_seed"], Path(job["outroot"])) for job in jobs] == [
        (*run, folder) for run, folder in zip(RUNS, folders)
    ]
    assert not {"worlds", "model_seeds"} & jobs[0].keys() and jobs[0]["size"] == "tiny"
    table = pandas.read_csv(out / "levels.csv").set_index("model")
    assert list(table.index) == ["base", "filtered", "retrained", "cb_lat", "wt_dist"]
    assert table.loc["cb_lat", ["runs", "read", "damaged", "cannot_tell", "came_back"]].tolist() == [4, 4, 0, 0, 4]
    assert table.loc["filtered", "varied"] == what_varied(Varied(2, 1, 1, 3))
    page, shown = (out / "levels.md").read_text(), capsys.readouterr().out
    assert "(world-1/seed-43/report.html)" in page and "over 2 worlds, 2 unlearning seeds and 3 attack seeds" in page
    assert all(line in shown for line in intervals(over_levels([Place(f, f.parent.name) for f in folders])))
    assert max(map(len, shown[shown.index("  model") :].split("-> ")[0].splitlines()[:-2])) <= 80


def test_a_plain_demo_is_one_job_in_its_own_folder(tmp_path, monkeypatch) -> None:
    jobs = carried_out(monkeypatch)
    demo("--outroot", str(tmp_path / "out"))
    (job,) = jobs
    usual = pipeline.resolve(pipeline.PipelineSettings, {"laboratory": True, "size": "tiny"})
    assert pipeline.resolve(pipeline.PipelineSettings, job) == replace(usual, outroot=str(tmp_path / "out"))
    assert not (tmp_path / "out" / "levels.csv").exists()


def test_references_are_carried_over_and_nothing_of_unlearned_models(tmp_path: Path) -> None:
    source, outputs = build(tmp_path / "seed-42", 42), tmp_path / "seed-43"
    for name in (f"{BASE}__relearning__seed0", f"{LATENT}__relearning__seed0"):
        reports_tree.save(source / "recovery" / "runs" / name, "recovery", [{"step": 0}])
    kept = outputs / "laboratory_filtered" / "wmdp_logit_lens"
    reports_tree.save(kept, "mine", [{"layer": 0}])
    assert carried_over.carry_over(source, outputs) > 0
    copied = {path.relative_to(outputs) for path in outputs.rglob("record.json")}
    assert not [path for path in copied if "cb_lat" in str(path) or "wt_dist" in str(path)]
    assert Path("recovery", "runs", f"{BASE}__relearning__seed0", "record.json") in copied
    assert Path(f"{BASE}__to__laboratory_filtered", "weight_comparison", "record.json") in copied
    assert [path.name for path in kept.iterdir() if path.suffix == ".csv"] == ["mine.csv"]
    assert carried_over.carry_over(source, outputs) == carried_over.carry_over(tmp_path / "none", outputs) == 0
