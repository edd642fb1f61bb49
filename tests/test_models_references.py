"""References: names, digests, hub answers, and one line for everything that cannot be loaded."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import huggingface_hub
import pytest
import torch
from huggingface_hub import errors
from safetensors.torch import load_file, save_file
from tiny_models import tiny_model, tiny_model_folder, tiny_tokenizer

from brittle.models import references
from brittle.models.loading import check_same_architecture, check_same_vocabulary, load
from brittle.models.references import locate
from brittle.settings import BadInput, home


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model_folder(tmp_path_factory.mktemp("saved") / "tiny")


@pytest.fixture
def folder(saved: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(saved, tmp_path / "tiny"))


def one_line(action: Callable[[], Any]) -> str:
    with pytest.raises(BadInput) as caught:
        action()
    message = str(caught.value)
    assert "\n" not in message
    return message


def change_tensors(folder: Path, change: Callable[[dict[str, torch.Tensor]], Any]) -> None:
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def shard(folder: Path) -> Path:
    """Save the folder's model again in several files with an index."""
    tiny_model().save_pretrained(folder, max_shard_size="20KB")
    (folder / "model.safetensors").unlink(missing_ok=True)
    return folder


def test_names(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    located = locate(str(folder))
    assert located.name == f"tiny-{located.digest[:6]}"
    monkeypatch.chdir(folder)
    here = locate(".")
    assert (here.text, here.name) == (".", located.name)
    assert locate(".", name="laboratory:base").name == "laboratory_base"
    monkeypatch.setattr(references, "download", lambda text: folder)
    assert locate("EleutherAI/deep-ignorance").name == "EleutherAI_deep-ignorance"


def test_the_digest_is_of_contents(folder: Path, tmp_path: Path) -> None:
    first = locate(str(folder)).digest
    copy = Path(shutil.copytree(folder, tmp_path / "copy"))
    assert locate(str(copy)).digest == first
    change_tensors(copy, lambda tensors: tensors["embed_out.weight"][0].add_(1))
    assert locate(str(copy)).digest != first
    configuration = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**configuration, "rope_theta": 5}))
    assert locate(str(folder)).digest != first


def test_an_unchanged_file_is_hashed_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    digest = locate(str(folder)).digest
    assert list((home() / "digests").iterdir())
    hashed: list[Path] = []
    original = references.digest_of_file
    monkeypatch.setattr(references, "digest_of_file", lambda path: hashed.append(path) or original(path))
    assert locate(str(folder)).digest == digest
    assert not hashed
    change_tensors(folder, lambda tensors: tensors["embed_out.weight"].mul_(2))
    locate(str(folder))
    assert [path.name for path in hashed] == ["model.safetensors"]


def test_sharded_folders_are_whole_or_refused(folder: Path) -> None:
    shard(folder)
    loaded = load(locate(str(folder)), device="cpu")
    torch.testing.assert_close(loaded.model.state_dict(), tiny_model().state_dict())
    next(folder.glob("model-00002-of-*.safetensors")).unlink()
    assert re.search(r"model-00002-of-\d+\.safetensors is missing", one_line(lambda: locate(str(folder))))


def break_index(folder: Path) -> None:
    shard(folder)
    (folder / "model.safetensors.index.json").write_text("{}")


def only_pickle(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def truncate(folder: Path) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])


