"""The command itself, killed in the middle of its training and started again: the same files, bit for bit.

The first start is a process of its own, killed without warning as soon as its checkpoint has reached a random step, at
a random moment of the step after. The later starts run here, which saves the seconds that libraries take to load.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tiny_models import TEXTS, tiny_model_folder

from brittle.command_line import main
from brittle.training.checkpoint import Checkpoints

PROGRAM = str(Path(__file__).parent.parent / "unlearn" / "unlearn.py")
STEPS = 30
METHODS = {"npo": [], "cb_lat": ["--layer-id", "0,1", "--lat-steps", "2"]}
"""One that compares with cached likelihoods; one with cached hidden states, an adversary and random targets."""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A tiny model and texts in the current folder, with a cache of this test's own."""
    tiny_model_folder(tmp_path / "base")
    words = " ".join(TEXTS).split()
    for name, first in (("forget", 0), ("retain", 9)):
        texts = [" ".join(words[start : start + 7]) for start in range(first, first + 16)]
        (tmp_path / f"{name}.txt").write_text("\n".join(texts))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BRITTLE_HOME", str(tmp_path / "home"))
    return tmp_path


def command(method: str, folder: str) -> list[str]:
    return [
        "--model", "base", "--method", method, "--forget-data", "forget.txt", "--retain-data", "retain.txt",
        "--device", "cpu", "--lr", "1e-3", "--batch-size", "2", "--max-length", "16", "--max-steps", str(STEPS),
        "--checkpoint-interval", "1", "--resume", "--no-eval", "--outdir", folder, *METHODS[method],
    ]  # fmt: skip


def steps_kept(folder: Path) -> int:
    """The step of the checkpoint below a folder, 0 without one (or while it is being replaced)."""
    for path in folder.glob(".*.checkpoint/state.json"):
        try:
            return json.loads(path.read_text())["number"]
        except FileNotFoundError:
            continue
    return 0


def start_and_kill(arguments: list[str], folder: Path, after: int) -> None:
    """Run the program and end it without warning, a moment after its checkpoint has reached step ``after``."""
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    with open("output.txt", "w") as output:
        process = subprocess.Popen([sys.executable, PROGRAM, *arguments], stdout=output, stderr=output, env=environment)
        while process.poll() is None and steps_kept(folder) < after:
            time.sleep(0.002)
        time.sleep(random.uniform(0, 0.04))
        process.kill()
        assert process.wait() == -signal.SIGKILL, Path("output.txt").read_text()[-3000:]


@pytest.mark.end_to_end
@pytest.mark.parametrize("method", sorted(METHODS))
def test_the_killed_command_goes_on_to_the_same_model(method: str, place: Path, monkeypatch) -> None:
    after, found = random.randint(1, STEPS // 2), []
    print(f"killed after step {after}")
    start_and_kill(command(method, "killed"), place / "killed", after)
    assert not list(place.glob("killed/*/record.json"))  # a place of its own appears only when it is whole
    restore = Checkpoints.restore

    def watched(*arguments):
        found.append(restore(*arguments))
        return found[-1]

    monkeypatch.setattr(Checkpoints, "restore", watched)
    for folder in ("killed", "whole"):
        with pytest.raises(SystemExit, match="^0$"):
            main("unlearn", command(method, folder))
    assert [after <= found[0][0] < STEPS, found[1][0]] == [True, 0]
    (resumed,), (whole,) = (list((place / name).iterdir()) for name in ("killed", "whole"))  # and nothing hidden beside
    for name in ("model.safetensors", "training.csv", "summary.json"):
        assert (resumed / name).read_bytes() == (whole / name).read_bytes(), name
    assert (resumed / "model.safetensors").read_bytes() != (place / "base" / "model.safetensors").read_bytes()
    assert [path for path in place.rglob("*") if path.suffix in (".partial", ".old", ".checkpoint")] == []
