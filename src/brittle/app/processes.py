"""Commands that the app starts in processes of their own: they go on when the page is closed."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

CODE = (
    "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
    "from brittle.command_line import main; main()"
)
"""Ctrl-C is heard also where the app itself was started with it ignored, as background jobs of a shell are."""
LOG = "sweep.log"
SHOWN = 4000
"""Characters of a log's end that are shown."""

_started: list[subprocess.Popen[bytes]] = []


def start(words: Sequence[str], folder: Path, log: Path) -> int:
    """Start ``brittle`` with these words in a folder; what it says is added to ``log``. Returns the process's number."""
    with open(log, "ab") as file:
        process = subprocess.Popen(
            [sys.executable, "-c", CODE, *words], cwd=folder, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT,
            start_new_session=True,
        )  # fmt: skip
    _started.append(process)
    return process.pid


def forget_ended() -> None:
    """Let processes that have ended go: until then the system counts them as running."""
    _started[:] = [process for process in _started if process.poll() is None]


def end_of(log: Path) -> str:
    """The end of a log; empty where there is none."""
    try:
        with open(log, "rb") as file:
            file.seek(max(0, log.stat().st_size - SHOWN))
            return file.read().decode("utf-8", "replace").replace("\r", "\n")
    except OSError:
        return ""
