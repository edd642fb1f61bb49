"""Stopping: Ctrl-C, SIGTERM and a closed terminal end a command within seconds, with nothing half-written left.

The signal raises :class:`Stopped` in the main thread. Where that is deep in a long computation and does not return in
time, a thread removes the temporaries and ends the process.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

from brittle import leases, progress

GRACE = 3.0
"""Seconds for an orderly end."""
SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
AGAIN = "the same command starts again"
go_on: Callable[[], str] | None = None
"""Tells how the command that runs can be gone on with, where it knows better than its kind: a training's checkpoints."""


class Stopped(KeyboardInterrupt):
    """The process was told to end, by this signal."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.code = 128 + number


class _Gentle:
    """What a first Ctrl-C asks for; heard once by the handler and once by the thread that would end the process."""

    def __init__(self, ask: Callable[[], None]) -> None:
        self.ask, self.handler_heard, self.thread_heard = ask, False, False


_gentle: _Gentle | None = None


@contextlib.contextmanager
def gently(ask: Callable[[], None]) -> Iterator[None]:
    """Within the block the first Ctrl-C calls ``ask``, which lets things come to their own end; the second stops."""
    global _gentle
    before, _gentle = _gentle, _Gentle(ask)
    try:
        yield
    finally:
        _gentle = before


def sentence(usual: str) -> str:
    """What is said at the end; ``usual`` is how a command of this kind is gone on with."""
    return f"stopped; {go_on() if go_on else usual}"


@contextlib.contextmanager
def heeded(usual: str = AGAIN) -> Iterator[None]:
    """Within the block, signals to end are heeded; outside the main thread nothing changes."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    heard, ring = socket.socketpair()
    ring.setblocking(False)
    ended = threading.Event()
    before: dict[Any, Any] = {}
    previous = signal.set_wakeup_fd(ring.fileno(), warn_on_full_buffer=False)
    for number in SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup and background jobs ask for
            before[number] = signal.signal(number, _stop)
    threading.Thread(target=_end_in_time, args=(heard, ended, usual), daemon=True).start()
    try:
        yield
    finally:
        ended.set()
        signal.set_wakeup_fd(previous)
        for number, handler in before.items():
            signal.signal(number, handler)
        ring.close()


def _stop(number: int, _frame: Any) -> None:
    if number == signal.SIGINT and _gentle is not None and not _gentle.handler_heard:
        _gentle.handler_heard = True
        _gentle.ask()
        return
    for each in SIGNALS:  # the first one is heeded; a second would cut the clearing up in two
        signal.signal(each, signal.SIG_IGN)
    raise Stopped(number)


def _end_in_time(heard: socket.socket, ended: threading.Event, usual: str) -> None:
    """Wait for a signal, then for the end; without one, end the process."""
    with heard:
        while received := heard.recv(1):
            if received[0] == signal.SIGINT and _gentle is not None and not _gentle.thread_heard:
                _gentle.thread_heard = True
            elif received[0] in SIGNALS:
                break
        else:
            return
    if ended.wait(GRACE):
        return
    leases.abandon()
    last = threading.Thread(target=lambda: progress.error(sentence(usual)), daemon=True)
    last.start()
    last.join(1)  # not longer, whatever the main thread is writing
    os._exit(128 + received[0])
