"""What a command says while it works: on a terminal, without one, in a log file; and what it never says."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from brittle import progress, progress_voice
from brittle.command_line import main
from brittle.commands import COMMANDS
from brittle.runs import executor
from brittle.settings import BadInput

TIME = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d ")


class Clock:
    """Seconds that pass only when a test says so."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """A voice that nobody else's thread beats for."""
    clock = Clock()
    monkeypatch.setattr(progress_voice.Voice, "listen", lambda self: None)
    monkeypatch.setattr(progress, "_voice", progress_voice.Voice(clock=clock))
    return clock


def lines(capsys: pytest.CaptureFixture) -> list[str]:
    return [TIME.sub("", line) for line in capsys.readouterr().err.splitlines()]


def test_without_a_terminal_a_line_says_what_is_done_and_left(clock: Clock, capsys: pytest.CaptureFixture) -> None:
    with progress.work("activations", 200, "text") as own:
        progress._voice.beat()
        assert lines(capsys) == []  # the thirty seconds are not over
        own.update(50)
        clock.now += 31
        progress._voice.beat()
        (line,) = capsys.readouterr().err.splitlines()
        assert TIME.match(line)
        assert TIME.sub("", line) == "activations: 50 of 200 texts (25%), about 1 min 33 s left"
        clock.now += 29
        progress._voice.beat()
        assert lines(capsys) == []
        clock.now += 1
        progress._voice.beat()
        assert len(lines(capsys)) == 1
        own.update(150)
    assert lines(capsys) == ["activations: 200 texts in 1 min 1 s"]


def test_a_line_names_all_work_under_way_outermost_first(clock: Clock, capsys: pytest.CaptureFixture) -> None:
    with progress.work("comparisons", 3, "part") as outer:
        outer.tell("a → b")
        with progress.work("weights", 10, "matrix") as inner:
            clock.now += 40
            inner.update(1)
            progress._voice.beat()
    first = lines(capsys)[0]
    assert (
        first == "comparisons (a → b): 0 of 3 parts (0%), just begun; weights: 1 of 10 matrices (10%), about 6 min left"
    )


def test_a_resumed_run_reckons_with_its_own_speed() -> None:
    clock = Clock()
    own = progress_voice.Work("unlearning", 100, "step", 80, clock)
    clock.now += 10
    own.update(10)
    assert own.words() == "unlearning: 90 of 100 steps (90%), about 10 s left"


def test_a_command_with_no_work_to_count_is_not_silent(clock: Clock, capsys: pytest.CaptureFixture) -> None:
    progress._voice.command = clock.now
    clock.now += 61
    progress._voice.beat()
    assert lines(capsys) == ["working for 1 min 1 s"]


def test_short_work_has_no_line_and_a_failure_no_end(clock: Clock, capsys: pytest.CaptureFixture) -> None:
    with progress.work("quick", 2):
        clock.now += 0.5
    with pytest.raises(ValueError), progress.work("broken", 2):
        clock.now += 5
        raise ValueError
    assert lines(capsys) == []


def test_after_an_error_there_is_no_other_line(clock: Clock, capsys: pytest.CaptureFixture) -> None:
    with progress.work("activations", 200, "text"):
        progress.error("error: no")
        clock.now += 100
        progress._voice.beat()
    assert capsys.readouterr().err == "error: no\n"


def test_quiet_leaves_errors_alone(capsys: pytest.CaptureFixture) -> None:
    assert progress.configure(["diagnose", "--quiet", "x"]) == ["diagnose", "x"]
    progress.say("note")
    progress.step("begins")
    progress.error("error")
    progress.finish()
    assert capsys.readouterr().err == "error\n"


def test_verbose_says_more(capsys: pytest.CaptureFixture) -> None:
    progress.configure(["-v"])
    with progress.work("weights", 2, "matrix") as own:
        own.update(2)
    progress.finish()
    assert [line.partition(" in ")[0] for line in lines(capsys)] == ["weights: 2 matrices"] * 2


@pytest.mark.parametrize("place", range(4))
def test_flags_stand_anywhere(place: int, tmp_path: Path) -> None:
    for flags in (
        ["--quiet"],
        ["-v"],
        ["--verbose"],
        ["--log-file", str(tmp_path / "a")],
        [f"--log-file={tmp_path / 'b'}"],
    ):
        words = ["diagnose", "--title", "x"]
        words[place:place] = flags
        if flags[0].startswith("--log-file") or place != 2:
            assert progress.configure(words) == ["diagnose", "--title", "x"]
        progress.finish()


def test_flags_that_say_nothing_clear_are_refused() -> None:
    for words in (["--log-file"], ["--log-file="], ["--log-file", "--quiet"], ["--quiet", "-v"]):
        with pytest.raises(BadInput):
            progress.configure(words)
    progress.finish()


