"""Stopping: however a command is told to end, it and its workers end within seconds and leave nothing half-written."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from brittle.runs import executor, workers
from brittle.settings import BadInput

LIMIT = 5.0
alone = pytest.mark.alone


def sleeps(folder: Path, tick) -> None:
    """A job that writes for ever, in a computation that lets no signal in."""
    from brittle.records import Identity, writing

    with writing(folder, Identity("sleep", {}, {})):
        (folder.parent / f"{folder.name}.began").touch()
        tick(1)
        while True:
            time.sleep(0.01)


def doubles(number: int, tick) -> int:
    tick(1)
    if number == 13:
        raise ZeroDivisionError(f"no {number}")
    if number == 14:
        raise BadInput("--number 14 is too large")
    if number == 15:
        os.kill(os.getpid(), signal.SIGKILL)
    return 2 * number


PROGRAM = """
import sys
sys.path.insert(0, {tests!r})
from pathlib import Path
import test_stopping
from brittle import commands
from brittle.command_line import main
from brittle.runs import executor
def run(given, environment):
    executor.run([executor.Task(test_stopping.sleeps, (Path({folder!r}) / name,)) for name in "ab"], "sleep", workers=2)
commands.COMMANDS["sleep"] = commands.Command("sleep", run, goes_on="it sleeps on")
main("sleep", [])
"""


def descendants(process: int) -> set[int]:
    """All processes below this one."""
    parents = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            parents[int(path.parent.name)] = int(path.read_text().rpartition(")")[2].split()[1])
    found = {process}
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return found - {process}


def alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def wait_until(holds, seconds: float) -> float:
    """Seconds until it holds, or fail."""
    start = time.monotonic()
    while not holds():
        assert time.monotonic() - start < seconds
        time.sleep(0.05)
    return time.monotonic() - start


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize(
    "number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL], ids=lambda number: number.name
)
@pytest.mark.parametrize("to_all", [False, True], ids=["main alone", "all"])
def test_workers_end_with_the_command(number, to_all, tmp_path) -> None:
    if to_all and number == signal.SIGKILL:
        pytest.skip("nothing is left to end")
    code = PROGRAM.format(tests=str(Path(__file__).parent), folder=str(tmp_path))
    process = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True, start_new_session=True)
    wait_until(lambda: len(list(tmp_path.glob("*.began"))) == 2, 120)
    below = descendants(process.pid)
    assert len(below) >= 3  # the server and two workers
    os.killpg(process.pid, number) if to_all else process.send_signal(number)
    wait_until(lambda: process.poll() is not None and not any(map(alive, below)), LIMIT)
    errors = process.communicate()[1]
    assert process.returncode == (-number if number == signal.SIGKILL else 128 + number)
    if number != signal.SIGKILL:
        assert sorted(path.name for path in tmp_path.iterdir()) == ["a.began", "b.began"]
        assert "stopped; it sleeps on" in errors and "Traceback" not in errors


@alone
def test_a_computation_that_lets_no_signal_in_is_ended_all_the_same(tmp_path) -> None:
    code = f"""
import time
from pathlib import Path
from brittle import stopping
from brittle.records import Identity, writing
with stopping.heeded("start again"), writing(Path({str(tmp_path / "out")!r}), Identity("k", {{}}, {{}})):
    while True:
        try:
            print("began", flush=True)  # in here nothing lets the signal in
            time.sleep(60)
        except KeyboardInterrupt:
            pass
"""
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "began\n"
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=LIMIT)
    assert process.returncode == 143 and list(tmp_path.iterdir()) == []
    assert errors == "stopped; start again\n"


def test_results_come_in_order_and_a_failure_is_one_line() -> None:
    jobs = [executor.Task(doubles, (number,)) for number in range(6)]
    assert executor.run(jobs, "doubling", workers=2) == [0, 2, 4, 6, 8, 10]
    with pytest.raises(workers.InWorker, match="^in a worker: ZeroDivisionError: no 13$") as caught:
        executor.run([executor.Task(doubles, (13,))], "doubling")
    assert "test_stopping.py" in caught.value.where
    with pytest.raises(BadInput, match="^--number 14 is too large$"):
        executor.run([executor.Task(doubles, (14,))], "doubling")


def test_a_worker_that_is_killed_is_one_line() -> None:
    with pytest.raises(BadInput, match="^doubling: a worker process was killed, most often because memory ran out"):
        executor.run([executor.Task(doubles, (number,)) for number in (1, 15)], "doubling")
    assert executor.run([executor.Task(doubles, (1,))], "doubling") == [2]


def test_a_script_without_a_guard_may_start_workers(tmp_path) -> None:
    """The user's program is run once: workers do not import it again."""
    script = tmp_path / "script.py"
    script.write_text(
        textwrap.dedent("""
        from pathlib import Path
        with open(Path(__file__).with_name("runs"), "a") as file:
            file.write("run ")
        from brittle.runs import executor
        from test_stopping import doubles
        print(executor.run([executor.Task(doubles, (number,)) for number in (1, 2)], "doubling"))
    """)
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([*sys.path, str(Path(__file__).parent)])}
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, env=environment, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "[2, 4]" in done.stdout and (tmp_path / "runs").read_text() == "run "


