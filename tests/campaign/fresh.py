"""One case in a process of its own, and what is to be said of how it ended.

The process is forked from one that has imported the libraries, so a case costs its own work and not twenty seconds of
imports; it has its own session, folder, environment and output, and ends with everything it started.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from place import snapshot

HANG = 60.0
"""Seconds after which a case counts as hanging."""
VERDICTS = ("right", "traceback", "hang", "lost", "silent", "misleading", "untidy")


def nothing(_folder: Path) -> None:
    """No change of the folder."""


@dataclass(frozen=True)
class Case:
    """A command, what is wrong with its input, and whether it must be refused (exit code 2) or may also work.

    A refusal has to name one of the words in ``names``, so that it is not one for another reason. ``sound``: nothing is
    wrong, the command must end with 0; a campaign whose sound commands fail would measure nothing.
    """

    kind: str
    command: str
    arguments: tuple[str, ...]
    refused: bool = True
    spoil: Callable[[Path], None] = nothing
    environment: Mapping[str, str] = field(default_factory=dict)
    names: tuple[str, ...] = ()
    sound: bool = False

    @property
    def line(self) -> str:
        """The case as one would type it, long values cut."""
        words = (f"{word[:40]}…" if len(word) > 41 else word for word in (self.command, *self.arguments))
        variables = "".join(f"{name}={value[:30]} " for name, value in self.environment.items())
        return ascii(variables + " ".join(words))[1:-1]


@dataclass(frozen=True)
class Ending:
    """How a case ended: one of :data:`VERDICTS`, the exit code (negative: a signal), seconds, and its last line."""

    verdict: str
    code: int
    seconds: float
    said: str


def run(case: Case, place: Path) -> Ending:
    """Carry the case out on a copy of ``place``."""
    with tempfile.TemporaryDirectory(prefix="case-", ignore_cleanup_errors=True) as above:
        folder, output = Path(above) / "place", Path(above) / "output"
        shutil.copytree(place, folder, symlinks=True)
        case.spoil(folder)
        before = snapshot(folder)
        code, seconds = _forked(case, folder, output)
        text = output.read_text(encoding="utf-8", errors="replace")
        return Ending(_verdict(case, code, text, before, snapshot(folder)), code, round(seconds, 2), _last(text))


def _forked(case: Case, folder: Path, output: Path) -> tuple[int, float]:
    """Fork, run, wait; the exit code and how long it took. What a case leaves running is ended."""
    started = time.monotonic()
    sys.stdout.flush()
    sys.stderr.flush()
    process = os.fork()
    if process == 0:
        _child(case, folder, output)
    status = None
    while status is None and time.monotonic() - started < HANG:
        ended, found = os.waitpid(process, os.WNOHANG)
        status = found if ended else None
        time.sleep(0.01)
    seconds = time.monotonic() - started
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process, signal.SIGKILL)
    if status is None:
        os.waitpid(process, 0)
        return -signal.SIGKILL, seconds
    return os.waitstatus_to_exitcode(status), seconds


def _child(case: Case, folder: Path, output: Path) -> None:
    """In the forked process: its own session, output, folder and environment; then the command as the shell calls it."""
    code = 70
    try:
        os.setsid()
        file = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(file, 1)
        os.dup2(file, 2)
        os.chdir(folder)
        os.environ.update(case.environment)
        sys.argv = [f"brittle {case.command}", *case.arguments]
        from brittle.command_line import main

        main(case.command, list(case.arguments))
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
    except BaseException:  # what a shell would show: the traceback, exit code 1
        traceback.print_exc()
        code = 1
    finally:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def _verdict(case: Case, code: int, text: str, before: Mapping[str, str], after: Mapping[str, str]) -> str:
    """The worst that can be said of an ending."""
    errors = [line for line in text.splitlines() if line.startswith("error: ")]
    if code == -signal.SIGKILL:
        return "hang"
    if "Traceback (most recent call last)" in text or code not in (0, 1, 2) or (code == 1 and "no result:" not in text):
        return "traceback"
    own = {path: content for path, content in before.items() if not path.startswith("outputs")}
    if any(after.get(path) != content for path, content in own.items()):
        return "lost"
    if case.refused and code == 0:
        return "silent"
    if case.sound and code != 0:
        return "misleading"
    if code == 2 and case.names and not any(word in line for line in errors for word in case.names):
        return "misleading"
    left = [path for path in after if path not in before and not path.startswith((".home", "wandb"))]
    if code == 2 and (len(errors) != 1 or left):
        return "untidy"
    return "right"


def _last(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    return ascii(lines[-1][:160])[1:-1] if lines else ""
