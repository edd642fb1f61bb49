"""How a process speaks: the work under way in words, and who shows what: a terminal, lines with the time, a log file."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tqdm import tqdm

from brittle.percentages import points
from brittle.progress_log import LogFile, stamp, under

EVERY = 30.0
"""Seconds without a word, at most, where there is no terminal."""
WORTH_A_LINE = 1.0
"""Where there is no terminal, work that took longer, in seconds, has a line at its end."""


@dataclass
class Work:
    """A piece of work under way: ``done`` of ``total`` units (None: nobody knows how many)."""

    title: str
    total: int | None
    unit: str
    done: int
    clock: Callable[[], float]
    bar: tqdm[Any] | None = None
    now: str = ""
    heard: Callable[[Work], None] | None = None
    """Told after every update; what it raises ends the work."""

    def __post_init__(self) -> None:
        self.started, self.before = self.clock(), self.done

    def update(self, count: int = 1) -> None:
        """So many units more are done."""
        self.done += count
        if self.bar is not None:
            self.bar.update(count)
        if self.heard is not None:
            self.heard(self)

    def tell(self, now: str) -> None:
        """What it is at, in a word or two."""
        self.now = now
        if self.bar is not None:
            self.bar.set_postfix_str(now)

    def words(self) -> str:
        """What is done and how long the rest takes at the speed so far."""
        title = f"{self.title} ({self.now})" if self.now else self.title
        seconds, own = self.clock() - self.started, self.done - self.before
        if not self.total:
            done = f"{several(self.done, self.unit)} in " if self.done else "for "
            return f"{title}: {done}{duration(seconds)}"
        left = f"about {duration(seconds / own * (self.total - self.done))} left" if own > 0 else "just begun"
        share = f"{self.done} of {several(self.total, self.unit)} ({points(self.done / self.total)}%)"
        return f"{title}: {share}, {left if self.done < self.total else 'done'}"


@dataclass
class Voice:
    """How this process speaks: what was asked for, the log file, and the work under way, outermost first."""

    quiet: bool = False
    verbose: bool = False
    log: LogFile | None = None
    clock: Callable[[], float] = time.monotonic
    command: float | None = None
    """When the command began, until it has ended."""
    relay: Callable[[str, str], Any] | None = None
    """In a worker: tells the process above, which alone speaks."""
    works: list[Work] = field(default_factory=list)
    said_once: set[str] = field(default_factory=set)
    deaf: Callable[[], None] | None = None
    lock: Any = field(default_factory=threading.RLock)
    ended: threading.Event = field(default_factory=threading.Event)
    spoke: float = 0.0

    def __post_init__(self) -> None:
        self.spoke = self.clock()

    @property
    def alone(self) -> bool:
        """Whether this process shows progress: no worker, and of several under one launcher the first."""
        return self.relay is None and os.environ.get("RANK", "0") in ("", "0")

    @property
    def bars(self) -> bool:
        """Whether there is a terminal to draw bars on."""
        stream = under(sys.stderr)
        return (
            not self.quiet
            and self.alone
            and stream is not None
            and stream.isatty()
            and os.environ.get("TERM") != "dumb"
        )

    def speak(self, line: str, kind: str = "note") -> None:
        """A ``note``, ``progress``, a ``detail`` or an ``error``: shown if asked for, and in the log file."""
        if self.relay is not None:
            self.relay(kind, line)
            return
        shown = {"detail": self.verbose, "error": True}.get(kind, not self.quiet)
        with self.lock:
            if self.log is not None and (problem := self.log.add(line)):
                self.log = None
                self.speak(f"note: {problem}")
            if shown:
                self.spoke = self.clock() if kind != "note" else self.spoke
                _print(f"{stamp()} {line}" if kind in ("progress", "detail") else line)

    def beat(self) -> None:
        """Say what is under way if nothing was said for :data:`EVERY` seconds."""
        with self.lock:
            if self.ended.is_set() or self.bars and self.log is None or self.clock() - self.spoke < EVERY:
                return
            words = "; ".join(work.words() for work in self.works)
            if not words and self.command is not None:
                words = f"working for {duration(self.clock() - self.command)}"
            self.spoke = self.clock()
            if words and self.alone:
                self.speak(words, "detail" if self.bars else "progress")

    def listen(self) -> None:
        """Have a thread call :meth:`beat` until the voice ends."""
        threading.Thread(target=self._beat, daemon=True, name="progress").start()

    def _beat(self) -> None:
        while not self.ended.wait(0.5):
            self.beat()

    def close(self) -> None:
        """No more lines of progress; the log file is closed."""
        with self.lock:
            self.ended.set()
            self.command = None
            if self.deaf is not None:
                self.deaf()
            if self.log is not None:
                self.log.close()
            self.log = self.deaf = None


def _print(line: str) -> None:
    stream = under(sys.stderr)
    with contextlib.suppress(OSError, ValueError):
        if stream is not None:
            tqdm.write(line, file=stream)
            stream.flush()


def several(number: int, unit: str) -> str:
    """``1 text``, ``2 texts``, ``2 matrices``, ``2 batches``."""
    if number == 1:
        return f"1 {unit}"
    if unit.endswith("rix"):
        return f"{number} {unit[:-1]}ces"
    return f"{number} {unit}{'es' if unit.endswith(('ch', 'sh', 's')) else 's'}"


def duration(seconds: float) -> str:
    """``0.4 s``, ``12 s``, ``3 min 20 s``, ``2 h 5 min``."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min" + (f" {whole % 60} s" if whole % 60 else "")
    return f"{whole // 3600} h {whole % 3600 // 60} min"
