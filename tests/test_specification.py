"""The experiment as the specification has it, through its documented program: one run, and what must be in it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pandas
import pytest
from documented_columns import DOCUMENTED, DOCUMENTED_WITH_EVERY_OPTION
from test_pipeline import settings_for

from brittle import tables

ROOT = Path(__file__).parent.parent
ASKED = [
    "--empirical-rank",
    "--C",
    "0.5",
    "--max-iter",
    "50",
    "--lens",
    "tuned",
    "--num-samples",
    "3",
    "--seeds",
    "42,7",
]
NAMED = ("base", "unlearned", "forget_text", "retain_text", "forget_questions", "retain_questions", "outroot")
pytestmark = [
    pytest.mark.end_to_end,
    pytest.mark.skipif(shutil.which("uv") is None, reason="the documented program starts uv"),
]


def pipeline(*flags: str, **environment: str) -> subprocess.CompletedProcess:
    """``experiment/pipeline.sh`` in the environment of these tests."""
    own = {"UV_NO_SYNC": "1", "UV_PROJECT_ENVIRONMENT": os.environ.get("VIRTUAL_ENV", str(ROOT / ".venv"))}
    command = [str(ROOT / "experiment" / "pipeline.sh"), *flags]
    return subprocess.run(command, env=os.environ | own | environment, capture_output=True, text=True)


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("specification")
    settings = settings_for(folder, "gpt_neox")
    environment = {name.upper(): str(getattr(settings, name)) for name in NAMED} | {"FILTERED": "none"}
    result = pipeline(*ASKED, **environment)
    assert result.returncode == 0, result.stderr[-2000:]
    return folder / "outputs"


def only(outputs: Path, pattern: str) -> Path:
    (found,) = outputs.glob(pattern)
    return found


def record(outputs: Path, pattern: str) -> dict:
    return json.loads((only(outputs, pattern) / "record.json").read_text(encoding="utf-8"))


def test_flags_of_the_steps_reach_them(outputs: Path) -> None:
    matrices = pandas.read_csv(only(outputs, "*__to__*/weight_comparison/per_matrix.csv"))
    assert (matrices.dW_empirical_rank > 0).all() and (matrices.W_empirical_rank > 0).all()
    probes = record(outputs, "base-*[0-9a-f]/linear_probes")["settings"]
    assert (probes["C"], probes["max_iter"], probes["seeds"]) == (0.5, 50, [42, 7])
    assert len(pandas.read_csv(only(outputs, "*__to__*/null_space_analysis/null_space_results.csv"))) == 3
    lenses = {path.parent.name for path in outputs.glob("*/*/wmdp_lens_results.csv")}
    assert lenses == {"wmdp_tuned_lens"}


def test_help_lists_the_flags_of_every_step() -> None:
    shown = pipeline("--help").stdout
    flags = ("--empirical-rank", "--C ", "--max-iter", "--lens", "--layer-stride", "--epsilon", "--rank-threshold")
    assert [flag for flag in flags if flag not in shown] == []


def test_a_value_that_no_step_takes_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    for flags in (["--C", "-1"], ["--lens", "foo"], ["--max-iter", "many"], ["--layer-stride", "0"]):
        result = pipeline(*flags, "--outroot", str(tmp_path / "outputs"))
        assert result.returncode == 2 and result.stderr.startswith(f"error: {flags[0]}"), result.stderr
    assert not (tmp_path / "outputs").exists()


def test_step_9_covers_every_layer(outputs: Path) -> None:
    layers = pandas.read_csv(only(outputs, "*__to__*/activation_covariance/covariance_metrics.csv")).layer
    assert layers.tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    "step", ["row_space_projection", "lipschitzness", "activation_comparison", "activation_covariance"]
)
def test_steps_read_the_documented_500_samples(outputs: Path, step: str) -> None:
    settings = record(outputs, f"*__to__*/{step}")["settings"]
    assert {settings[name] for name in settings if name.endswith(("max_samples", "_texts"))} == {500}


def test_tables_have_the_documented_columns_and_controls_lie_beside_them(outputs: Path) -> None:
    for name in DOCUMENTED:
        documented = DOCUMENTED[name] | DOCUMENTED_WITH_EVERY_OPTION.get(name, {})
        for folder in outputs.glob(f"*/{name}"):
            assert tables.names_in(folder) == sorted(documented)
            for table, columns in documented.items():
                found = pandas.read_csv(folder / f"{table}.csv").columns.tolist()
                assert found[: len(columns.split())] == columns.split()
                assert not [column for column in found if column.endswith(("_random", "_low", "_high", "_benign"))]
    norms = only(outputs, "*__to__*/activation_comparison")
    assert len(pandas.read_csv(norms / "activation_comparison.csv").columns) == 8
    beside = pandas.read_csv(norms / "activation_comparison_controls.csv")
    assert beside.columns.tolist() == (
        ["layer", "split", "measure", "value", "mean", "std", "low", "high", "random", "random_low", "random_high"]
    )
