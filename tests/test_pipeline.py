"""The pipeline on two local folders of every kind of architecture, with local texts and questions."""

from __future__ import annotations

import functools
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pandas
import pytest
from tiny_models import SPECIFIC, tiny_model_folder

from brittle.attacks.relearning import Settings as AttackSettings
from brittle.command_line import main
from brittle.commands.pipeline import PipelineSettings, run
from brittle.models.anatomy import ANATOMIES
from brittle.models.references import locate
from brittle.runs.failures import Failure

PAIR_FILES = (
    "weight_comparison/per_matrix.csv", "weight_comparison/per_component.csv", "weight_comparison/per_layer.csv",
    "weight_comparison/per_coarse_layer.csv", "param_plots/layer_locality.png", "param_plots/stable_rank.png",
    "activation_comparison/activation_comparison.csv", "activation_plots/activation_norms_forget.png",
    "activation_plots/activation_diffs_retain.png", "mlp_attn_analysis/mlp_attn_summary.csv",
    "null_space_analysis/null_space_results.csv", "null_space_analysis/null_space_visualization.png",
    "activation_separation/separation_metrics_model_a.csv", "activation_separation/separation_summary.json",
    "activation_covariance/covariance_metrics.csv", "activation_covariance/covariance_spectra.png",
    "mlp_nullspace/mlp_nullspace_metrics.csv", "mlp_nullspace/mlp_nullspace_alignment.png",
    "row_space_projection/row_space_projections.csv", "row_space_projection/row_space_summary.json",
    "lipschitzness/lipschitzness_summary.csv", "lipschitzness/lipschitzness_analysis.png",
    "causal_depth/causal_depth.csv", "causal_depth/causal_depth.png", "singular_value_spectra/spectra.csv",
    "representation_similarity/representation_similarity.csv", "weight_comparison/controls/random/per_matrix.csv",
)  # fmt: skip
MODEL_FILES = (
    "evals/summary.json", "evals/high_level_summary.md",
    "wmdp_logit_lens/wmdp_lens_results.csv", "wmdp_logit_lens/summary.json", "wmdp_logit_lens/wmdp_lens_analysis.png",
    "wmdp_tuned_lens/wmdp_lens_results.csv", "wmdp_tuned_lens/summary.json", "linear_probes/probe_results.csv",
    "linear_probes/summary.json",
)  # fmt: skip
KINDS = ("gpt_neox", "gemma", "phi", "phi3", "opt", "gpt2")
"""One architecture of each anatomy. Of the others, which have one of these, every model in memory is taken apart
(test_models_anatomy), observed (test_observation, test_lenses_and_patches, test_sensitivity) and trained (test_training_step)."""
ATTACKED = ("gpt_neox", "gpt2", "gemma")
SHORT = AttackSettings(attack_steps=2)


def settings_for(folder: Path, architecture: str, **changes: object) -> PipelineSettings:
    for number, name in enumerate(("base", "unlearned")):
        tiny_model_folder(folder / name, architecture, seed=number)
    (folder / "forget.txt").write_text("The quick brown fox.\nA river runs to the sea and back again.\n")
    (folder / "retain.txt").write_text("A lazy dog reads.\nIt may only hide what it reads in the northern cellar.\n")
    for split in ("forget", "retain"):
        rows = [
            {"question": f"{split} question {n}: which?", "choices": ["a", "fox", "the sea", "b"], "answer": n % 4}
            for n in range(8)
        ]
        (folder / f"{split}.jsonl").write_text("\n".join(json.dumps({**row, "subject": "s"}) for row in rows))
    values: dict = {
        "base": str(folder / "base"), "unlearned": str(folder / "unlearned"), "filtered": "none",
        "forget_text": str(folder / "forget.txt"), "retain_text": str(folder / "retain.txt"),
        "forget_questions": str(folder / "forget.jsonl"), "retain_questions": str(folder / "retain.jsonl"),
        "outroot": str(folder / "outputs"), "seeds": "42",
    }  # fmt: skip
    return PipelineSettings(**(values | changes))


def named(folder: Path) -> tuple[str, str]:
    """The names of the two models in the names of folders."""
    base, unlearned = (locate(str(folder / name)).name for name in ("base", "unlearned"))
    return base, unlearned


