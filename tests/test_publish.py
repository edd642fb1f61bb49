"""Uploads, against a stand-in of the hub: what arrives is the record's files and a card that holds the record."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from stand_ins import serve
from tiny_models import TEXTS, tiny_model_folder

PROGRAM = [sys.executable, str(Path(__file__).parent.parent / "unlearn" / "unlearn.py")]


@pytest.fixture
def command(tmp_path):
    """The command for one step of gradient difference on a tiny model, and its working folder."""
    tiny_model_folder(tmp_path / "base", "gpt_neox", 0)
    for split in ("forget", "retain"):
        (tmp_path / f"{split}.txt").write_text("\n".join(f"{text} {split}" for text in TEXTS))
    flags = (
        "--model base --method grad_diff --forget-data forget.txt --retain-data retain.txt --device cpu --max-steps 1"
    )
    return [*PROGRAM, *flags.split(), "--eval-tasks", "none"]


def run(command, folder, service, *flags):
    environment = os.environ | {"HF_ENDPOINT": service.url, "HF_TOKEN": "hf_secret", "HF_HUB_DISABLE_XET": "1"}
    environment.pop("HF_HUB_OFFLINE", None)
    return subprocess.run([*command, *flags], cwd=folder, env=environment, capture_output=True, text=True, timeout=120)


def test_a_finished_model_is_uploaded_with_its_record_in_one_commit(command, tmp_path):
    with serve("hub") as service:
        result = run(command, tmp_path, service, "--push-to-hub")
        assert result.returncode == 0, result.stderr
        (files,) = service.commits
        (folder,) = (tmp_path / "unlearned_models").glob("base-??????__grad_diff__*")
        assert f"uploaded: tester/{folder.name}" in result.stdout
        assert files["model.safetensors"] == (folder / "model.safetensors").read_bytes()
        assert {"config.json", "tokenizer.json", "training.csv", "summary.json", "record.json"} <= files.keys()
        assert not any(name.endswith((".bin", ".pt", ".pkl")) for name in files)
        card = files["README.md"].decode()
        record = json.loads(files["record.json"])
        assert json.loads(card.partition("```json")[2].partition("```")[0]) == record
        assert "`grad_diff`" in card and "nobody has tried to bring it back" in card
        everything = b"".join(content for name, content in files.items() if not name.endswith(".safetensors"))
        assert str(tmp_path).encode() not in everything and b"hf_secret" not in everything
        again = run(command, tmp_path, service, "--push-to-hub", "--no-save")
        assert again.returncode == 0 and len(service.commits) == 1  # it is there already
        assert not (folder / "model.safetensors").exists()
        wanted = run(command, tmp_path, service, "--push-to-hub")
        assert wanted.returncode == 0, wanted.stderr
        assert service.commits[1]["model.safetensors"] == files["model.safetensors"]
        assert (folder / "model.safetensors").read_bytes() == files["model.safetensors"]


def test_a_refused_upload_is_one_line_and_the_model_stays(command, tmp_path):
    with serve("hub") as service:
        service.refuses = True
        result = run(command, tmp_path, service, "--push-to-hub", "--no-save")
    assert result.returncode == 2
    lines = [line for line in result.stderr.splitlines() if line.startswith("error:")]
    assert len(lines) == 1 and "the model is safe here" in lines[0]
    (folder,) = (tmp_path / "unlearned_models").iterdir()
    assert (folder / "model.safetensors").is_file()
