"""From a notebook: tables as data frames, the same records as the programs'. (test_readme runs the documented example.)"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from tiny_models import tiny_model_folder

import brittle
from brittle.command_line import main
from brittle.settings import BadInput


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    for number, name in enumerate(("a", "b", "c")):
        tiny_model_folder(folder / name, "gpt_neox", seed=number)
    (folder / "forget.txt").write_text("The quick brown fox.\nA river runs to the sea and back again.\nA fox.\n")
    (folder / "retain.txt").write_text("A lazy dog reads.\nIt may only hide what it reads.\nThe northern cellar.\n")
    return folder


def flags(place: Path) -> dict[str, str]:
    texts = {"forget_text": str(place / "forget.txt"), "retain_text": str(place / "retain.txt")}
    return texts | {"outroot": str(place / "outputs"), "device": "cpu"}


@pytest.mark.end_to_end
def test_compare_gives_tables_with_controls(place: Path) -> None:
    found = brittle.compare(str(place / "a"), str(place / "b"), control=str(place / "c"), **flags(place))
    assert {"weight_comparison", "activation_comparison", "lipschitzness", "null_space_analysis"} <= set(found)
    layers = found["weight_comparison"]["per_layer"]
    assert {"layer"} <= set(layers.columns)
    assert len(layers) > 0
    ranks = found["null_space_analysis"]["null_space_results_controls"].query("measure == 'effective_rank'")
    assert ranks.value.tolist() == found["null_space_analysis"]["null_space_results"].effective_rank.tolist()
    for kind in ("random", "retrained"):
        assert ranks[kind].notna().all()
        assert kind in found["null_space_analysis"].summary["controls"]
    assert found["lipschitzness"].record["status"] == "complete"


@pytest.mark.end_to_end
def test_a_single_program_writes_the_same_numbers_and_finds_the_record(place: Path, capsys) -> None:
    together = brittle.compare(str(place / "a"), str(place / "b"), control=str(place / "c"), **flags(place))
    for name, result in together.items():
        before = (result.folder / "record.json").stat().st_mtime_ns
        again = brittle.diagnose(
            name, model_a=str(place / "a"), model_b=str(place / "b"), control=str(place / "c"), **flags(place)
        )
        if name != "mlp_attn_analysis":
            assert (again.folder / "record.json").stat().st_mtime_ns == before, name
    arguments = ["--model-a", str(place / "a"), "--model-b", str(place / "b"), "--outroot", str(place / "alone")]
    texts = ["--forget-text", str(place / "forget.txt"), "--retain-text", str(place / "retain.txt")]
    for name in ("activation_separation", "weight_comparison"):
        with pytest.raises(SystemExit) as end:
            main("diagnose", [name, *arguments, *texts, "--device", "cpu", "--control", str(place / "c")])
        assert end.value.code in (0, None)
        for table in together[name]:
            (alone,) = (place / "alone").glob(f"a-??????__to__b-??????/{name}/{table}.csv")
            assert alone.read_bytes() == (together[name].folder / f"{table}.csv").read_bytes()


def test_what_is_wrong_is_said(place: Path) -> None:
    with pytest.raises(BadInput, match="weight_comparision"):
        brittle.compare(str(place / "a"), str(place / "b"), only=["weight_comparision"], **flags(place))
    with pytest.raises(AttributeError, match="no attribute"):
        brittle.compares  # noqa: B018


def test_importing_brittle_is_quick() -> None:
    code = "import sys, brittle; print([m for m in ('torch', 'transformers', 'pandas') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"