BROKEN: dict[str, tuple[Callable[[Path], Any], str]] = {
    "no config": (lambda f: (f / "config.json").unlink(), "has no config.json; give a saved model"),
    "config not JSON": (lambda f: (f / "config.json").write_text("{"), "config.json cannot be read"),
    "config not text": (lambda f: (f / "config.json").write_bytes(b"\xff\xfe\x00"), "config.json cannot be read"),
    "config a list": (lambda f: (f / "config.json").write_text("[]"), "is not a JSON object"),
    "unknown type": (
        lambda f: (f / "config.json").write_text('{"model_type": "t5"}'),
        "architecture 't5' is not known",
    ),
    "no weights": (lambda f: (f / "model.safetensors").unlink(), "has no model.safetensors"),
    "only pickle": (only_pickle, "pickle weights .* refused .* convert"),
    "truncated": (truncate, "corrupt or truncated"),
    "empty": (lambda f: (f / "model.safetensors").write_bytes(b""), "corrupt or truncated"),
    "not safetensors": (lambda f: (f / "model.safetensors").write_text("version https://git-lfs"), "corrupt"),
    "empty index": (break_index, "has no weight_map"),
    "no tokenizer": (lambda f: (f / "tokenizer.json").unlink(), "has no tokenizer"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_folder_is_refused_before_loading(case: str, folder: Path) -> None:
    damage, expected = BROKEN[case]
    damage(folder)
    assert re.search(expected, one_line(lambda: locate(str(folder))))


def test_an_adapter_folder_is_named_as_such(folder: Path) -> None:
    (folder / "config.json").rename(folder / "adapter_config.json")
    assert "adapter" in one_line(lambda: locate(str(folder)))


def test_unknown_models_and_files(folder: Path) -> None:
    assert "give the folder" in one_line(lambda: locate(str(folder / "config.json")))
    for text in ("./no/such/folder", "a/b/c", "", "what is this"):
        message = one_line(lambda text=text: locate(text))
        assert "unknown model" in message and "laboratory:base" in message


def test_without_the_hub_the_laboratory_is_offered() -> None:
    message = one_line(lambda: locate("EleutherAI/never-downloaded"))  # conftest keeps the hub library offline
    assert "not reachable" in message and "laboratory:base" in message


def answer(status: int) -> Any:
    return SimpleNamespace(status_code=status, headers={}, request=None, url="")


HUB_ERRORS = {
    "gated": (errors.GatedRepoError("x", response=answer(403)), "gated .* HF_TOKEN"),
    "unknown": (errors.RepositoryNotFoundError("x", response=answer(404)), "neither a folder nor on the hub"),
    "revision": (errors.RevisionNotFoundError("x", response=answer(404)), "no revision 'old'"),
    "unauthorised": (errors.HfHubHTTPError("x", response=answer(401)), "answered 401; authorisation .* HF_TOKEN"),
    "down": (errors.HfHubHTTPError("x", response=answer(503)), "answered 503.*laboratory:base"),
    "disk": (OSError("no space\nleft"), "OSError: no space left"),
}


@pytest.mark.parametrize("case", HUB_ERRORS)
def test_each_refusal_of_the_hub_is_one_line(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    error, expected = HUB_ERRORS[case]

    def refuse(*_arguments: Any, **_options: Any) -> str:
        raise error

    monkeypatch.setattr(huggingface_hub, "snapshot_download", refuse)
    assert re.search(expected, one_line(lambda: locate("someone/model@old")))


class FakeHub:
    """A repository in a folder; copies what the patterns ask for into a snapshot named by its commit."""

    def __init__(self, repository: Path, cache: Path) -> None:
        self.repository, self.snapshot, self.revisions = repository, cache / "0123abc", []

    def __call__(self, identifier: str, revision: str | None, allow_patterns: list[str]) -> str:
        self.revisions.append(revision)
        self.snapshot.mkdir(parents=True, exist_ok=True)
        for pattern in allow_patterns:
            for path in self.repository.glob(pattern):
                shutil.copy(path, self.snapshot)
        return str(self.snapshot)


def test_a_download_takes_the_weights_in_use_and_nothing_else(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shard(folder)
    shards = {path.name for path in folder.glob("*.safetensors")}
    for extra in ("pytorch_model.bin", "consolidated.safetensors", "modeling_custom.py", "README.md"):
        (folder / extra).write_text("x")
    hub = FakeHub(folder, tmp_path)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", hub)
    located = locate("someone/model@v1")
    fetched = {path.name for path in located.folder.iterdir()}
    assert hub.revisions == ["v1", "0123abc"]
    assert {name for name in fetched if name.endswith(".safetensors")} == shards
    assert not fetched & {"pytorch_model.bin", "modeling_custom.py", "README.md"}
    assert located.name == "someone_model@v1"
    assert load(located, device="cpu").model.config.model_type == "gpt_neox"


def test_a_hub_model_is_refused_before_its_weights_arrive(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = FakeHub(folder, tmp_path)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", hub)
    only_pickle(folder)
    assert "no safetensors on the hub" in one_line(lambda: locate("someone/model"))
    shutil.rmtree(hub.snapshot)
    hub.revisions.clear()
    (folder / "config.json").write_text('{"model_type": "t5"}')
    assert "t5" in one_line(lambda: locate("someone/model"))
    assert len(hub.revisions) == 1


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_weights_that_are_not_finite_are_named(value: float, folder: Path) -> None:
    name = "gpt_neox.layers.1.mlp.dense_h_to_4h.weight"
    change_tensors(folder, lambda tensors: tensors[name][3, 5].fill_(value))
    assert name in one_line(lambda: load(locate(str(folder)), device="cpu"))


def test_large_but_finite_weights_are_accepted(folder: Path) -> None:
    change_tensors(folder, lambda tensors: tensors["gpt_neox.layers.1.mlp.dense_h_to_4h.weight"].fill_(3e38))
    load(locate(str(folder)), device="cpu")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("embed_out.weight", "lacks lm_head.weight, which its config.json asks for: it has no unembedding"),
        ("gpt_neox.layers.0.attention.dense.weight", "lacks gpt_neox.layers.0.attention.dense.weight"),
    ],
)
def test_missing_weights_are_refused_instead_of_made_up(name: str, expected: str, folder: Path) -> None:
    change_tensors(folder, lambda tensors: tensors.pop(name))
    assert expected in one_line(lambda: load(locate(str(folder)), device="cpu"))


def test_weights_of_another_size_are_refused(folder: Path) -> None:
    configuration = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**configuration, "intermediate_size": 64}))
    assert "not (32, 64) as in config.json" in one_line(lambda: load(locate(str(folder)), device="cpu"))


