"""What a command says while it works; everything on standard error goes through here.

On a terminal there are bars. Where there is none (Slurm, CI, nohup) a line with the time says at least every
:data:`EVERY` seconds what is done and how long the rest takes. Results are printed on standard output, not here.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from typing import Any, TypeVar

from tqdm import tqdm

from brittle.bad_input import BadInput
from brittle.progress_log import LogFile, hear_standard_streams, under
from brittle.progress_voice import EVERY, WORTH_A_LINE, Voice, Work, duration, several

__all__ = [
    "EVERY", "HELP", "Work", "configure", "detail", "duration", "error", "finish", "heard_by", "in_worker", "on_terminal", "over", "relayed", "say",
    "several", "step", "work",
]  # fmt: skip

HELP = """what is said, for every command:
  --quiet          nothing but results and errors
  -v, --verbose    also every pass as it begins and ends, models and records
  --log-file FILE  add everything that is said, with the time, to this file"""
Item = TypeVar("Item")
_voice = Voice()
_listening: Voice | None = None
_hearing: ContextVar[Callable[[Work], None] | None] = ContextVar("who hears of work in this thread", default=None)


def _heard() -> Voice:
    """The voice, with its thread; one that ended with its command speaks again with the defaults."""
    global _voice, _listening
    if _voice.ended.is_set():
        _voice = Voice()
    if _listening is not _voice and _voice.relay is None:
        _listening = _voice
        _voice.listen()
    return _voice


def configure(arguments: Sequence[str]) -> list[str]:
    """Begin a command: takes ``--quiet``, ``-v``, ``--verbose`` and ``--log-file FILE`` out of its arguments.

    They may stand anywhere. Returns the other arguments in their order. :func:`finish` ends what is begun here.

    Raises:
        BadInput: the log file has no name or cannot be written, or silence and more words are asked for at once.
    """
    global _voice
    finish()
    rest: list[str] = []
    given = iter(arguments)
    asked: dict[str, Any] = {}
    for word in given:
        name, equals, value = word.partition("=")
        if word == "--":
            rest += [word, *given]
        elif word in ("--quiet", "--verbose", "-v"):
            asked["quiet" if word == "--quiet" else "verbose"] = True
        elif name == "--log-file":
            asked["path"] = value if equals else next(given, "")
            if not asked["path"] or asked["path"].startswith("-"):
                raise BadInput("--log-file needs the name of a file after it")
        else:
            rest.append(word)
    path = asked.pop("path", None)
    if len(asked) > 1:
        raise BadInput("--quiet and --verbose say the opposite of each other; leave one out")
    _voice = Voice(**asked)
    _voice.command = _voice.clock()
    if path:
        _voice.log = LogFile(path, " ".join(["brittle", *rest]))
        log = _voice.log
        _voice.deaf = hear_standard_streams(lambda line: log.add(line))
    _heard()
    return rest


def finish() -> None:
    """End a command: nothing more is said, the log file is closed, standard streams are as before."""
    _voice.close()


def in_worker(relay: Callable[[str, str], Any]) -> None:
    """From here on this process draws nothing; what it says is handed to ``relay`` as a kind and a line."""
    global _voice
    _voice = Voice(relay=relay)


def relayed(kind: str, line: str) -> None:
    """Say what a worker handed over; what several of them note alike is said once."""
    if kind == "progress":
        step(line)
    elif kind == "note":
        say(line, once=True)
    else:
        _heard().speak(line, kind)


def on_terminal() -> bool:
    """Whether there is a terminal that shows bars, and what is said is wanted."""
    return _heard().bars


def say(line: str, once: bool = False) -> None:
    """A line that the user should know of (not with ``--quiet``); with ``once`` only the first time in a command."""
    voice = _heard()
    if not (once and line in voice.said_once):
        voice.said_once.add(line)
        voice.speak(line)


def step(line: str) -> None:
    """What begins now: a line with the time where there is no terminal, which shows it by its bars, or with ``--verbose``."""
    voice = _heard()
    voice.speak(line, "detail" if voice.bars else "progress")


def detail(line: str) -> None:
    """A line with the time for ``--verbose`` and the log file."""
    _heard().speak(line, "detail")


def error(line: str) -> None:
    """A line that is said whatever was asked for; after it there is no line of progress any more."""
    voice = _voice
    with voice.lock:
        while voice.works:
            if (bar := voice.works.pop().bar) is not None:
                bar.close()
        voice.speak(line, "error")
        voice.spoke = float("inf")


@contextlib.contextmanager
def heard_by(listener: Callable[[Work], None]) -> Iterator[None]:
    """Within the block, and in this thread alone, every step of a work is told to the listener; what it raises ends the work."""
    before = _hearing.set(listener)
    try:
        yield
    finally:
        _hearing.reset(before)


@contextlib.contextmanager
def work(title: str, total: int | None = None, unit: str = "step", done: int = 0) -> Iterator[Work]:
    """A piece of work: ``update`` what is given says how many units more are done. ``done`` were there before.

    ``unit`` is one of them, in the singular. Work inside other work is shown below it.
    """
    voice = _heard()
    own = Work(title, total, unit, done, voice.clock, heard=_hearing.get())
    if voice.bars:
        own.bar = tqdm(
            total=total, initial=done, desc=title, unit=unit, leave=False, dynamic_ncols=True, file=under(sys.stderr)
        )
    if voice.alone:
        voice.speak(f"{title}: {several(total, unit)}" if total else title, "detail")
    with voice.lock:
        voice.works.append(own)
    try:
        yield own
    finally:
        with voice.lock:
            there = own in voice.works  # an error has ended all work
            if there:
                voice.works.remove(own)
        if own.bar is not None:
            own.bar.close()
        if there:
            _tell_end(voice, own)


def _tell_end(voice: Voice, own: Work) -> None:
    seconds = voice.clock() - own.started
    if voice.alone and not voice.ended.is_set() and sys.exc_info()[0] is None:
        line = f"{own.title}: {f'{several(own.done, own.unit)} in ' if own.done else ''}{duration(seconds)}"
        voice.speak(line, "progress" if seconds >= WORTH_A_LINE and not voice.bars else "detail")


def over(
    items: Sequence[Item], title: str, unit: str = "step", amount: Callable[[Item], int] = lambda _: 1
) -> Iterator[Item]:
    """The items as one piece of work; ``amount`` says how many units an item is."""
    with work(title, sum(map(amount, items)), unit) as own:
        for item in items:
            yield item
            own.update(amount(item))
