"""Unlearned models ranked by what their records and W&B say: values, order and verdicts worked out by hand."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas
import pytest
import reports_tree
from safetensors.torch import load_file
from stand_ins import serve, tracked

from brittle.command_line import main
from brittle.commands.rank import rank
from brittle.models import references
from brittle.records import Identity, writing
from brittle.results.outputs import gather
from brittle.results.ranking import Candidate, Ranking, on_front, ranked
from brittle.results.ranking_metrics import role_in, shortened
from brittle.results.roles import Role

UNFILTERED, FILTERED = "EleutherAI/deep-ignorance-unfiltered", "EleutherAI/deep-ignorance-e2e-strong-filter"
BASE_NAME = "EleutherAI_deep-ignorance-unfiltered"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def scores(mmlu: float, wmdp: float) -> dict[str, Any]:
    """The results of benchmarks as lm-eval names them."""
    return {
        "mmlu": {"acc,none": mmlu}, "wmdp_bio_robust": {"acc,none": wmdp},
        "wmdp_bio_cloze_verified": {"acc,none": 0.1, "acc_norm,none": wmdp + 0.01}, "wmdp_bio_categorized_mcqa": {"acc,none": wmdp + 0.02},
    }  # fmt: skip


def benchmarks(folder: Path, mmlu: float, wmdp: float) -> str:
    """The benchmarks of a model; the fingerprint of their record."""
    identity = Identity("benchmarks", {"model": folder.name}, {"limit": None})
    with writing(folder / "benchmarks", identity) as draft:
        draft.summary({"model": folder.name, "tasks": ["mmlu"], "results": scores(mmlu, wmdp)})
    return identity.fingerprint


def unlearned(
    name: str, mmlu: float | None = None, wmdp: float = 0.25, root: str = "unlearned_models", base: str = UNFILTERED,
    method: str = "", notes: dict[str, Any] | None = None, settings: dict[str, Any] | None = None, **summary: Any,
) -> str:  # fmt: skip
    """An unlearned model without weights; the fingerprint of its record."""
    identity = Identity(
        "unlearned model", {"base": "abc"}, {"method": method or name.split("__")[1], "name": name, **(settings or {})}
    )
    with writing(Path(root) / name, identity) as draft:
        draft.summary({"model": name, "steps": 3, "collapsed": False, **summary})
        draft.note(base=base, **(notes or {}))
    if mmlu is not None:
        benchmarks(Path(root) / name, mmlu, wmdp)
    return identity.fingerprint


def both_baselines() -> None:
    benchmarks(Path("outputs") / BASE_NAME, 0.45, 0.43)
    benchmarks(Path("outputs") / FILTERED.replace("/", "_"), 0.43, 0.36)


def found(**more: Any) -> Ranking:
    return rank([Path("unlearned_models")], [Path("outputs")], **more)


def refused(capsys: pytest.CaptureFixture[str], *flags: str) -> str:
    with pytest.raises(SystemExit, match="^2$"):
        main("rank", list(flags))
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    return error


def test_the_score_is_mmlu_minus_wmdp_and_baselines_stand_apart() -> None:
    unlearned("m__ga__ep1", 0.40, 0.30)
    unlearned("m__rmu__ep1", 0.42, 0.25)
    unlearned("m__rmu__ep2", 0.44, 0.40)
    both_baselines()
    ranking = found()
    assert ranking.score_name == "mmlu_minus_wmdp" and ranking.lacking == ranking.left_out == ()
    assert ranking.runs["name"].tolist() == ["m__rmu__ep1", "m__ga__ep1", "m__rmu__ep2"]
    assert ranking.runs["score"].tolist() == pytest.approx([0.17, 0.10, 0.04])
    assert ranking.runs["rank"].tolist() == [1, 2, 3]
    assert ranking.runs[["wmdp_cloze", "wmdp_categorized"]].iloc[0].tolist() == pytest.approx([0.26, 0.27])
    assert list(ranking.best()) == ["rmu", "ga"]
    assert ranking.baselines["role"].tolist() == ["base", "filtered"]
    assert ranking.baselines["score"].tolist() == pytest.approx([0.02, 0.07])


def test_the_documented_page_has_the_documented_columns() -> None:
    unlearned("m__ga__ep1", 0.40, 0.30)
    both_baselines()
    found(output=Path("best.md"))
    page = Path("best.md").read_text()
    heads = [line for line in page.splitlines() if line.startswith("| Name")]
    assert heads == ["| Name | Score | MMLU | WMDP (Robust) | WMDP (Cloze) | WMDP (Categorized) |"] * 2
    assert page.index("## Baselines") < page.index("## ga")
    assert "| m__ga__ep1 (Pareto front) | 0.1000 | 0.4000 | 0.3000 | 0.3100 | 0.3200 |" in page
    table = pandas.read_csv("best.csv")
    assert table["name"].tolist() == ["m__ga__ep1", BASE_NAME, FILTERED.replace("/", "_")]
    assert table["rank"].tolist()[0] == 1 and table["rank"].isna().sum() == 2


def candidates(*points: tuple[float, float]) -> list[Candidate]:
    return [
        Candidate(f"m{number}__ga__ep1", Role.UNLEARNED, "ga", values={"mmlu": mmlu, "wmdp_robust": wmdp})
        for number, (mmlu, wmdp) in enumerate(points)
    ]


def test_the_front_of_five_points() -> None:
    #         best utility  between     lowest       beaten by 1  equal to 1
    points = [(0.50, 0.40), (0.45, 0.30), (0.30, 0.20), (0.44, 0.30), (0.45, 0.30)]
    utility, forgetting = (pandas.Series(values) for values in zip(*points))
    assert on_front(utility, forgetting).tolist() == [True, True, True, False, True]
    assert on_front(pandas.Series([0.1, math.nan]), pandas.Series([0.5, 0.1])).tolist() == [True, False]
    runs = ranked(candidates(*points)).runs
    assert runs.set_index("name")["pareto"].to_dict() == {
        "m0__ga__ep1": True, "m1__ga__ep1": True, "m2__ga__ep1": True, "m3__ga__ep1": False, "m4__ga__ep1": True,
    }  # fmt: skip


def test_equal_scores_share_a_rank_and_a_method_shows_its_best_five() -> None:
    points = [(0.3 + 0.01 * number, 0.2) for number in (1, 2, 3, 3, 4, 5, 6)]
    ranking = ranked(candidates(*points))
    assert ranking.runs["rank"].tolist() == [1, 2, 3, 4, 4, 6, 7]
    assert ranking.best()["ga"]["name"].tolist() == [f"m{number}__ga__ep1" for number in (6, 5, 4, 2, 3)]
    assert len(ranked(candidates(*points), top=2).best()["ga"]) == 2
    noisy = ranked(candidates((0.1 + 0.2, 0.0), (0.3, 0.0)))  # equal but for the last bit
    assert noisy.runs["rank"].tolist() == [1, 1] and noisy.runs["name"].tolist() == ["m0__ga__ep1", "m1__ga__ep1"]


def test_a_damaged_model_is_marked_and_out_unless_asked_for() -> None:
    unlearned("m__ga__ep1", 0.44, 0.10, collapsed=True, retain_nll=9.0, retain_nll_before=2.0)
    unlearned("m__rmu__ep1", 0.40, 0.30)
    unlearned("m__lat__ep1", 0.26, 0.24)  # (0.45 - 0.25) / 2 + 0.25 = 0.35 of MMLU would have to be left
    both_baselines()
    runs = found(output=Path("best.md")).runs.set_index("name")
    assert runs["health"].to_dict() == {
        "m__rmu__ep1": "not measured",
        "m__ga__ep1": "damaged",
        "m__lat__ep1": "damaged",
    }
    assert runs["rank"].fillna(0).to_dict() == {"m__rmu__ep1": 1, "m__ga__ep1": 0, "m__lat__ep1": 0}
    assert runs["pareto"].to_dict() == {"m__rmu__ep1": True, "m__ga__ep1": False, "m__lat__ep1": False}
    page = Path("best.md").read_text()
    assert "- m__ga__ep1 (damaged: 9.0 nats per token on benign retain texts; base 2.0)" in page
    assert "- m__lat__ep1 (damaged: 26 % of the benign questions; less than 35 % is half of the way" in page
    assert "## ga" not in page and "## rmu" in page
    assert found(with_damaged=True).runs["name"].tolist() == ["m__ga__ep1", "m__rmu__ep1", "m__lat__ep1"]


def evaluated(folder: Path, benign: float, hazardous: float, nats: list[float]) -> None:
    """Step 0 of a model, with what held-out benign texts cost it."""
    results = {"retain": {"accuracy": benign}, "forget": {"accuracy": hazardous}}
    with writing(folder / "evals", Identity("evals", {"model": folder.name}, {})) as draft:
        draft.summary({"model": folder.name, "results": results, "benign_likelihood": {"uniform_guessing": 7.0}})
        draft.table(
            "benign_likelihood",
            [{"kind": "stories", "text": n, "nats_per_token": value} for n, value in enumerate(nats)],
        )


def test_a_laboratory_is_ranked_by_benign_minus_hazardous_accuracy_and_judged_by_what_benign_texts_cost() -> None:
    base = "laboratory:base@tiny-0"
    unlearned(
        "l__ga__ep1",
        base=base,
        accuracy_t=0.2,
        accuracy_v=0.4,
        accuracy_retain=0.9,
        forget_nll=4.0,
        forget_nll_before=1.0,
    )
    unlearned("l__rmu__ep1", base=base, accuracy_t=0.1, accuracy_v=0.1, accuracy_retain=0.95)
    evaluated(Path("outputs/laboratory_base_tiny-0"), 0.96, 0.98, [1.0, 1.1, 1.2])
    evaluated(Path("outputs/l__rmu__ep1-0123ab"), 0.9, 0.1, [4.0, 4.1, 4.2])
    ranking = found()
    assert ranking.score_name == "benign_minus_hazardous"
    runs = ranking.runs.set_index("name")
    assert runs["score"].to_dict() == pytest.approx(
        {"l__ga__ep1": 0.6, "l__rmu__ep1": 0.8}
    )  # 0.9 − 0.3; step 0 counts: 0.9 − 0.1
    assert runs["health"].to_dict() == {"l__ga__ep1": "not measured", "l__rmu__ep1": "damaged"}
    assert ranking.baselines["score"].tolist() == pytest.approx([-0.02])
    assert ranking.baselines["forget_nll"].tolist() == [1.0]  # as its model's training measured it
    assert ranking.lacking == (("filtered", "laboratory:filtered@tiny-0"),)


def test_excess_recovery_is_the_worst_case_that_the_report_shows() -> None:
    outputs = reports_tree.build(Path("outputs"))
    names = [name for name in reports_tree.ROLES if "__" in name]
    for name in names:
        unlearned(name, accuracy_t=0.25, accuracy_v=0.25, accuracy_retain=0.9, base="laboratory_base")
    ranking = found(score="excess_recovery")
    shown = {case.found.model: case.excess for case in gather(outputs).worst}
    runs = ranking.runs.set_index("name")
    assert runs["excess_recovery"].to_dict() == pytest.approx({name: shown[name] for name in names})
    assert [name.split("__")[1] for name in runs.index] == ["wt_dist", "cb_lat"]  # the lower the better
    assert shown[runs.index[1]] > 0.9 and runs["score"].tolist() == pytest.approx(runs["excess_recovery"].tolist())
    assert ranking.lacking == ()


def test_the_distance_to_the_filtered_model_does_not_reward_falling_below_it() -> None:
    unlearned("m__ga__ep1", 0.43, 0.36)
    unlearned("m__rmu__ep1", 0.43, 0.24)
    both_baselines()
    runs = found(score="distance_to_filtered").runs
    assert runs["name"].tolist() == ["m__ga__ep1", "m__rmu__ep1"] and runs["score"].tolist() == pytest.approx([0, 0.12])


def moved(folder: Path, a: str, b: str, **norms: float) -> None:
    with writing(folder / f"{a}__to__{b}" / "weight_comparison", Identity("weight_comparison", {"a": a}, {})) as draft:
        draft.summary({"frobenius_norm": 99.0, **{group: {"frobenius_norm": value} for group, value in norms.items()}})


def test_the_l2_distance_is_the_trainings_or_that_of_all_matrices() -> None:
    unlearned("m__ga__ep1", 0.4, notes={"l2_distance": 2.5})
    unlearned("m__rmu__ep1", 0.4)
    for name in ("m__ga__ep1-0123ab", "m__rmu__ep1-4567cd"):
        moved(Path("outputs"), BASE_NAME, name, attn=3.0, mlp=4.0, embedding=12.0)  # 3² + 4² + 12² = 13²
    moved(Path("outputs"), FILTERED.replace("/", "_"), "m__rmu__ep1-4567cd", attn=77.0)  # not from the base
    runs = found().runs.set_index("name")
    assert runs["l2_distance"].to_dict() == {"m__ga__ep1": 2.5, "m__rmu__ep1": 13.0}


def test_results_are_joined_to_the_model_whose_name_they_cut() -> None:
    long = "EleutherAI_deep-ignorance-unfiltered__cb_lat__ep1_lr1e-05_bs4_a100.0_ly"
    assert len(shortened(long)) == 60 and shortened("a b:c") == references._bounded("a b:c") == "a_b_c"
    assert shortened(long) == references._bounded(long)
    for layer in (5, 6, 7):
        unlearned(
            f"{long}{layer}",
            settings={"layer_id": [layer]},
            notes={"digest": f"aaaa{layer}{layer}"} if layer > 5 else {},
        )
    cut = shortened(long)
    evaluated(Path(f"outputs/{cut}-aaaa66"), 0.6, 0.3, [1.0, 1.0])  # told by its content
    evaluated(Path(f"outputs/{cut}-bbbb00"), 0.5, 0.3, [1.0, 1.0])  # told by the settings of the comparison
    entry = {
        "name": f"{cut}-bbbb00",
        "role": "unlearned",
        "settings": {"method": "cb_lat", "name": f"{long}5", "layer_id": [5]},
    }
    Path("outputs/comparison.json").write_text(json.dumps({"models": [entry], "comparisons": []}))
    ranking = found()
    assert len(ranking.runs) == 3 and ranking.baselines.empty
    told = ranking.runs.set_index("name")["benign_accuracy"].dropna().to_dict()
    assert told == {f"{long}6": 0.6, f"{long}5": 0.5}


def test_results_that_several_models_could_have_are_left_out_by_name() -> None:
    long = "EleutherAI_deep-ignorance-unfiltered__cb_lat__ep1_lr1e-05_bs4_a100.0_ly"
    for layer in (5, 6):
        unlearned(f"{long}{layer}")
    evaluated(Path(f"outputs/{shortened(long)}-aaaa66"), 0.6, 0.3, [1.0, 1.0])
    ranking = found()
    assert ranking.runs["benign_accuracy"].isna().all()
    assert [line for line in ranking.left_out if "2 unlearned models are called so" in line]


def test_missing_baselines_are_named_with_the_command_that_makes_them(capsys: pytest.CaptureFixture[str]) -> None:
    unlearned("m__ga__ep1", 0.40, 0.30)
    with pytest.raises(SystemExit, match="^0$"):
        main("rank", ["--output", "best.md"])
    said = capsys.readouterr().out
    for words in (said, Path("best.md").read_text(), Path("best.html").read_text()):
        for reference in (UNFILTERED, FILTERED):
            assert f"uv run experiment/eval.py --model {reference}" in words
        assert "No baseline metrics of the base model were found" in words
    benchmarks(Path("outputs") / BASE_NAME, 0.45, 0.43)
    assert found().lacking == (("filtered", FILTERED),)
    both_baselines()
    assert found().lacking == ()


def test_without_any_model_one_line_says_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    assert "there is nothing to rank; make one with unlearn/unlearn.py" in refused(capsys)
    both_baselines()  # baselines alone are no ranking
    assert "no unlearned model was found in outputs" in refused(capsys)
    assert "there is no folder outputz; did you mean outputs?" in refused(capsys, "--outroot", "outputz")
    assert "must end in .md" in refused(capsys, "--output", "best.html")
    assert "did you mean excess_recovery?" in refused(capsys, "--score", "excess_recover")
    assert not Path("unlearn").exists()


def test_a_file_that_is_not_ours_is_not_replaced(capsys: pytest.CaptureFixture[str]) -> None:
    unlearned("m__ga__ep1", 0.40, 0.30)
    for name in ("best.md", "best.csv", "best.html"):
        found(output=Path("best.md"))  # ours is
        Path(name).write_text("my notes\n")
        assert f"{name} is not a file that brittle rank wrote" in refused(capsys, "--output", "best.md")
        assert Path(name).read_text() == "my notes\n"
        Path(name).unlink()


def test_broken_records_are_named_and_the_rest_is_ranked(capsys: pytest.CaptureFixture[str]) -> None:
    for number, name in enumerate(("a", "b", "c", "d")):
        unlearned(f"m__{name}__ep1", 0.40, 0.30 + 0.01 * number)
    root = Path("unlearned_models")
    (root / "m__a__ep1" / "record.json").write_text("{")
    (root / "m__b__ep1" / "benchmarks" / "summary.json").write_text("[1]")
    (root / "m__d__ep1" / "record.json").write_text(json.dumps({"kind": "unlearned model", "status": "running"}))
    unlearned("m__e__ep1", 45.0, 0.30)  # per cent are no share
    reports_tree.attack(Path("outputs") / "recovery")
    Path("outputs/comparison.json").write_text('{"models": [3]}')
    ranking = found(output=Path("best.md"))
    assert ranking.runs[ranking.runs["rank"].notna()]["name"].tolist() == ["m__c__ep1"]
    assert "m__b__ep1" in ranking.unranked["name"].tolist() and "m__a__ep1" not in ranking.unranked["name"].tolist()
    page, said = Path("best.md").read_text(), capsys.readouterr().err
    for words in ("m__a__ep1/record.json (is not valid JSON", "m__b__ep1/benchmarks/summary.json (holds a list",
                  "m__d__ep1/record.json (is not complete)", "comparison.json (1 of its models have no name)"):  # fmt: skip
        assert words in page and words in said
    for name in ("m__b__ep1", "m__e__ep1"):
        assert f"- {name} (not measured: no MMLU or no WMDP (Robust))" in page


def test_a_name_is_text_wherever_it_is_shown() -> None:
    name = "m<script>alert(1)<&|*`script>__ga__ep1"
    unlearned(name, 0.40, 0.30, method="<script>x</script>")
    found(output=Path("best.md"))
    page, told = Path("best.html").read_text(), Path("best.md").read_text()
    assert "<script>alert" not in page and "<script>x" not in page and "&lt;script&gt;alert(1)" in page
    assert "<script>" not in told and "&lt;script&gt;alert(1)&lt;&amp;\\|\\*\\`script&gt;" in told


def test_the_page_holds_all_that_it_needs() -> None:
    unlearned("m__ga__ep1", 0.40, 0.30)
    unlearned("m__lat__ep1", 0.26, 0.24)
    both_baselines()
    found(output=Path("best.md"))
    page = Path("best.html").read_text()
    assert 'class="cards sortable"' in page and "data:image/svg+xml" in page
    assert not [word for word in ('src="http', 'href="http', "@import", "url(http") if word in page]
    spec = json.loads(page.partition('class="specification">')[2].partition("</script>")[0])
    (hollow,) = [
        layer["mark"] for layer in spec["layer"] if [row["model"] for row in layer["data"]["values"]] == ["m__lat__ep1"]
    ]
    assert hollow["filled"] is False and "stroke" not in hollow  # its own colour is seen
    rows = {row["model"]: row for layer in spec["layer"] for row in layer["data"]["values"]}
    assert rows["m__ga__ep1"]["state"] == "on the front" and rows["m__lat__ep1"]["state"] == "damaged"
    assert (rows["m__ga__ep1"]["x"], rows["m__ga__ep1"]["y"]) == (0.40, 0.30)
    assert rows[BASE_NAME]["line"] == "base"
    once = page
    found(output=Path("best.md"))
    assert Path("best.html").read_text() == once


@pytest.mark.parametrize("methods", [1, 8, 30])
def test_every_method_has_a_look_however_many_there_are(methods: int) -> None:
    from brittle.figures.of_ranking import scatter

    made = [
        Candidate(f"m__way{n}__ep1", Role.UNLEARNED, f"way{n}", values={"mmlu": 0.4 + n / 99, "wmdp_robust": 0.3})
        for n in range(methods)
    ]
    chart = scatter(ranked(made), "MMLU", "WMDP")
    assert chart is not None and chart.svg().startswith("<svg")
    (scale,) = {
        json.dumps(layer["encoding"]["color"]["scale"]) for layer in chart.spec["layer"] if "color" in layer["encoding"]
    }
    assert len(json.loads(scale)["domain"]) == len(set(json.loads(scale)["range"])) == methods


def test_roles_in_names() -> None:
    assert [role_in(name) for name in (UNFILTERED, FILTERED, "laboratory_base_tiny-0", "laboratory:filtered", "laboratory_retrained_tiny-0",
            "mine", f"{UNFILTERED}__ga")] == ["base", "filtered", "base", "filtered", "retrained", "unknown", "unknown"]  # fmt: skip


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch):
    pytest.importorskip("wandb")
    with serve("tracker") as service:
        monkeypatch.setenv("WANDB_BASE_URL", service.url)
        monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
        yield service


def by_path(mmlu: float, wmdp: float) -> dict[str, float]:
    return {"results/mmlu/acc": mmlu, "results/wmdp_bio_robust/acc": wmdp}


def test_runs_of_wandb_count_once_with_their_local_records(asked) -> None:
    here, half = unlearned("m__ga__ep1", 0.40, 0.30), unlearned("m__rmu__ep1", forget_nll=3.0)
    base = benchmarks(Path("outputs") / BASE_NAME, 0.45, 0.43)
    asked.runs = [
        tracked("m__ga__ep1", "unlearned model", here, by_path(0.99, 0.01)),  # the local record decides
        tracked("m__rmu__ep1", "unlearned model", half, by_path(0.42, 0.32)),  # evaluated elsewhere
        tracked("m__npo__ep1", "unlearned model", "f" * 16, by_path(0.41, 0.29) | {"collapsed": False, "forget_nll": 2.0}, method="npo"),
        tracked("m__npo__ep2", "unlearned model", "e" * 16, by_path(0.44, 0.01), state="crashed"),
        tracked("m__dpo__ep1", "", "", {"results/mmlu/acc": 0.40, "results/wmdp_bio_robust/acc": 0.38}),  # of other code: by its name
        tracked("my base", "benchmarks", base, by_path(0.45, 0.43)),
        tracked(FILTERED, "benchmarks", "d" * 16, by_path(0.43, 0.36)),  # as documented, by --wandb-name
        tracked("a__to__b/weight_comparison", "weight_comparison", "c" * 16, {"frobenius_norm": 3.0}),
    ]  # fmt: skip
    ranking = found(wandb_project="somebody/mine")
    asked_of = [body["variables"] for _, body in asked.requests if "Runs(" in body["query"]]
    assert {(each["entity"], each["project"]) for each in asked_of} == {("somebody", "mine")}
    runs = ranking.runs.set_index("name")
    assert runs["score"].to_dict() == pytest.approx(
        {"m__npo__ep1": 0.12, "m__ga__ep1": 0.10, "m__rmu__ep1": 0.10, "m__dpo__ep1": 0.02}
    )
    assert runs["source"].to_dict() == {
        "m__npo__ep1": "W&B",
        "m__ga__ep1": "local, W&B",
        "m__rmu__ep1": "local, W&B",
        "m__dpo__ep1": "W&B",
    }
    assert runs["method"].to_dict() == {name: name.split("__")[1] for name in runs.index}
    assert runs["forget_nll"]["m__npo__ep1"] == 2.0 and runs["forget_nll"]["m__rmu__ep1"] == 3.0
    assert ranking.baselines["name"].tolist() == [BASE_NAME, FILTERED] and ranking.lacking == ()


def test_where_wandb_does_not_answer_one_line_says_so_and_local_records_are_ranked(monkeypatch, capsys) -> None:
    wandb = pytest.importorskip("wandb")
    unlearned("m__ga__ep1", 0.40, 0.30)

    def fails(*_: Any, **__: Any) -> None:
        raise ConnectionError("no way to the host")

    monkeypatch.setattr(wandb, "Api", fails)
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    assert found().runs["rank"].tolist() == [1]
    assert capsys.readouterr().err.count("W&B could not be asked (no way to the host); only local records count") == 1
    monkeypatch.setenv("WANDB_MODE", "offline")  # then it is not asked
    found()
    assert "W&B" not in capsys.readouterr().err


@pytest.mark.end_to_end
def test_a_model_that_was_made_is_ranked_by_the_documented_program(here: Path) -> None:
    program = "import sys; from brittle.command_line import main; main(None, sys.argv[1:])"
    flags = ["unlearn", "grad_diff", "--model", "laboratory:base@tiny-0", "--preset", "laboratory", "--max-steps", "2"]
    made = subprocess.run([sys.executable, "-c", program, *flags], capture_output=True, text=True)
    assert made.returncode == 0, made.stderr
    script = Path(__file__).parent.parent / "unlearn" / "analysis" / "analyze_runs.py"
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "1 of 1 unlearned models ranked by benign accuracy − hazardous accuracy" in done.stdout
    assert "uv run experiment/eval_mmlu.py --model laboratory:base@tiny-0" in done.stdout
    table = pandas.read_csv("unlearn/analysis/best_unlearning_models.csv")
    (folder,) = Path("unlearned_models").iterdir()
    base = references.locate(str(laboratory_base())).folder
    old, new = load_file(base / "model.safetensors"), load_file(folder / "model.safetensors")
    moved = math.sqrt(sum(float(((new[name].double() - old[name].double()) ** 2).sum()) for name in new))
    assert table["l2_distance"].tolist() == pytest.approx([moved], rel=1e-4) and moved > 0
    assert "## grad_diff" in Path("unlearn/analysis/best_unlearning_models.md").read_text()
    content = references.digest_of(folder)
    subprocess.run([sys.executable, "-c", program, *flags, "--no-save"], check=True, capture_output=True)
    assert not (folder / "model.safetensors").exists()
    assert json.loads((folder / "record.json").read_text())["notes"]["digest"] == content  # as results call it


def laboratory_base() -> Path:
    from brittle.runs import laboratory_models

    return laboratory_models.find("laboratory:base@tiny-0").folder