def test_the_kinds_are_all_anatomies_that_differ() -> None:
    anatomy = {name: replace(row, model_type="") for name, row in ANATOMIES.items()}
    assert {anatomy[name] for name in KINDS} == {anatomy[name] for name in SPECIFIC}
    assert len({anatomy[name] for name in KINDS}) == len(KINDS)


@pytest.fixture(scope="module")
def carried_out(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[Path, Path, list[Failure]]]:
    """Of each architecture a folder in which the pipeline was carried out, once, its report and what failed."""

    @functools.cache
    def of(architecture: str) -> tuple[Path, Path, list[Failure]]:
        folder = tmp_path_factory.mktemp(architecture)
        return folder, *run(settings_for(folder, architecture, enable_attacks=architecture in ATTACKED), SHORT)

    return of


@pytest.fixture
def copied(carried_out, tmp_path: Path) -> Path:
    """A copy of what was carried out on GPT-NeoX."""
    return shutil.copytree(carried_out("gpt_neox")[0], tmp_path / "copy")


@pytest.mark.end_to_end
@pytest.mark.parametrize("architecture", KINDS)
def test_pipeline_writes_every_documented_file(architecture: str, carried_out) -> None:
    folder, report, failures = carried_out(architecture)
    assert [f"{failure.diagnostic}: {failure.reason}" for failure in failures] == []
    outputs = folder / "outputs"
    expected = [outputs / "__to__".join(named(folder)) / name for name in PAIR_FILES]
    expected += [outputs / model / name for model in named(folder) for name in MODEL_FILES]
    assert [path for path in expected if not path.is_file()] == []
    assert report.read_text().lower().startswith("<!doctype html>")
    if architecture in ATTACKED:
        recovery = pandas.read_csv(outputs / "recovery" / "recovery.csv")
        assert set(recovery.role) == {"base", "unlearned"}
        assert set(recovery.step) == {0, 2}


@pytest.mark.end_to_end
def test_second_run_writes_nothing_again_and_force_does(copied: Path) -> None:
    settings = settings_for(copied, "gpt_neox", enable_attacks=True)
    records = sorted((copied / "outputs").rglob("record.json"))
    before = [path.stat().st_mtime_ns for path in records]
    run(settings, SHORT)
    assert [path.stat().st_mtime_ns for path in records] == before
    run(replace(settings, force=True), SHORT)
    assert all(path.stat().st_mtime_ns > old for path, old in zip(records, before))


@pytest.mark.end_to_end
def test_changed_text_makes_the_activation_step_stale_and_leaves_the_weight_step(copied: Path) -> None:
    pair = copied / "outputs" / "__to__".join(named(copied))
    times = {
        name: (pair / name / "record.json").stat().st_mtime_ns
        for name in ("weight_comparison", "activation_comparison")
    }
    settings = settings_for(copied, "gpt_neox")
    (copied / "forget.txt").write_text("Another text about the amber resin.\nAnd one more of them.\n")
    run(settings)
    again = {name: (pair / name / "record.json").stat().st_mtime_ns for name in times}
    assert again["weight_comparison"] == times["weight_comparison"]
    assert again["activation_comparison"] > times["activation_comparison"]


@pytest.mark.end_to_end
def test_steps_that_fail_are_listed_and_stop_no_other(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    settings = settings_for(tmp_path, "gpt_neox")
    (tmp_path / "retain.txt").write_text((tmp_path / "forget.txt").read_text() + "One text of its own.\n")
    given = ("base", "unlearned", "forget_text", "retain_text", "forget_questions", "retain_questions", "outroot")
    flags = [part for name in given for part in (f"--{name.replace('_', '-')}", str(getattr(settings, name)))]
    with pytest.raises(SystemExit) as end:
        main("pipeline", [*flags, "--filtered", "none", "--seeds", "42"])
    assert end.value.code == 1
    failed = [line for line in capsys.readouterr().err.splitlines() if line.startswith("no result: ")]
    assert {line.split()[2] for line in failed} == {"linear_probes", "activation_separation"}
    assert all("at least two different forget and retain texts" in line for line in failed)
    pair = tmp_path / "outputs" / "__to__".join(named(tmp_path))
    assert not (pair / "activation_separation").exists()
    assert (pair / "activation_covariance" / "covariance_metrics.csv").is_file()
    assert (pair / "lipschitzness" / "lipschitzness_summary.csv").is_file()
    assert (tmp_path / "outputs" / "report.html").is_file()
