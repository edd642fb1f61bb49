"""One number on its whole way, under one name: from two safetensors files to the sentence in the report."""

from __future__ import annotations

import html
import json
import re
from pathlib import Path

import pandas
import pytest
from safetensors.torch import load_file
from tiny_models import tiny_model_folder

from brittle.command_line import main
from brittle.results.measures import Movement, movement, movement_by_layer
from brittle.results.outputs import gather

NAME = "relative_frobenius_norm_all_parameters"


def norms(base: Path, other: Path, words: str = "") -> tuple[float, float]:
    """‖ΔW‖² and ‖W‖² over the tensors whose names hold ``words``, straight from the files."""
    before, after = (load_file(folder / "model.safetensors") for folder in (base, other))
    chosen = [name for name in before if words in name]
    change = sum(float((after[name].double() - before[name].double()).square().sum()) for name in chosen)
    return change, sum(float(before[name].double().square().sum()) for name in chosen)


def test_the_size_of_an_update_from_its_files_to_the_sentence(tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    base, other = tiny_model_folder(Path("base"), seed=0), tiny_model_folder(Path("other"), seed=1)
    change, size = norms(Path(base), Path(other))
    expected = (change / size) ** 0.5

    with pytest.raises(SystemExit, match="^0$"):
        main("compare", ["base", "other"])
    capsys.readouterr()
    (folder,) = Path("outputs").glob("base-*__to__other-*/weight_comparison")
    assert json.loads((folder / "summary.json").read_text())[NAME] == pytest.approx(expected, rel=1e-6)

    data = gather(Path("outputs"))
    (comparison,) = data.comparisons
    found = movement(comparison)
    assert found is not None and NAME in Movement.__dataclass_fields__
    assert getattr(found, NAME) == pytest.approx(expected, rel=1e-6)

    text = html.unescape(re.sub(r"<[^>]+>", "", Path("outputs/report.html").read_text(encoding="utf-8")))
    assert f"Its weights moved by {expected:.2f} of their norm" in " ".join(text.split())


def test_the_size_by_layer_has_the_documented_column_and_the_same_name(tmp_path: Path, monkeypatch, capsys) -> None:
    """‖ΔW‖/‖W‖ of a group in a layer is ``dW_fro_layer_rel`` in the table, and in ``results`` by its group's name."""
    monkeypatch.chdir(tmp_path)
    tiny_model_folder(Path("base"), seed=0), tiny_model_folder(Path("other"), seed=1)
    with pytest.raises(SystemExit, match="^0$"):
        main("diagnose", ["weight_comparison", "--model-a", "base", "--model-b", "other", "--outdir", "out"])
    assert "size of the update of block matrices" in capsys.readouterr().out
    table = pandas.read_csv("out/per_layer.csv")
    change, size = norms(Path("base"), Path("other"), "layers.0.mlp")
    row = table[(table.layer == 0) & (table.group == "mlp")].iloc[0]
    biases = norms_of_biases(Path("base"), Path("other"))
    expected = ((change - biases[0]) / (size - biases[1])) ** 0.5
    assert row.dW_fro_layer_rel == pytest.approx(expected, rel=1e-6)
    assert {"layer", "relative_frobenius_norm", "stable_rank", "mlp", "attn"} <= set(
        movement_by_layer(type("One", (), {"per_layer": table})()).columns  # type: ignore[arg-type, union-attr]
    )


def norms_of_biases(base: Path, other: Path) -> tuple[float, float]:
    """The part of layer 0's MLP that is no matrix."""
    before, after = (load_file(folder / "model.safetensors") for folder in (base, other))
    chosen = [name for name in before if "layers.0.mlp" in name and before[name].ndim == 1]
    change = sum(float((after[name].double() - before[name].double()).square().sum()) for name in chosen)
    return change, sum(float(before[name].double().square().sum()) for name in chosen)
