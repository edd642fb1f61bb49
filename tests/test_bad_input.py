"""Bad input through the command line: one line that says what, why and what to do; exit code 2; nothing written."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from test_pipeline import settings_for
from tiny_models import tiny_model_folder

from brittle.command_line import main


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two good tiny models with texts and questions, and an empty folder to work in."""
    settings_for(tmp_path / "good", "gpt_neox")
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "good"


def refused(capsys: pytest.CaptureFixture, command: str, *arguments: object) -> str:
    """Run a command that must be refused; returns its one line."""
    before = sorted(Path().rglob("*"))
    with pytest.raises(SystemExit) as end:
        main(command, [str(argument) for argument in arguments])
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error")]
    assert end.value.code == 2
    assert len(lines) == 1
    assert lines[0].startswith("error: ")
    assert sorted(Path().rglob("*")) == before
    return lines[0]


def unlearn(place: Path, **changes: object) -> list[object]:
    flags = {
        "model": place / "base", "method": "grad_diff", "forget-data": place / "forget.txt",
        "retain-data": place / "retain.txt", "device": "cpu", **changes,
    }  # fmt: skip
    return [part for name, value in flags.items() for part in (f"--{name}", value)]


def test_unknown_names(place, capsys) -> None:
    assert "did you mean demo" in refused(capsys, "demmo")
    assert "grad_diff" in refused(capsys, "unlearn", *unlearn(place, method="grad_dif"))
    assert "weight_comparison" in refused(capsys, "diagnose", "weight_comparisons", "--model-a", place / "base")
    assert "laboratory:base" in refused(capsys, "unlearn", *unlearn(place, model="laboratory:bse"))
    assert "--lr" in refused(capsys, "unlearn", *unlearn(place), "--lrr", "1")


def test_unknown_model_says_that_the_hub_is_out_of_reach(place, capsys) -> None:
    line = refused(capsys, "unlearn", *unlearn(place, model="nobody/nothing"))
    assert "nobody/nothing" in line and "hub" in line and "laboratory:base" in line


@pytest.mark.parametrize("content", [None, "", "\n \n\n"])
def test_text_file_missing_or_without_text(place, capsys, content) -> None:
    path = place / "other.txt"
    if content is not None:
        path.write_text(content)
    assert "other.txt" in refused(capsys, "unlearn", *unlearn(place, **{"forget-data": path}))
    models = ("--model-a", place / "base", "--model-b", place / "unlearned")
    texts = ("--forget-text", path, "--retain-text", place / "retain.txt")
    assert "other.txt" in refused(capsys, "diagnose", "activation_comparison", *models, *texts)
    assert "other.txt" in refused(capsys, "pipeline", "--forget-text", path)


def compare(place: Path, a: str, b: str) -> list[object]:
    return ["weight_comparison", "--model-a", place / a, "--model-b", place / b]


def test_models_that_cannot_be_compared(place, capsys) -> None:
    tiny_model_folder(place / "llama", "llama")
    tiny_model_folder(place / "deeper", "gpt_neox", num_hidden_layers=3)
    tiny_model_folder(place / "words", "gpt_neox", vocab_size=400)
    assert "llama" in refused(capsys, "diagnose", *compare(place, "base", "llama"))
    assert "layers" in refused(capsys, "diagnose", *compare(place, "base", "deeper"))
    assert "vocabular" in refused(capsys, "diagnose", *compare(place, "base", "words"))


def test_layers_that_do_not_exist_and_too_few_texts(place, capsys) -> None:
    models = ["--model-a", place / "base", "--model-b", place / "unlearned"]
    texts = [*models, "--forget-text", place / "forget.txt", "--retain-text", place / "retain.txt"]
    for diagnostic in ("row_space_projection", "activation_covariance"):
        line = refused(capsys, "diagnose", diagnostic, *texts, "--layers-to-analyze", "0,7")
        assert "--layers-to-analyze" in line and "7 is not among" in line
    (place / "one.txt").write_text("The only text there is.\n")
    for diagnostic in ("activation_comparison", "representation_similarity", "lipschitzness"):
        few = [*models, "--forget-text", place / "one.txt", "--retain-text", place / "retain.txt"]
        assert "at least two" in refused(capsys, "diagnose", diagnostic, *few)


