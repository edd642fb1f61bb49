"""What a command says to do next is a whole command: a shell takes it as it stands, and it reads what this one read."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from brittle.command_line import main
from brittle.commands.create_datasets import DatasetSettings, create
from brittle.commands.diagnose import DiagnoseSettings, answer
from brittle.commands.options import carried, next_step
from brittle.commands.pipeline_settings import CompareSettings
from brittle.views import step_answers

SOURCES = sorted((Path(__file__).parent.parent / "src" / "brittle" / "commands").glob("*.py"))


def words_of(line: str) -> list[str]:
    return shlex.split(re.sub(r"  \(.*\)$", "", line.removeprefix("next: uv run ")))


def test_names_with_spaces_and_signs_survive_a_shell() -> None:
    line = next_step("brittle", "report", Path("my results/it's"), aside="a remark")
    assert words_of(line) == ["brittle", "report", "my results/it's"] and line.endswith("  (a remark)")


def test_a_comparison_reads_what_the_diagnostic_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(step_answers, "answer", lambda *_: [])
    own = {
        "forget_text": "my texts.txt", "retain_text": "kept.txt", "forget_questions": "a.jsonl", "retain_questions": "b.jsonl",
        "question_template": "Question: {question}\nAnswer:", "answers_from": 0, "text_column": "body", "filtered": "gold",
    }  # fmt: skip
    settings = DiagnoseSettings(model_a="a model", model_b="b", outroot="o p", **own)
    words = words_of(next(line for line in answer(tmp_path, settings) if line.startswith("next: ")))
    assert words[:6] == ["brittle", "compare", "a model", "b", "--outroot", "o p"]
    flags = dict(zip(words[6::2], words[7::2], strict=True))
    assert flags == {f"--{name.replace('_', '-')}": str(value) for name, value in own.items()}
    alone = next(line for line in answer(tmp_path, DiagnoseSettings(model="m", **own)) if line.startswith("next: "))
    assert "--forget-questions a.jsonl" in alone and alone.endswith(
        "--model OTHER, of the base and of a model to compare with"
    )
    assert carried(DiagnoseSettings(model="m"), CompareSettings) == []


def test_texts_elsewhere_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    Path("f.txt").write_text("one\n")
    Path("r.txt").write_text("two\n")
    for outdir, named in (("data", False), ("my data", True)):
        create(DatasetSettings(outdir=outdir, forget="f.txt", retain="r.txt"))
        line = capsys.readouterr().out.splitlines()[-1]
        first, _, second = line.partition(", or ")
        assert ("--forget-data" in words_of(first)) == named == ("my data/forget.txt" in words_of(first))
        assert (
            second
            == ("FORGET_TEXT='my data/forget.txt' RETAIN_TEXT='my data/retain.txt' " if named else "")
            + "./experiment/pipeline.sh"
        )
    Path("other").mkdir()
    with pytest.raises(SystemExit, match="^2$"):  # the flags are those of the command
        main("unlearn", ["--model", "other", "--method", "ga", "--forget-data", "my data/forget.txt"])
    assert "config.json" in capsys.readouterr().err


def test_no_command_words_the_line_by_itself() -> None:
    for path in SOURCES:
        if path.name != "options.py":
            assert "next: uv run" not in path.read_text(encoding="utf-8"), path.name
