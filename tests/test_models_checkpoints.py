"""The stream of matrix pairs against state dictionaries held in memory."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_models import ARCHITECTURES, tiny_model, tiny_model_folder

from brittle.models.anatomy import ANATOMIES
from brittle.models.checkpoints import matrix_pairs
from brittle.settings import BadInput

WEIGHTS = "model.safetensors"


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    return tiny_model_folder(tmp_path / "a", seed=0), tiny_model_folder(tmp_path / "b", seed=1)


def differences(folder_a: Path, folder_b: Path, **options: object) -> dict[str, torch.Tensor]:
    return {pair.name: pair.modified - pair.base for pair in matrix_pairs(folder_a, folder_b, **options)}  # type: ignore[arg-type]


def rewrite(folder: Path, tensors: dict[str, torch.Tensor]) -> None:
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, folder / WEIGHTS, {"format": "pt"})


@pytest.mark.parametrize("architecture", [*ARCHITECTURES, "gemma3_text", "phi3"])
def test_pairs_equal_the_difference_of_state_dictionaries(architecture: str, tmp_path: Path) -> None:
    folders = [tiny_model_folder(tmp_path / str(seed), architecture, seed) for seed in (0, 1)]
    base, modified = (tiny_model(architecture, seed).state_dict() for seed in (0, 1))
    anatomy = ANATOMIES[architecture]
    places = {name: place for name in base if (place := anatomy.place(name))}
    pairs = {pair.name: pair for pair in matrix_pairs(*folders)}
    assert set(pairs) == set(places)
    for name, pair in pairs.items():
        expected = base[name].T if anatomy.transposed else base[name]
        expected_modified = modified[name].T if anatomy.transposed else modified[name]
        assert torch.equal(pair.base, expected) and torch.equal(pair.modified, expected_modified)
        place = places[name]
        assert (pair.layer, pair.component, pair.group) == (place.layer, place.component, place.group)


def test_shards_and_one_file_give_the_same_pairs(folders: tuple[Path, Path], tmp_path: Path) -> None:
    single = differences(*folders)
    for size in ("20KB", "50KB"):
        sharded = tiny_model_folder(tmp_path / size, seed=1)
        tiny_model(seed=1).save_pretrained(sharded, max_shard_size=size)
        (sharded / WEIGHTS).unlink(missing_ok=True)
        assert len(list(sharded.glob("*.safetensors"))) > 1
        found = differences(folders[0], sharded)
        assert found.keys() == single.keys()
        assert all(torch.equal(found[name], single[name]) for name in single)
        assert all(not change.any() for change in differences(sharded, folders[1]).values())


def test_a_checkpoint_without_the_prefix_matches(folders: tuple[Path, Path]) -> None:
    expected = differences(*folders)
    tensors = load_file(folders[1] / WEIGHTS)
    rewrite(folders[1], {name.removeprefix("gpt_neox."): tensor for name, tensor in tensors.items()})
    found = differences(*folders)
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_the_difference_is_taken_after_upcasting(folders: tuple[Path, Path]) -> None:
    """Half-precision files are subtracted in float32; rounding first happens only when a type is given."""
    tensors = load_file(folders[0] / WEIGHTS)
    rewrite(folders[1], {name: tensor * (1 + 1e-5) for name, tensor in tensors.items()})
    assert all(change.any() for change in differences(*folders).values())
    rounded = differences(*folders, dtype=torch.bfloat16)
    assert sum(change.count_nonzero().item() for change in rounded.values()) < 100
    rewrite(folders[0], {name: tensor.to(torch.bfloat16) for name, tensor in tensors.items()})
    pair = next(matrix_pairs(*folders))
    assert pair.base.dtype == pair.modified.dtype == torch.float32
    assert torch.equal(pair.base, tensors[pair.name].to(torch.bfloat16).float())


def test_layers_restrict_the_stream(folders: tuple[Path, Path]) -> None:
    assert {pair.layer for pair in matrix_pairs(*folders, layers=[1])} == {1}
    with pytest.raises(BadInput, match="no weight matrices"):
        list(matrix_pairs(*folders, layers=[7]))


def test_a_stream_can_be_left_early(folders: tuple[Path, Path]) -> None:
    stream = matrix_pairs(*folders)
    first = next(stream)
    stream.close()
    assert first.base.isfinite().all() and next(stream, None) is None


def test_a_missing_matrix_is_named_whichever_side_lacks_it(folders: tuple[Path, Path]) -> None:
    name = "gpt_neox.layers.1.mlp.dense_4h_to_h.weight"
    tensors = load_file(folders[1] / WEIGHTS)
    del tensors[name]
    rewrite(folders[1], tensors)
    for pair_of_folders in (folders, folders[::-1]):
        with pytest.raises(BadInput, match=f"b lacks {name}"):
            next(matrix_pairs(*pair_of_folders))


def test_a_different_shape_is_named(folders: tuple[Path, Path], tmp_path: Path) -> None:
    wider = tiny_model_folder(tmp_path / "wider", intermediate_size=64)
    with pytest.raises(BadInput, match=r"mlp\.dense_4h_to_h\.weight has shape \(32, 48\).*\(32, 64\)"):
        next(matrix_pairs(folders[0], wider))


def test_different_architectures_are_refused(folders: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="gpt_neox but .* is llama"):
        next(matrix_pairs(folders[0], tiny_model_folder(tmp_path / "llama", "llama")))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_matrix_that_is_not_finite_is_named(value: float, folders: tuple[Path, Path]) -> None:
    name = "gpt_neox.layers.0.attention.dense.weight"
    tensors = load_file(folders[1] / WEIGHTS)
    tensors[name][0, 0] = value
    rewrite(folders[1], tensors)
    with pytest.raises(BadInput, match=f"{name} has NaN or infinite"):
        list(matrix_pairs(*folders))


def test_quantised_weights_are_refused(folders: tuple[Path, Path]) -> None:
    tensors = load_file(folders[1] / WEIGHTS)
    rewrite(folders[1], {name: tensor.to(torch.int8) for name, tensor in tensors.items()})
    with pytest.raises(BadInput, match="quantised"):
        list(matrix_pairs(*folders))


def test_truncated_weights_are_refused(folders: tuple[Path, Path]) -> None:
    weights = folders[1] / WEIGHTS
    weights.write_bytes(weights.read_bytes()[:-64])
    with pytest.raises(BadInput, match="corrupt or truncated"):
        next(matrix_pairs(*folders))


def test_an_index_that_forgets_a_shard_is_noticed(folders: tuple[Path, Path]) -> None:
    tiny_model(seed=1).save_pretrained(folders[1], max_shard_size="20KB")
    (folders[1] / WEIGHTS).unlink(missing_ok=True)
    index = json.loads((folders[1] / f"{WEIGHTS}.index.json").read_text())
    kept = sorted(set(index["weight_map"].values()))[:-1]
    index["weight_map"] = {name: shard for name, shard in index["weight_map"].items() if shard in kept}
    (folders[1] / f"{WEIGHTS}.index.json").write_text(json.dumps(index))
    with pytest.raises(BadInput, match="lacks"):
        next(matrix_pairs(*folders))