def test_the_log_holds_all_that_was_said_and_no_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secretsecretsecret")
    monkeypatch.setenv("WANDB_API_KEY", "0123456789abcdef")
    path = tmp_path / "said.log"
    before = sys.stdout, sys.stderr
    progress.configure(["diagnose", "--log-file", str(path), "--title", "0123456789abcdef", "--quiet"])
    print("result hf_secretsecretsecret", "and hf_anotheranotheranother")
    print("a library warns 0123456789abcdef", file=sys.stderr)
    progress.say("note: 0123456789abcdef")
    progress.detail("a detail")
    with progress.work("weights", 1, "matrix"):
        pass
    progress.error("error: last")
    progress.finish()
    assert (sys.stdout, sys.stderr) == before
    written = path.read_text().splitlines()
    assert all(TIME.match(line) for line in written)
    assert [TIME.sub("", line) for line in written[:5]] == [
        "brittle diagnose --title ***", "result *** and ***", "a library warns ***", "note: ***", "a detail",
    ]  # fmt: skip
    assert TIME.sub("", written[-1]) == "error: last"
    assert capsys.readouterr().err == "a library warns 0123456789abcdef\nerror: last\n"


def test_a_log_is_added_to(tmp_path: Path) -> None:
    path = tmp_path / "said.log"
    for _ in range(2):
        progress.configure(["report", "--log-file", str(path)])
        progress.finish()
    assert len(path.read_text().splitlines()) == 2


@pytest.mark.parametrize("kind", ["folder", "no folder", "full disk"])
def test_a_log_that_cannot_be_written_is_one_line(kind: str, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    path = {"folder": tmp_path, "no folder": tmp_path / "none" / "log", "full disk": Path("/dev/full")}[kind]
    with pytest.raises(SystemExit) as end:
        main("diagnostics", ["--log-file", str(path)])
    told = capsys.readouterr()
    assert end.value.code == 2
    assert told.out == ""
    (line,) = told.err.splitlines()
    assert line.startswith(f"error: --log-file {path} cannot be written (")


def test_a_log_whose_disk_is_full_later_costs_a_note(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    progress.configure(["report", "--log-file", str(tmp_path / "log")])
    with open("/dev/full", "w") as full:
        progress._voice.log.file.close()  # type: ignore[union-attr]
        progress._voice.log.file = full  # type: ignore[union-attr]
        progress.say("one")
        progress.say("two")
    progress.finish()
    told = lines(capsys)
    assert told[0].startswith("note: the log file") and told[1:] == ["one", "two"]


def test_the_last_line_of_an_error_is_last_in_the_log_too(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    path = tmp_path / "log"
    with pytest.raises(SystemExit) as end:
        main(None, ["-v", "diagnose", "nothing_of_this_name", "--log-file", str(path)])
    last = capsys.readouterr().err.splitlines()[-1]
    assert end.value.code == 2 and last.startswith("error: ")
    assert path.read_text().splitlines()[-1].endswith(last)


@pytest.mark.parametrize("command", [None, *COMMANDS])
def test_every_help_ends_with_the_flags(command: str | None, capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit) as end:
        main(command, ["--quiet", "--help"])
    assert end.value.code == 0
    assert capsys.readouterr().out.rstrip().endswith(progress.HELP)


def speaks(line: str, tick: executor.Tick) -> str:
    """What a worker does: says something, reports steps."""
    progress.say(f"note: {line}")
    with progress.work("hidden", 5) as own:
        own.update(5)
    tick(1)
    return line


def test_workers_speak_through_the_one_above(capsys: pytest.CaptureFixture) -> None:
    progress.configure(["-v"])
    jobs = [executor.Task(speaks, (word,)) for word in ("one", "two")]
    assert executor.run(jobs, "jobs", workers=2) == ["one", "two"]
    progress.finish()
    told = lines(capsys)
    assert {"note: one", "note: two", "jobs: 2 steps"} <= set(told)
    assert not [line for line in told if "hidden" in line]


def test_on_a_terminal_there_is_a_bar_and_lines_stand_above_it(tmp_path: Path) -> None:
    import pty
    import termios

    code = (
        "from brittle import progress\n"
        "with progress.work('weights', 4, 'matrix') as own:\n"
        "    own.update(2); progress.say('note: above'); own.update(2)\n"
        "progress.error('error: last')\n"
    )
    above, below = pty.openpty()
    termios.tcsetwinsize(below, (24, 100))
    done = subprocess.run([sys.executable, "-c", code], stderr=below, env={**os.environ, "TERM": "xterm"})
    os.close(below)
    text = os.read(above, 65536).decode()
    os.close(above)
    assert done.returncode == 0
    assert "weights:" in text and "note: above\r\n" in text
    assert text.endswith("error: last\r\n")


def test_everything_said_goes_through_one_place() -> None:
    package = Path(progress.__file__).parent
    for path in package.rglob("*.py"):
        if not path.stem.startswith("progress"):
            assert not re.search(r"^\s*(from|import) tqdm|file=sys\.stderr", path.read_text(), re.M), path
