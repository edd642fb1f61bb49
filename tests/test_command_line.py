"""The command line as one meets it: help, spellings, what is missing, completion; help says what the commands do."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping

import pytest

from brittle import commands, discovery
from brittle.command_line import main
from brittle.commands import command_flags
from brittle.settings import BadInput, fields_of, spellings_of

BRITTLE = [sys.executable, "-c", "from brittle.command_line import main; main()"]


def said(capsys, *arguments: str, command: str | None = None) -> tuple[int, str, str]:
    """Exit code, output, errors of a command."""
    with pytest.raises(SystemExit) as end:
        main(command, list(arguments))
    captured = capsys.readouterr()
    return int(end.value.code or 0), captured.out, captured.err


def help_of(command: str, *words: str) -> str:
    text = command_flags.read(f"brittle {command}", commands.find(command), [*words, "--help"])
    assert isinstance(text, str)
    return " ".join(text.split())


class Recorder(dict):
    """An environment that knows which of its variables were asked for."""

    def __init__(self, variables: Mapping[str, str]) -> None:
        super().__init__(variables, NOT_OF_OURS="1")
        self.asked: set[str] = set()

    def get(self, name: str, default: str | None = None) -> str | None:
        self.asked.add(name)
        return super().get(name, default)


PLUGINS = {"unlearn": "methods", "diagnose": "diagnostics", "attack": "attacks"}
REFUSED_LATE: Mapping[str, dict] = {
    "demo": {"methods": "no_such_method"}, "pipeline": {"base": "no/such/model"}, "compare": {"models": "no/such/a,no/such/b"},
    "unlearn": {"model": "no/such/model"}, "evaluate": {"model": "no/such/model", "tasks": "mmlu"},
    "measure": {"models": "no/such/model"},
    "check-data": {"file": "no/such/file"}, "attack": {"model": "no/such/model"}, "methods": {"measure": True, "only": "no_such_method"},
    "planted": {"kinds": "no_such_kind"}, "sweep": {"file": "no/such/file"}, "rank": {"root": "no/such/folder"},
    "app": {"address": "192.0.2.1"},
    "diagnose": {"model": "no/such/model", "model_a": "no/such/a", "model_b": "no/such/b"},
}  # fmt: skip
"""What each command refuses only after it has read its settings."""


def commands_and_plugins() -> Iterator[tuple[str, str]]:
    """Every command; those that take a method, diagnostic or attack with each of them."""
    for command in commands.COMMANDS:
        yield command, ""
        for name in discovery.plugins(PLUGINS[command]) if command in PLUGINS else ():
            yield command, name


@pytest.mark.parametrize(("command", "name"), commands_and_plugins())
def test_help_shows_the_variables_that_the_command_reads_and_no_others(command, name, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    entry = commands.find(command)
    shown = set(re.findall(r"\[env: (\w+)\]", help_of(command, *([name] if name else []))))
    if command in PLUGINS and not name:
        each = [help_of(command, one) for one in discovery.plugins(PLUGINS[command])]
        assert shown == {word for text in each for word in re.findall(r"\[env: (\w+)\]", text)}
        return
    if not shown:
        return
    given = dict(REFUSED_LATE[command]) | ({entry.positional: name} if name else {})
    if command == "diagnose":
        pair = discovery.plugins("diagnostics")[name].constants["SCOPE"] == "pair"
        given = {key: value for key, value in given.items() if (key != "model") == pair or key == "name"}
    own = entry.settings(name) if name else entry.settings()
    words = {
        field.name: field.metadata["environment"] for settings_type, _ in own for field in fields_of(settings_type)
    }
    environment = Recorder({word: given.pop(key) for key, word in words.items() if word and key in given})
    with pytest.raises(BadInput):
        entry.run(given, environment)
    assert shown <= environment.asked


@pytest.mark.parametrize("command", ["attack", "unlearn"])
def test_help_of_a_plugin_tells_its_own_defaults(command) -> None:
    if command == "attack":
        assert "--attack-steps ATTACK_STEPS optimizer steps of the attack (default: 200)" in help_of(
            "attack", "relearning_folds"
        )
        assert "--attack-steps ATTACK_STEPS optimizer steps of the attack (default: 300)" in help_of(
            "attack", "relearning"
        )
        assert "--attack-steps ATTACK_STEPS" not in help_of("attack", "quantization")
        assert "--budget quick sets --bits 4" in help_of("attack", "quantization")
        assert help_of("attack", "--kind", "quantization") == help_of("attack", "quantization")
    else:
        words = help_of("unlearn", "cb_lat")
        assert "--lat-eps LAT_EPS" in words and "--beta" not in words
        assert "--preset laboratory sets --lr 0.003" in words
        assert help_of("unlearn", "--method", "cb_lat") == words


def test_help_of_all_plugins_tells_which_has_which_default() -> None:
    words = help_of("attack").split("--attack-steps ATTACK_STEPS")[1].split("--attack-")[0]
    assert re.search(r"default: .*300 \([^)]*\brelearning\b.*200 \(relearning_folds\)", words) or re.search(
        r"default: .*200 \(relearning_folds\).*300 \([^)]*\brelearning\b", words
    )


def test_help_marks_what_is_required_and_gives_examples(capsys) -> None:
    assert re.search(r"--method METHOD .*?\[required\] --preset", help_of("unlearn"))
    assert "MODELS: references with spaces or commas between them: the base, then the others [required]" in help_of(
        "compare"
    )
    assert "--model-a MODEL_A base model of a comparison [required]" in help_of("diagnose", "weight_comparison")
    for command in commands.COMMANDS.values():
        assert command.examples
    assert said(capsys, "help", "attack", "few_shot")[1] == said(capsys, "attack", "few_shot", "--help")[1]
    assert said(capsys, "help")[1] == said(capsys, "--help")[1]
    assert said(capsys, "--version")[1].startswith("brittle ")


@pytest.mark.parametrize(
    ("arguments", "needed"),
    [
        (["unlearn"], "--method"), (["attack"], "--model"), (["evaluate"], "--model"), (["compare"], "MODELS"),
        (["diagnose"], "NAME"), (["diagnose", "weight_comparison"], "--model-a and --model-b"), (["completion"], "SHELL"),
        (["check-data"], "FILE"),
    ],
)  # fmt: skip
def test_a_command_without_what_it_requires_explains_itself(arguments, needed, capsys) -> None:
    code, out, error = said(capsys, *arguments)
    command = commands.COMMANDS[arguments[0]]
    assert (code, out, error.count("\n")) == (2, "", 1)
    assert f"{command.summary}; it needs {needed}; for example: {command.examples[0]} (see brittle" in error


def test_a_program_explains_itself_too(capsys) -> None:
    code, _, error = said(capsys, command="experiment/collect_weight_comparison.py")
    assert (
        code == 2
        and "it needs --model-a and --model-b; for example: uv run experiment/collect_weight_comparison.py" in error
    )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["demmo"], "unknown command 'demmo'; did you mean demo?"),
        (["help", "demmo"], "unknown command 'demmo'; did you mean demo?"),
        (["unlearn", "--bach-size", "4"], "did you mean --batch-size?"),
        (["unlearn", "cb_latt", "--help"], "cb_lat"),
        (["unlearn", "rmu", "more"], "unknown argument more"),
        (["attack", "few_shott", "--model", "x"], "few_shot"),
        (["diagnose", "weight_comparson"], "weight_comparison"),
        (["completion", "bsh"], "did you mean bash?"),
        (["pipeline", "--param-dtype", "fp322"], "did you mean fp32?"),
        (["unlearn", "--method", "ga", "--model", "laboratory:bse"], "did you mean laboratory:base?"),
        (["laboratory", "--size", "smal"], "did you mean small?"),
        (["laboratory", "--models", "bse"], "did you mean base?"),
        (["unlearn", "--method", "ga", "--outdir", "--force"], "argument --outdir: expected one argument"),
        (["unlearn", "--method", "ga", "--force=1"], "argument --force: takes no value"),
        (["unlearn", "ga", "--method", "rmu"], "--method rmu and METHOD ga contradict each other"),
        (["unlearn", "ga", "--forget-text", "a", "--forget-data", "b"], "--forget-text a and --forget-data b contradict"),
        (["create-datasets", "--forget", "a", "--forget-text", "b"], "contradict each other"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_one_line_with_the_nearest(arguments, words, capsys, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    code, _, error = said(capsys, *arguments)
    assert code == 2 and error.count("\n") == 1 and words in error, error


def test_every_spelling_of_a_flag_sets_the_same_setting() -> None:
    for name, command in commands.COMMANDS.items():
        seen: dict[str, str] = {}
        for settings_type, _ in command.settings():
            for field in fields_of(settings_type):
                for flag in spellings_of(field):
                    assert seen.setdefault(flag, field.name) == field.name, (name, flag)
    for flag in ("--forget-data", "--forget-text"):
        assert command_flags.read("x", commands.find("unlearn"), ["ga", flag, "a"]) == {
            "method": "ga",
            "forget_data": "a",
        }
    for flag in ("--forget", "--forget-data", "--forget-text"):
        assert command_flags.read("x", commands.find("create-datasets"), [flag, "a"]) == {"forget": "a"}
    assert command_flags.read("x", commands.find("attack"), ["a,b", "--kind", "a,b", "--model", "m"])["kind"] == "a,b"


@pytest.mark.parametrize(
    ("line", "offered"),
    [("brittle di", "diagnose"), ("brittle unlearn --me", "--method"), ("brittle unlearn --method cb", "cb_lat"),
     ("brittle attack few", "few_shot"), ("brittle unlearn --preset lab", "laboratory"), ("brittle help att", "attack")],
)  # fmt: skip
def test_a_shell_is_offered_commands_flags_names_and_choices(line, offered, monkeypatch, capsys) -> None:
    monkeypatch.setenv("_BRITTLE_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", line)
    monkeypatch.setenv("COMP_CWORD", str(len(line.split()) - 1))
    code, out, _ = said(capsys)
    assert code == 0 and f"plain,{offered}" in out.splitlines()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_a_program_for_the_shell(shell, capsys) -> None:
    code, out, _ = said(capsys, "completion", shell)
    assert code == 0 and f"_BRITTLE_COMPLETE={shell}_complete" in out


def test_help_comes_at_once() -> None:
    """Half a second of processor time; the clock on the wall also counts what else the machine does."""
    seconds = []
    for _ in range(3):
        before = os.times()
        started = time.monotonic()
        subprocess.run([*BRITTLE, "pipeline", "--help"], capture_output=True, check=True)
        after = os.times()
        used = after.children_user + after.children_system - before.children_user - before.children_system
        seconds.append(min(used, time.monotonic() - started))
    assert min(seconds) <= 0.5
