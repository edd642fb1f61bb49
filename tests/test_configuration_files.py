"""``--config FILE.yaml``: the flags' names, the line over the file over the environment, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from brittle import commands
from brittle.commands import command_flags
from brittle.settings import BadInput, resolve
from brittle.training.hyperparameters import TrainingSettings


def read(tmp_path: Path, text: str | bytes, *line: str, command: str = "unlearn") -> dict:
    """What a command is given, of a file's text and a line."""
    path = tmp_path / "run.yaml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    given = command_flags.read(f"brittle {command}", commands.find(command), ["--config", str(path), *line])
    assert isinstance(given, dict)
    return given


def refused(tmp_path: Path, text: str | bytes, *line: str, command: str = "unlearn") -> str:
    with pytest.raises(BadInput) as caught:
        read(tmp_path, text, *line, command=command)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_the_line_wins_over_the_file_and_the_file_over_the_environment(tmp_path) -> None:
    text = "method: cb_lat\nlr: 2e-5\nbatch-size: 3\n"
    given = read(tmp_path, text, "--lr", "3e-5")
    own = {name: value for name, value in given.items() if name != "method"}
    chosen = resolve(
        TrainingSettings, own, {"LR": "1", "BATCH_SIZE": "9", "EPOCHS": "7"}, {"epochs": 2, "batch_size": 2}
    )
    assert (chosen.lr, chosen.batch_size, chosen.epochs) == (3e-5, 3, 7)


def test_names_take_dashes_or_underscores_and_values_are_as_typed(tmp_path) -> None:
    text = "# a run\nmethod: rmu\nlayer_id: [1, 2]\ntrain-layers: 0,1\nforget_data: a.txt\nno-eval: true\nmerge: no\nlr: 1e-5\n"
    given = read(tmp_path, text)
    assert given == {
        "method": "rmu", "layer_id": "1,2", "train_layers": "0,1", "forget_data": "a.txt", "no_eval": True, "merge": False,
        "lr": "1e-5",
    }  # fmt: skip
    assert read(tmp_path, "forget-text: a.txt\nmethod: ga\n")["forget_data"] == "a.txt"
    assert read(tmp_path, "models: a,b\n", command="compare") == {"models": "a,b"}
    assert read(tmp_path, "", "--method", "ga") == {"method": "ga"}


@pytest.mark.parametrize("command", sorted(set(commands.COMMANDS) - {"help", "completion"}))
def test_every_command_reads_a_file_and_refuses_an_unknown_name(command, tmp_path) -> None:
    assert "line 1: unknown name 'no_such_flag'" in refused(tmp_path, "no_such_flag: 1", command=command)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("bach-size: 4", "line 1: unknown name 'bach-size'; did you mean batch-size?"),
        ("method: ga\nforget_text: a\nforget-data: b", "line 3: 'forget-data' sets what a line above sets"),
        ("lr: 1\nlr: 2", "line 2: 'lr' sets what a line above sets"),
        ("lr: {a: 1}", "line 1: a plain value is needed"),
        ("lr:", "line 1: there is no value"),
        ("no_eval: perhaps", "line 1: 'perhaps' is neither true nor false"),
        ("- lr\n- 1", "must hold lines of NAME: VALUE"),
        ("just words", "must hold lines of NAME: VALUE"),
        ("lr: [1, 2", "is no YAML"),
        ("a: " + "[" * 5000, "is no YAML"),
        ("lr: !!python/object/apply:os.system [ls]", "it needs --method"),
        (b"\xff\xfe\x00", "is not UTF-8 text"),
        ("a: \0", "is no YAML"),
    ],
)
def test_what_a_file_cannot_say_is_one_line(text, words, tmp_path) -> None:
    assert words in refused(tmp_path, text)


def test_a_file_that_is_not_there_or_a_folder_is_one_line(tmp_path) -> None:
    for path in (tmp_path / "none.yaml", tmp_path):
        with pytest.raises(BadInput, match="--config: .*; name a YAML file"):
            command_flags.read("brittle unlearn", commands.find("unlearn"), ["--config", str(path)])
