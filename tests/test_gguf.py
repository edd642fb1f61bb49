"""A GGUF file is a model reference: unpacked once, exactly, whole or not at all; and one line for every file that is none."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import gguf
import pytest
import torch
from tiny_gguf import MEMBER, TEMPLATE, model_for, one_line, run, write_gguf
from tiny_models import TEXTS, tiny_tokenizer
from transformers import AutoTokenizer

from brittle.models import gguf_files, references
from brittle.models.anatomy import ANATOMIES
from brittle.models.loading import load, load_tokenizer
from brittle.models.references import configuration_folder, locate, tokenizer_folder
from brittle.records import is_whole, read_record

ROWS = torch.arange(40).reshape(2, 20)


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BRITTLE_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_gguf(
        tmp_path_factory.mktemp("gguf") / "tiny.Q8_0.gguf", model_for("llama"), gguf.GGMLQuantizationType.Q8_0
    )


@pytest.mark.parametrize("architecture", MEMBER)
def test_a_float_file_is_the_model_that_was_written(architecture: str, tmp_path: Path) -> None:
    model = model_for(architecture)
    loaded = load(locate(str(write_gguf(tmp_path / "whole.gguf", model))), "cpu", "fp32")
    found, written = loaded.model.state_dict(), model.state_dict()
    assert found.keys() == written.keys()
    assert all(torch.equal(found[name], tensor) for name, tensor in written.items())
    torch.testing.assert_close(loaded.model(ROWS).logits, model(ROWS).logits, rtol=1e-5, atol=1e-5)


def test_every_architecture_that_is_read_is_known_and_tested() -> None:
    assert set(gguf_files.ARCHITECTURES) == {gguf.MODEL_ARCH_NAMES[member] for member in MEMBER.values()}
    assert set(MEMBER) <= set(ANATOMIES)


@pytest.mark.parametrize("codes", ["Q4_1", "Q8_0", "F16"])
def test_codes_become_the_numbers_that_they_stand_for(codes: str, tmp_path: Path) -> None:
    kind, model = gguf.GGMLQuantizationType[codes], model_for("llama")
    loaded = load(locate(str(write_gguf(tmp_path / "codes.gguf", model, kind))), "cpu", "fp32")
    for name in ("model.layers.2.mlp.down_proj.weight", "model.embed_tokens.weight"):
        matrix, found = model.state_dict()[name].numpy(), loaded.model.state_dict()[name]
        expected = torch.from_numpy(gguf.quants.dequantize(gguf.quants.quantize(matrix, kind), kind))
        assert found.dtype == torch.float32 and torch.equal(found, expected)
        assert not torch.equal(found, torch.from_numpy(matrix))


def test_what_is_unpacked_is_a_whole_model_folder(llama: Path, own_home: Path) -> None:
    located = locate(str(llama))
    assert located.text == str(llama) and located.name == f"tiny.Q8_0-{located.digest[:6]}"
    assert own_home / "gguf" in located.folder.parents
    record = read_record(located.folder)
    assert record and is_whole(located.folder, record)
    with open(llama, "rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    told = {"source": llama.name, "sha256": sha256, "name": "Tiny", "licence": "apache-2.0", "notes": []}
    assert record["notes"] == told
    content = json.loads((located.folder / "config.json").read_text())
    assert "quantization_config" not in content and content["dtype"] == "float32"
    assert (located.folder / "generation_config.json").is_file()


def test_the_tokenizer_is_complete(llama: Path) -> None:
    tokenizer, written = load_tokenizer(locate(str(llama)).folder), tiny_tokenizer()
    for text in (*TEXTS, "  two  spaces, 1987\n<|endoftext|>after"):
        assert tokenizer(text)["input_ids"] == written(text)["input_ids"]
        assert tokenizer.decode(tokenizer(text)["input_ids"]) == text
    assert tokenizer.eos_token == tokenizer.pad_token == "<|endoftext|>" and tokenizer.chat_template == TEMPLATE
    assert tokenizer.model_max_length == 64


@pytest.mark.parametrize(("words", "pieces"), [("smollm", "a Ġ 1 9 Ġ Ġb"), ("gpt-2", "a Ġ19 Ġ Ġb")])
def test_words_are_split_as_the_file_says(words: str, pieces: str, tmp_path: Path) -> None:
    folder = locate(str(write_gguf(tmp_path / "words.gguf", model_for("llama"), words=words))).folder
    split = AutoTokenizer.from_pretrained(folder).backend_tokenizer.pre_tokenizer.pre_tokenize_str("a 19  b")
    assert [piece for piece, _ in split] == pieces.split()


def test_what_cannot_be_carried_over_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    more = {"llama.rope.scaling.type": "yarn"}
    odd = write_gguf(tmp_path / "odd.gguf", model_for("llama"), words="unheard-of", more=more)
    record = read_record(locate(str(odd)).folder)
    assert record
    words, positions = record["notes"]["notes"]
    assert "'unheard-of', is not known" in words and "scaling of rotary positions is not read" in positions
    said = capsys.readouterr().err
    assert words in said and positions in said


def test_it_is_unpacked_once(llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = locate(str(llama))
    monkeypatch.setattr(gguf_files, "_convert", lambda *_: pytest.fail("unpacked again"))
    monkeypatch.setattr(gguf_files, "read_header", lambda *_: pytest.fail("read again"))
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "renamed").symlink_to(llama)  # known by its first bytes
    (folder / "tiny.gguf").hardlink_to(llama)
    assert locate(str(llama)).folder == first.folder
    for text in (llama, tokenizer_folder(str(llama)), configuration_folder(str(llama))):
        assert locate(str(text)).digest == first.digest


def test_a_folder_with_one_file_is_that_file(llama: Path, tmp_path: Path) -> None:
    folder = tmp_path / "alone"
    folder.mkdir()
    (folder / llama.name).symlink_to(llama)
    located = locate(str(folder))
    assert located.digest == locate(str(llama)).digest and located.name == f"alone-{located.digest[:6]}"
    (folder / "second.gguf").symlink_to(llama)
    assert "holds 2 GGUF files (second.gguf, tiny.Q8_0.gguf); name one" in one_line(lambda: locate(str(folder)))


def test_a_file_without_the_ending_is_known_by_its_beginning(llama: Path, tmp_path: Path) -> None:
    (tmp_path / "blob").symlink_to(llama)
    assert locate(str(tmp_path / "blob")).digest == locate(str(llama)).digest
    (tmp_path / "other").write_text("text")
    assert "is a file; give the folder that holds its config.json, or a .gguf file" in one_line(
        lambda: locate(str(tmp_path / "other"))
    )


def test_a_kill_leaves_nothing_half(llama: Path, own_home: Path) -> None:
    program = f"""