def test_opt_with_an_output_projection_is_refused(tmp_path: Path) -> None:
    located = locate(str(tiny_model_folder(tmp_path / "opt", "opt", word_embed_proj_dim=16)))
    assert "width 32 to 16" in one_line(lambda: load(located, device="cpu"))


def test_a_broken_tokenizer_is_refused(folder: Path) -> None:
    (folder / "tokenizer.json").write_text('{"version": "1.0"}')
    assert "tokenizer" in one_line(lambda: load(locate(str(folder)), device="cpu"))


def test_a_tokenizer_larger_than_the_embedding_is_refused(tmp_path: Path) -> None:
    located = locate(str(tiny_model_folder(tmp_path / "small", vocab_size=300)))
    assert "320 tokens" in one_line(lambda: load(located, device="cpu"))


def test_pairs_must_share_their_architecture(saved: Path, tmp_path: Path) -> None:
    base = locate(str(saved))
    check_same_architecture(base, locate(str(tiny_model_folder(tmp_path / "same", seed=1))))
    deeper = locate(str(tiny_model_folder(tmp_path / "deeper", num_hidden_layers=3)))
    assert "num_hidden_layers: 2 and 3" in one_line(lambda: check_same_architecture(base, deeper))
    llama = locate(str(tiny_model_folder(tmp_path / "llama", "llama")))
    assert "gpt_neox and llama" in one_line(lambda: check_same_architecture(base, llama))
    gpt2 = locate(str(tiny_model_folder(tmp_path / "gpt2", "gpt2")))
    wider = locate(str(tiny_model_folder(tmp_path / "gpt2-wider", "gpt2", n_inner=64)))
    assert "n_inner: 48 and 64" in one_line(lambda: check_same_architecture(gpt2, wider))


def test_pairs_must_share_their_vocabulary(saved: Path, folder: Path, tmp_path: Path) -> None:
    base = locate(str(saved))
    check_same_vocabulary(base, locate(str(folder)))
    larger = locate(str(tiny_model_folder(tmp_path / "larger", vocab_size=400)))
    assert "320 and 400" in one_line(lambda: check_same_vocabulary(base, larger))
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer, indent=4))  # other bytes, the same tokens
    check_same_vocabulary(base, locate(str(folder)))
    vocabulary = tokenizer["model"]["vocab"]
    vocabulary["A"], vocabulary["B"] = vocabulary["B"], vocabulary["A"]
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    assert "token 'A'" in one_line(lambda: check_same_vocabulary(base, locate(str(folder))))


def test_a_tokenizer_without_padding_pads_with_its_end_of_text(folder: Path) -> None:
    assert tiny_tokenizer().pad_token is None
    tokenizer = load(locate(str(folder)), device="cpu").tokenizer
    assert (tokenizer.pad_token, tokenizer.padding_side) == ("<|endoftext|>", "right")
