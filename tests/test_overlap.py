"""One file cannot be what is to be forgotten and what is to be kept; what stands in both is counted."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from brittle.command_line import main
from brittle.data.multiple_choice import Question
from brittle.data.overlap import check_apart
from brittle.runs.material import questions_of, texts_of
from brittle.settings import BadInput

CHOICES = ["ricin", "water"]


@pytest.fixture(autouse=True)
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.txt").write_text("one\ntwo\nthree\n")
    Path("copy.txt").write_text("three\n two\none\n")
    Path("near.txt").write_text("three\nfour\n")
    for name, words in (("asked", "Which is"), ("again", "Which is"), ("other", "What is")):
        rows = [{"question": f"{words} {n}?", "choices": CHOICES, "answer": 0} for n in range(6)]
        Path(f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_the_same_texts_are_refused_and_some_are_counted(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(
        BadInput, match=r"^a.txt is named twice, as what is to be forgotten and as what is to be kept; name"
    ):
        texts_of(None, "a.txt", "a.txt", None)
    with pytest.raises(BadInput, match=r"^a.txt and copy.txt hold the same texts, as"):
        texts_of(None, "a.txt", "copy.txt", None)
    with pytest.raises(BadInput, match=r"^a.txt and copy.txt hold the same texts, as"):
        texts_of(None, "a.txt", "near.txt", "copy.txt")
    assert "1 of 3 texts of a.txt stand in near.txt, too" in " ".join(capsys.readouterr().err.split())


def test_the_same_questions_are_refused() -> None:
    settings = SimpleNamespace(
        forget_questions="asked.jsonl", retain_questions="again.jsonl", num_questions=4, question_format="continuation"
    )
    with pytest.raises(BadInput, match=r"^asked.jsonl and again.jsonl hold the same questions"):
        questions_of(None, settings)
    settings.retain_questions = "other.jsonl"
    assert len(questions_of(None, settings)[0]["retain"]) == 4
    one = [Question("Which?", ("a", "b"), 0, "s")]
    check_apart({"a": one, "b": []}, {"c": [], "d": [Question("Who?", ("a", "b"), 0, "s")]})


@pytest.mark.parametrize(
    "command",
    [
        "unlearn --model laboratory:base@tiny-0 --method ga --preset laboratory --forget-data a.txt --retain-data copy.txt",
        "create-datasets --forget a.txt --retain copy.txt --outdir data",
        "attack --model laboratory:base@tiny-0 --kind relearning --forget-text a.txt --benign-text copy.txt",
    ],
)
def test_every_command_that_reads_both_refuses_them_in_one_line(
    command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SystemExit, match="^2$"):
        main(command.split()[0], command.split()[1:])
    assert "hold the same texts" in capsys.readouterr().err.strip().splitlines()[-1]
    assert not Path("data").exists()
