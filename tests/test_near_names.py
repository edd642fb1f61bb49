"""A path that is misspelt is answered by the one that lies there; a file of another form by what it lacks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from brittle.command_line import main
from brittle.data.corpora import read_texts
from brittle.data.multiple_choice import load_questions, read_questions
from brittle.data.understood import understand
from brittle.models.references import locate
from brittle.results.outputs import gather
from brittle.settings import BadInput, near_path

ROW: dict[str, Any] = {"question": "Who?", "choices": ["Ada", "Bob"], "answer": 0}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for folder in ("models/base_model", "models/other", "outputs", "data"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "data" / "forget.txt").write_text("a text\n")
    (tmp_path / "data" / "questions.jsonl").write_text(json.dumps(ROW) + "\n")
    return tmp_path


def refused(function: Any, *arguments: Any) -> str:
    with pytest.raises(BadInput) as problem:
        function(*arguments)
    return str(problem.value)


def test_every_misspelt_component_is_mended(here: Path) -> None:
    assert near_path("models/base_modle") == "; did you mean models/base_model?"
    assert near_path("model/base_modell", folders=True) == "; did you mean models/base_model?"
    assert near_path(here / "outputz") == f"; did you mean {here / 'outputs'}?"
    assert near_path("data/forgot.txt") == "; did you mean data/forget.txt?"
    assert near_path("data/forgot.txt", folders=True) == near_path("models/other") == near_path("") == ""
    assert near_path("entirely/elsewhere") == near_path("x" * 5000) == near_path("~nobody-here/x") == ""


def test_each_kind_of_path_is_answered_by_its_neighbour(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert refused(locate, "models/base_modle").endswith("; did you mean models/base_model?")
    assert refused(locate, "./models/base modle").endswith("; did you mean models/base_model?")
    assert "there is no folder outpust; did you mean outputs?" in refused(gather, Path("outpust"))
    assert "data/forgt.txt does not exist; did you mean data/forget.txt?" in refused(read_texts, "data/forgt.txt")
    assert "data/question.jsonl does not exist; did you mean data/questions.jsonl?" in refused(
        load_questions, "data/question.jsonl"
    )
    with pytest.raises(SystemExit, match="^2$"):
        main("report", ["outpust"])
    assert "did you mean outputs?" in capsys.readouterr().err


def test_only_a_documented_file_is_said_to_be_written_by_a_command(here: Path) -> None:
    assert "create-datasets" not in refused(read_texts, "mine.txt")
    assert "create-datasets" in refused(read_texts, "data/retain.txt")
    assert "did you mean wmdp-bio?" in refused(load_questions, "wmdp-boi")


def test_questions_of_another_form_are_refused_by_what_they_lack(here: Path) -> None:
    said = refused(read_questions, "data/forget.txt")
    assert "is a txt file, whose lines are texts; write questions as jsonl, json, csv or parquet" in said
    for name in ("prompt", "query", "input", "stem"):
        row = {name: "Who?", "choices": ["Ada", "Bob"], "answer": 0}
        Path("other.jsonl").write_text(json.dumps(row) + "\n")
        for reader in (read_questions, lambda path: understand(Path(path))):
            said = refused(reader, "other.jsonl")
            assert f"its columns are {name}, choices, answer; rename '{name}' to 'question'" in said
    Path("other.csv").write_text("words,A,B,answer\nWho?,Ada,Bob,A\n")
    assert "its columns are words, A, B, answer; call the column of the question" in refused(
        read_questions, "other.csv"
    )