# --- real commands ---------------------------------------------------------------------------------------------------


def start(folder: Path, home: Path, *arguments: str) -> subprocess.Popen:
    code = "from brittle.command_line import main; main()"
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments], cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        env=os.environ | {"BRITTLE_HOME": str(home)}, start_new_session=True,
    )  # fmt: skip


def half_written(*folders: Path) -> list[Path]:
    return [path for folder in folders for path in folder.rglob(".*") if path.suffix in (".partial", ".lease", ".old")]


def holder(folder: Path) -> int | None:
    """The process that holds the only lease in a folder."""
    for path in folder.glob(".*.lease"):
        with contextlib.suppress(OSError, ValueError):
            return json.loads(path.read_text())["process"]
    return None


def stop(process: subprocess.Popen, number: int, code: int) -> str:
    """Send the signal to the main process alone; it and all below it end in time. Returns the last line."""
    below = descendants(process.pid)
    process.send_signal(number)
    wait_until(lambda: process.poll() is not None and not any(map(alive, below)), LIMIT)
    errors = process.communicate()[1]
    assert process.returncode == code, errors
    assert "Traceback" not in errors
    return errors.rstrip().splitlines()[-1] if errors else ""


@alone
@pytest.mark.end_to_end
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_laboratory_that_is_stopped_leaves_nothing_half_written_and_is_built_once_for_two(tmp_path) -> None:
    home = tmp_path / "home"
    arguments = ("laboratory", "--size", "tiny", "--models", "base,filtered")
    for number, code in ((signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -signal.SIGKILL)):
        process = start(tmp_path, home, *arguments)
        wait_until(lambda: len(list(home.glob("laboratory/tiny*/.*.partial"))) >= 2, 120)
        time.sleep(1)
        line = stop(process, number, code)
        if number != signal.SIGKILL:
            assert line == "stopped; what is finished is kept, and the same command goes on with the rest"
            assert half_written(home) == []
    first, second = start(tmp_path, home, *arguments), start(tmp_path, home, *arguments)
    errors = [process.communicate(timeout=300)[1] for process in (first, second)]
    assert (first.returncode, second.returncode) == (0, 0), errors
    assert sum("waiting for process" in text for text in errors) == 1 and half_written(home) == []


@alone
@pytest.mark.end_to_end
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_an_unlearning_that_is_stopped_says_how_it_goes_on_and_a_second_start_disturbs_nothing(
    tmp_path, brittle_home
) -> None:
    from brittle.runs import laboratory_models

    laboratory_models.find("laboratory:base@tiny")
    arguments = [
        "unlearn",
        "--model",
        "laboratory:base@tiny",
        "--method",
        "grad_diff",
        "--batch-size",
        "1",
        "--epochs",
        "4000",
    ]
    arguments += ["--checkpoint-interval", "2", "--no-eval", "--device", "cpu"]
    models = tmp_path / "unlearned_models"
    for number, code in ((signal.SIGTERM, 143), (signal.SIGINT, 130)):
        process = start(tmp_path, brittle_home, *arguments, *(["--resume"] if number == signal.SIGINT else []))
        wait_until(
            lambda first=process.pid: holder(models) == first, 120
        )  # the second pass finds a checkpoint from the first
        wait_until(lambda: len(list(models.glob(".*.checkpoint/state.json"))) == 1, 120)
        (checkpoint,) = models.glob(".*.checkpoint")
        second = start(tmp_path, brittle_home, *arguments)
        assert "is being written by process" in second.communicate(timeout=120)[1] and second.returncode == 2
        assert (checkpoint / "state.json").is_file()
        line = stop(process, number, code)
        assert line.startswith("stopped; the same command with --resume goes on after step ")
        step = int(line.split("after step ")[1].split(",")[0])
        assert step == json.loads((checkpoint / "state.json").read_text())["number"]
        assert half_written(models) == []


@alone
@pytest.mark.end_to_end
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_an_attack_ends_at_the_first_signal(tmp_path, brittle_home) -> None:
    from brittle.runs import laboratory_models

    for name in ("base", "filtered"):
        laboratory_models.find(f"laboratory:{name}@tiny")
    arguments = [
        "attack",
        "--model",
        "laboratory:filtered@tiny",
        "--base",
        "laboratory:base@tiny",
        "--kind",
        "relearning",
    ]
    for number, code in ((signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -signal.SIGKILL)):
        process = start(tmp_path, brittle_home, *arguments, "--attack-steps", "5000")
        wait_until(lambda: len(list(tmp_path.glob("outputs/recovery/runs/.*.partial"))) >= 1, 120)
        line = stop(process, number, code)
        if number != signal.SIGKILL:
            assert line.startswith("stopped; what is finished is kept") and half_written(tmp_path) == []
