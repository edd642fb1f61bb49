"""The log file of a command: every line that was said, with the time, and no secret in it."""

from __future__ import annotations

import contextlib
import os
import re
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from brittle.bad_input import BadInput

SECRETS = re.compile(r"(TOKEN|API_KEY|SECRET|PASSWORD)$")
"""Environment variables with such names hold secrets; so does whatever looks like a token of the hub:"""
HUB_TOKEN = re.compile(r"\bhf_\w{16,}")
HIDDEN = "***"


def stamp() -> str:
    """Local date and time to the second, as every timestamped line begins."""
    return time.strftime("%Y-%m-%d %H:%M:%S")


def without_secrets(text: str) -> str:
    """The text with :data:`HIDDEN` for every value of an environment variable that holds a secret."""
    values = {value for name, value in os.environ.items() if SECRETS.search(name) and value.strip()}
    for value in sorted(values, key=len, reverse=True):
        text = text.replace(value, HIDDEN)
    return HUB_TOKEN.sub(HIDDEN, text)


class LogFile:
    """Lines are added at the end of a file, so that a command that goes on adds to the log of the one before.

    Raises:
        BadInput: the file cannot be written.
    """

    def __init__(self, path: str, first: str) -> None:
        self.lock, self.path = threading.RLock(), path
        try:
            self.file = open(path, "a", encoding="utf-8", errors="replace")  # noqa: SIM115 (open until the command ends)
            self._write(first)
        except (OSError, ValueError) as problem:
            reason = getattr(problem, "strerror", None) or problem
            raise BadInput(
                f"--log-file {path[:300]} cannot be written ({reason}); name a file in a folder that is there"
            ) from None

    def add(self, text: str) -> str | None:
        """Add the lines of a text; returns what is wrong where the file cannot be written any more, once."""
        try:
            with self.lock:
                if not self.file.closed:
                    self._write(text)
        except (OSError, ValueError) as problem:
            self.close()
            return (
                f"the log file {self.path} cannot be written any more ({getattr(problem, 'strerror', None) or problem})"
            )
        return None

    def _write(self, text: str) -> None:
        now = stamp()
        for line in without_secrets(text).splitlines() or [""]:
            self.file.write(f"{now} {line}\n")
        self.file.flush()

    def close(self) -> None:
        """No more lines."""
        with contextlib.suppress(OSError):
            self.file.close()


class Heard:
    """A standard stream whose lines are also told to ``hear``: what is printed, and what libraries say."""

    def __init__(self, under: Any, hear: Callable[[str], Any]) -> None:
        self.under, self.hear, self.begun = under, hear, ""

    def write(self, text: str) -> int:
        """Write on; lines that are whole are heard, of one that was written over the last form."""
        *lines, self.begun = (self.begun + text).split("\n")
        for line in lines:
            self.hear(line.rstrip("\r").rpartition("\r")[2])
        return int(self.under.write(text) or len(text))

    def __getattr__(self, name: str) -> Any:
        return getattr(self.under, name)


def under(stream: Any) -> Any:
    """The stream itself, where it is one that is heard."""
    return stream.under if isinstance(stream, Heard) else stream


def hear_standard_streams(hear: Callable[[str], Any]) -> Callable[[], None]:
    """Hear standard output and error until the function that is returned is called."""
    own = Heard(sys.stdout, hear), Heard(sys.stderr, hear)
    sys.stdout, sys.stderr = own

    def end() -> None:
        for stream in own:
            if stream.begun:
                hear(stream.begun)
        sys.stdout, sys.stderr = (
            each.under if now is each else now for each, now in zip(own, (sys.stdout, sys.stderr), strict=True)
        )

    return end