def test_broken_weights(place, capsys) -> None:
    broken = place / "unlearned" / "model.safetensors"
    weights = load_file(broken)
    name = next(name for name in weights if "dense_h_to_4h.weight" in name)
    weights[name][0, 0] = torch.nan
    save_file(weights, broken, metadata={"format": "pt"})
    assert name in refused(capsys, "diagnose", *compare(place, "base", "unlearned"))
    content = broken.read_bytes()
    broken.write_bytes(content[: len(content) // 2])
    assert "truncated" in refused(capsys, "diagnose", *compare(place, "base", "unlearned"))
    broken.write_bytes(b"not a header at all")
    assert "corrupt" in refused(capsys, "diagnose", *compare(place, "base", "unlearned"))
    broken.unlink()
    (place / "unlearned" / "pytorch_model.bin").write_bytes(b"pickle")
    assert "pickle" in refused(capsys, "diagnose", *compare(place, "base", "unlearned"))


def test_flags_that_do_not_fit(place, capsys) -> None:
    assert "--alpha" in refused(capsys, "unlearn", *unlearn(place, alpha=3))
    assert "0 to 1" in refused(capsys, "unlearn", *unlearn(place, method="rmu", **{"layer-id": "1,7"}))
    assert "--beta" in refused(capsys, "unlearn", *unlearn(place, method="npo", beta=0))
    assert "--lr" in refused(capsys, "unlearn", *unlearn(place, lr=-1))
    assert "--epochs" in refused(capsys, "unlearn", *unlearn(place, epochs="many"))
    assert "--lora-rank" in refused(capsys, "unlearn", *unlearn(place, method="wt_dist", **{"lora-rank": 4}))
    assert "--merge" in refused(capsys, "unlearn", *unlearn(place), "--merge")
    assert "--train-only" in refused(capsys, "unlearn", *unlearn(place, **{"train-only": "mlp"}))
    assert "--sr-iters" in refused(capsys, "diagnose", "activation_comparison", "--sr-iters", 3)
    assert "Answer:" in refused(capsys, "unlearn", *unlearn(place, method="idk_dpo"))


def test_loss_that_is_not_finite_stops(place, capsys) -> None:
    assert "not finite" in refused(capsys, "unlearn", *unlearn(place, lr=1e30, epochs=4, **{"batch-size": 1}))


def test_questions_that_cannot_be_used(place, capsys) -> None:
    one = place / "one.jsonl"
    one.write_text(json.dumps({"question": "Which?", "choices": ["a", "b"], "answer": 0}))
    shutil.copy(one, place / "bad.jsonl")
    (place / "bad.jsonl").write_text('{"question": "Which?"}')
    common = ["--base", place / "base", "--unlearned", place / "unlearned", "--filtered", "none"]
    common += ["--forget-text", place / "forget.txt", "--retain-text", place / "retain.txt"]
    common += ["--retain-questions", place / "retain.jsonl"]
    assert "two facts" in refused(capsys, "pipeline", *common, "--forget-questions", one)
    assert "bad.jsonl" in refused(capsys, "pipeline", *common, "--forget-questions", place / "bad.jsonl")


def test_other_commands(place, capsys) -> None:
    assert "--name" in refused(capsys, "laboratory", "--size", "tiny", "--width", 32)
    assert "bse" in refused(capsys, "laboratory", "--size", "tiny", "--models", "bse")
    assert "twice" in refused(capsys, "laboratory", "--size", "tiny", "--models", "base,base")
    assert "names nothing" in refused(capsys, "laboratory", "--size", "tiny", "--models", ",")
    assert "at most 4294967295" in refused(capsys, "laboratory", "--size", "tiny", "--world", 2**32)
    assert "at most" in refused(capsys, "laboratory", "--name", "wide", "--width", 10**30)
    assert "twice" in refused(capsys, "compare", "a,a")
    assert "multiple of 8" in refused(capsys, "laboratory", "--name", "nine", "--hazardous-entities", 9)
    assert "--heads" in refused(capsys, "laboratory", "--name", "odd", "--width", 30, "--heads", 7)
    assert "../x" in refused(capsys, "laboratory", "--name", "../x")
    assert "--seeds" in refused(capsys, "pipeline", "--laboratory", "--seeds", "a,b")
    assert "nope" in refused(capsys, "pipeline", "--laboratory", "--methods", "nope")
    assert "gigantic" in refused(capsys, "laboratory", "--size", "gigantic")
    assert "nowhere.txt" in refused(capsys, "create-datasets", "--forget", "nowhere.txt", "--only", "forget")
    assert "--benign" in refused(capsys, "create-datasets", "--laboratory", "--only", "benign")
    assert "nothing" in refused(capsys, "report", "nothing")
