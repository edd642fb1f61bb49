"""Methods that train only some weights, and what a run's record says of its adversary: whole runs on a tiny model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from tiny_models import TEXTS, tiny_model_folder

from brittle.records import read_record
from brittle.runs import unlearning, unlearning_plan
from brittle.settings import BadInput

FLAGS: dict[str, Any] = {
    "model": "base", "device": "cpu", "max_steps": 2, "max_length": 16, "no_eval": True, "lr": 1e-3, "batch_size": 2,
}  # fmt: skip


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BRITTLE_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    tiny_model_folder(tmp_path / "base", num_hidden_layers=3)
    words = " ".join(TEXTS).split()
    Path("data").mkdir()
    for name, first in (("forget", 0), ("retain", 9)):
        lines = [" ".join(words[start : start + 7]) for start in range(first, first + 16)]
        Path(f"data/{name}.txt").write_text("\n".join(lines))


def made(**flags: Any) -> unlearning_plan.Plan:
    chosen = unlearning_plan.plan(FLAGS | flags)
    unlearning.make_model(chosen, lambda _: None)
    return chosen


def moved(chosen: unlearning_plan.Plan) -> set[str]:
    """Names of the weights that are not those of the base."""
    before, after = load_file("base/model.safetensors"), load_file(chosen.folder / "model.safetensors")
    return {name for name, weight in after.items() if not torch.equal(weight, before[name])}


def names(*places: str) -> set[str]:
    return {f"gpt_neox.layers.{place}.weight" for place in places}


MLPS = names(*(f"{layer}.mlp.{part}" for layer in range(3) for part in ("dense_h_to_4h", "dense_4h_to_h")))
DOWN = names("0.mlp.dense_4h_to_h", "1.mlp.dense_4h_to_h")


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ({"method": "rmu_paper", "layer_id": (0, 1)}, DOWN),
        ({"method": "rmu_paper", "layer_id": (1,), "train_layers": (0, 1)}, DOWN),
        ({"method": "rmu_paper", "layer_id": (1,), "train_only": ("proj",)}, names("1.attention.dense")),
        ({"method": "rmu_mcu", "layer_id": (1,), "minor_components": 3}, {n for n in MLPS if ".2." not in n}),
        ({"method": "repselect", "optimizer": "sgd", "lr": 0.1, "weight_decay": 0.0, "grad_accum_steps": 2}, MLPS),
    ],
    ids=lambda value: "-".join(map(str, value.values())) if isinstance(value, dict) else "",
)
def test_only_the_methods_own_weights_move(flags: dict[str, Any], expected: set[str]) -> None:
    chosen = made(**{"weight_decay": 0.0, **flags})
    assert moved(chosen) == expected
    assert unlearning_plan.plan(FLAGS | {"weight_decay": 0.0, **flags}).folder == chosen.folder


def test_layers_counted_from_the_embeddings_end_one_higher() -> None:
    with pytest.raises(BadInput, match=r"^--layer-id: 0 is outside base, whose layers are 1 to 3; .*--layer-id 1,2 "):
        unlearning_plan.plan(FLAGS | {"method": "rr_paper", "layer_id": (0, 3)})
    own, rr = made(method="rr_paper", layer_id=(2, 3)), made(method="rr", layer_id=(1, 2))
    weights = [load_file(each.folder / "model.safetensors") for each in (own, rr)]
    assert all(torch.equal(weight, weights[1][name]) for name, weight in weights[0].items())


@pytest.mark.parametrize("method", ["lat", "lat_paper", "cb_lat", "rr_lat"])
def test_the_record_counts_how_often_the_adversary_did_not_help(
    method: str, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    flags = {"method": method, "layer_id": (0, 1), "lat_steps": 2}
    assert "remarks" not in (read_record(made(**flags, lat_eps=0.01).folder) or {})["notes"]
    relative = made(**flags, lat_eps=0.01, lat_radius="relative")
    assert "remarks" not in (read_record(relative.folder) or {})["notes"]
    assert relative.folder.name.endswith("lrarelative")
    capsys.readouterr()
    record = read_record(made(**flags, lat_eps=1e-9).folder)  # too small to change a likelihood in float32
    assert record is not None
    assert record["notes"]["remarks"] == {"the latent adversary did not lower the forget loss": 2}
    assert capsys.readouterr().err.count("did not lower the forget loss") == 1