import os
from brittle.models import construction, gguf_files
from brittle.models.references import locate
whole = construction.save
def half(model, tokenizer, folder):
    whole(model, tokenizer, folder)
    (folder / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes()[:1000])
    os.kill(os.getpid(), 9)
construction.save = half
locate({str(llama)!r})
"""
    ended = subprocess.run(
        [sys.executable, "-c", program], env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True
    )
    assert ended.returncode == -9
    assert [path.name for path in (own_home / "gguf").iterdir() if not path.name.startswith(".")] == []
    folder = locate(str(llama)).folder
    assert [path.name for path in (own_home / "gguf").iterdir()] == [folder.name]


def test_without_the_package_the_extra_is_named(llama: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *more: None if name == "gguf" else real(name, *more))
    assert "the package gguf, which reads it, is not installed; uv sync --extra real" in one_line(
        lambda: locate(str(llama))
    )


def test_a_truncated_or_damaged_file_is_refused(llama: Path, tmp_path: Path, own_home: Path) -> None:
    content, path = llama.read_bytes(), tmp_path / "bad.gguf"
    for length in (2, 20, 200, len(content) // 4, len(content) // 2, len(content) - 40):
        path.write_bytes(content[:length])
        message = one_line(lambda: locate(str(path)))
        assert str(path) in message and "download or copy it again" in message
    path.write_bytes(content[:24] + b"\xff" * 40 + content[64:])
    assert "is truncated or damaged" in one_line(lambda: locate(str(path)))
    path.write_text("no model")
    assert "does not begin as a GGUF file does" in one_line(lambda: locate(str(path)))
    assert not (own_home / "gguf").exists()


def test_an_unknown_architecture_and_a_part_are_refused(tmp_path: Path) -> None:
    path, model = tmp_path / "odd.gguf", model_for("llama")
    message = one_line(lambda: locate(str(write_gguf(path, model, name="mamba"))))
    assert (
        "is of architecture 'mamba', which is not read from GGUF; of these it is: llama, qwen2, qwen3, gpt2" in message
    )
    message = one_line(lambda: locate(str(write_gguf(path, model, more={"split.count": 3}))))
    assert "is one of 3 parts of a model; merge them" in message


def test_a_file_without_all_weights_is_refused(tmp_path: Path, own_home: Path) -> None:
    lacking = write_gguf(tmp_path / "less.gguf", model_for("llama"), leave_out=("blk.1.ffn_up.weight",))
    assert "model.layers.1.mlp.up_proj.weight is not in it" in one_line(lambda: locate(str(lacking)))
    other = write_gguf(tmp_path / "other.gguf", model_for("qwen3", head_dim=8))
    assert "has another shape than follows from what it says" in one_line(lambda: locate(str(other)))
    assert not (own_home / "gguf").exists()


def test_too_little_disk_or_memory_is_said_before(llama: Path, own_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gguf_files, "_unpacked", lambda *_: pytest.fail("began to unpack"))
    header = gguf_files.read_header(llama)
    numbers = sum(parameter.numel() for parameter in model_for("llama").parameters())
    assert (header.numbers, header.disk) == (numbers, 4 * numbers)
    with monkeypatch.context() as patch:
        patch.setattr("brittle.models.devices.free_memory", lambda _: 4.0 * numbers)
        message = one_line(lambda: locate(str(llama)))
        assert "GiB of memory to unpack, and 0.0 GiB are free" in message
    usage = type("Usage", (), {"free": 4 * numbers - 1})
    monkeypatch.setattr(gguf_files.shutil, "disk_usage", lambda _: usage)
    message = one_line(lambda: locate(str(llama)))
    assert "GiB of disk as float32" in message and "set BRITTLE_HOME" in message
    assert not (own_home / "gguf").exists()


def test_a_file_that_is_not_there_is_no_hub_id(llama: Path) -> None:
    wrong = str(llama).replace("tiny", "tinny")
    assert one_line(lambda: locate(wrong)).endswith(f"did you mean {llama}?")
    assert not references.is_local("EleutherAI/pythia-70m")


def test_commands_take_it(llama: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert run(["infer", "--model", str(llama), "--prompt", "The quick", "--max-tokens", "3", "--device", "cpu"]) == 0
    assert capsys.readouterr().out.startswith("The quick")
    (tmp_path / "texts.txt").write_text("The quick brown fox.\n")
    assert run(["check-data", str(tmp_path / "texts.txt"), "--model", str(llama)]) == 0
    (tmp_path / "bad.gguf").write_text("none")
    assert run(["infer", "--model", str(tmp_path / "bad.gguf"), "--prompt", "x"]) == 2
    assert "does not begin as a GGUF file does" in capsys.readouterr().err
