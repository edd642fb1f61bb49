"""The demonstration at its tiny size: killed at random moments it ends with the tables of an undisturbed run."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pandas
import pytest

PROGRAM = "from brittle.command_line import main; main('demo')"
SMALLEST = ("--size", "tiny", "--methods", "rmu", "--seeds", "42", "--outroot", "outputs")
KILLS = 10


def demo(folder: Path, home: Path, wait: float | None = None) -> int | None:
    """Run the demo in ``folder``; with ``wait``, kill the whole process group after so many seconds."""
    environment = os.environ | {"BRITTLE_HOME": str(home)}
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *SMALLEST], cwd=folder, env=environment, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    try:
        return process.wait(wait)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        return None


def tables(folder: Path) -> dict[str, pandas.DataFrame]:
    return {str(path.relative_to(folder)): pandas.read_csv(path) for path in sorted(folder.rglob("*.csv"))}


@pytest.mark.slow
def test_demo_killed_ten_times_ends_with_the_same_tables(tmp_path: Path) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    whole.mkdir(), broken.mkdir()
    assert demo(whole, tmp_path / "home-whole") == 0
    moments = random.Random(0)
    for _ in range(KILLS):
        demo(broken, tmp_path / "home-broken", wait=moments.uniform(2, 30))
    assert demo(broken, tmp_path / "home-broken") == 0
    expected, found = tables(whole), tables(broken)
    assert found.keys() == expected.keys()
    for name, table in expected.items():
        pandas.testing.assert_frame_equal(found[name], table, check_exact=True, obj=name)
    leftovers = [path for path in tmp_path.rglob(".*") if path.name.endswith((".partial", ".old"))]
    assert leftovers == []
