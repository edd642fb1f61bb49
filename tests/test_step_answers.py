"""Every step ends with an answer, and asks only for the data that it uses."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from tiny_models import tiny_model_folder

from brittle.command_line import main
from brittle.data import corpora, multiple_choice
from brittle.runs import available

WEIGHTS = {"weight_comparison", "mlp_attn_analysis", "mlp_nullspace", "null_space_analysis", "singular_value_spectra"}
QUESTION = {"question": "Where does the river run?", "choices": ["a", "the sea", "fox", "b"], "subject": "s"}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    for seed, name in enumerate("ab"):
        tiny_model_folder(folder / name, "gpt_neox", seed)
    rows = [json.dumps(QUESTION | {"question": f"Forget {n}?", "answer": n % 4}) for n in range(8)]
    (folder / "forget.jsonl").write_text("\n".join(rows))
    return folder


@pytest.fixture()
def run(capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., str]:
    """``run(command, ...)`` in an empty folder, without the hub, gives what stands on standard output."""

    def no_hub(*_: object) -> None:
        raise AssertionError("the hub was asked")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(corpora, "hub_rows", no_hub)
    monkeypatch.setattr(multiple_choice, "hub_rows", no_hub)
    for name in ("FORGET_TEXT", "RETAIN_TEXT", "FORGET_QUESTIONS", "RETAIN_QUESTIONS"):
        monkeypatch.delenv(name, raising=False)

    def call(command: str, *arguments: object) -> str:
        with pytest.raises(SystemExit) as end:
            main(command, [str(argument) for argument in arguments])
        told = capsys.readouterr()
        assert end.value.code == 0, told.err
        return told.out

    return call


def done(folder: Path) -> set[str]:
    return {path.parent.name for path in folder.glob("*/record.json")}


@pytest.mark.parametrize("comma", [False, True])
def test_two_checkpoints_and_no_data_are_a_question(comma: bool, models: Path, run: Callable, tmp_path: Path) -> None:
    a, b = models / "a", models / "b"
    named = [f"{a},{b}"] if comma else [a, b]
    told = run("compare", *named, "--param-device", "cpu", "--activation-device", "cpu", "--outroot", "o")
    (folder,) = (tmp_path / "o").glob("a-*__to__b-*")
    assert done(folder) >= WEIGHTS
    assert not {"activation_comparison", "causal_depth"} & done(folder)
    assert "size of the update" in told and "where nothing changed" in told
    assert "how to read:" in told and "next: " in told
    more = told.partition("more data would add:")[2]
    assert "--forget-text" in more and "    activation_comparison: " in more
    assert "--forget-questions" in more and "    wmdp_logit_lens: " in more and "    evals: " in more
    assert "weight_comparison" not in more
    assert (tmp_path / "o" / "report.html").is_file()


def test_a_lens_asks_for_hazardous_questions_alone(models: Path, run: Callable) -> None:
    told = run(
        "diagnose", "wmdp_logit_lens", "--model", models / "a", "--forget-questions", models / "forget.jsonl",
        "--device", "cpu", "--outroot", "o",
    )  # fmt: skip
    assert "hazardous answers read at the best depth" in told and "0.25 is chance" in told
    assert "how to read:" in told and "compare with" in told and "next: " in told
    assert told.splitlines()[-1].startswith("-> ")


def test_a_diagnostic_of_a_pair_says_what_to_compare_with(models: Path, run: Callable) -> None:
    told = run(
        "diagnose", "weight_comparison", "--model-a", models / "a", "--model-b", models / "b", "--device", "cpu",
        "--outroot", "o",
    )  # fmt: skip
    (line,) = [line for line in told.splitlines() if line.startswith("  size of the update")]
    assert "0 where nothing changed" in line and "for a random update with the same singular values" in line
    assert "below filtered" in told and "how to read: " in told
    assert f"brittle compare {models / 'a'} {models / 'b'} --outroot o" in told


def test_each_kind_of_data_adds_what_reads_it() -> None:
    nothing = set(available.possible({}, ()))
    assert nothing >= WEIGHTS and "evals" not in nothing
    questions = set(available.possible({}, {available.QUESTIONS})) - nothing
    assert questions == {"wmdp_logit_lens", "causal_depth"}
    assert "evals" in available.possible({}, {available.QUESTIONS, available.BENIGN})
    assert "activation_comparison" in available.possible({}, {available.TEXTS})
    assert available.more_data({}, available.FLAGS) == []
