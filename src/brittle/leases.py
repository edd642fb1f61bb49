"""Leases: who writes what, visible to every process that shares a folder, on this machine or on another.

``.NAME.lease`` beside a result says who is writing it; ``.NAME.HOST-PROCESS-….partial`` is what it writes to. Their
times of change are renewed while the process lives. On the same host a process tells whether it is alive; of another
host (a container that shares the folder, a node of a cluster) only the time of change does.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import os
import platform
import re
import shutil
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from brittle import progress
from brittle.settings import BadInput

BEAT, PATIENCE = 20.0, 120.0
"""Seconds between two renewals, and without one until another host's process counts as ended."""
PLACING = threading.Lock()
"""Held while a finished result is renamed to its place, which :func:`abandon` must not cut in two."""
LONGEST_ADDITION = 44
"""Bytes by which a temporary's name or a lease's is longer than the result's."""

_open: dict[Path, int] = {}
"""What this process is writing, with the thread that writes it: temporaries and leases, renewed until they are gone."""
_beating_in = 0


class Busy(BadInput):
    """Another process is writing that result."""


@functools.cache
def host() -> str:
    """Eight hexadecimal digits for this machine since it started, and for this container on it."""
    parts = [platform.node()]
    with contextlib.suppress(OSError):
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii"))
        parts.append(os.readlink("/proc/self/ns/pid"))
    return hashlib.sha256("\n".join(parts).encode("utf-8", "replace")).hexdigest()[:8]


@contextlib.contextmanager
def held(place: Path, wait: bool = False) -> Iterator[None]:
    """Hold the lease on a result; held already by this thread, nothing more happens.

    Raises:
        Busy: another process holds it and ``wait`` is not set.
    """
    path = Path(place).absolute().with_name(f".{Path(place).name}.lease")
    if _open.get(path) == threading.get_ident():
        yield
        return
    own = _take(path, Path(place), wait)
    with _kept_fresh(path):
        try:
            yield
        finally:
            if _content(path) == own:  # not one that was taken over while this process was stopped
                path.unlink(missing_ok=True)


def is_held(place: Path) -> bool:
    """Whether a process that is alive holds the lease on a result."""
    path = Path(place).absolute().with_name(f".{Path(place).name}.lease")
    return path.exists() and _is_alive(path, _content(path))


def _take(path: Path, place: Path, wait: bool) -> str:
    own = json.dumps({"host": host(), "name": platform.node(), "process": os.getpid(), "started": started(os.getpid())})
    told, looked = False, False
    while True:
        try:
            descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
        except FileExistsError:
            content = _content(path)
            if not _is_alive(path, content):
                _take_away(path, content)
                continue
            who = _words(content)
            if not wait:
                raise Busy(f"{place} is being written by {who}; wait for it to end, or name another place") from None
            if not told and (content or looked):  # a lease that was begun this moment does not yet say whose it is
                progress.say(f"waiting for {who}, which makes {place}")
                told = True
            looked = True
            time.sleep(0.5)
            continue
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(own)
        return own


def _content(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError):
        return ""


def _holder(content: str) -> dict[str, Any]:
    try:
        holder = json.loads(content)
    except ValueError:
        return {}
    return holder if isinstance(holder, dict) else {}


def _words(content: str) -> str:
    holder = _holder(content)
    return f"process {holder['process']} on {holder.get('name')}" if holder.get("process") else "another process"


def _is_alive(path: Path, content: str) -> bool:
    holder = _holder(content)
    if holder.get("host") == host() and isinstance(holder.get("process"), int):
        return runs(holder["process"]) and started(holder["process"]) == holder.get("started")
    return _is_fresh(path)


def _take_away(path: Path, content: str) -> None:
    """Remove the lease of a process that has ended, unless another process has replaced it in this moment."""
    aside = path.with_name(f"{path.name}.{uuid.uuid4().hex[:6]}")
    try:
        path.rename(aside)
    except FileNotFoundError:
        return
    if _content(aside) == content:
        aside.unlink()
    else:
        aside.rename(path)


def _is_fresh(path: Path) -> bool:
    try:
        return time.time() - path.lstat().st_mtime < PATIENCE
    except OSError:
        return False


def runs(process: int) -> bool:
    """Whether there is a process of that number on this machine."""
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


def started(process: int) -> str | None:
    """When a process started, in the system's own unit; it tells a process from a later one of the same number."""
    try:
        status = Path(f"/proc/{process}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    return status.rpartition(")")[2].split()[19]


def temporary(place: Path) -> AbstractContextManager[Path]:
    """A path of this process's own beside ``place``, for a file or a folder; what is there at the end is deleted."""
    return writing_to(name_of(place, "partial"))


@contextlib.contextmanager
def writing_to(path: Path) -> Iterator[Path]:
    """The path, empty at the beginning; what is there at the end, or when the process is told to end, is deleted."""
    path = path.absolute()
    _delete(path)
    with _kept_fresh(path):
        try:
            yield path
        finally:
            _delete(path)


def name_of(place: Path, kind: str) -> Path:
    """A new hidden path beside ``place`` that tells who made it; ``kind`` is ``partial`` or ``old``."""
    return place.with_name(f".{place.name}.{host()}-{os.getpid()}-{uuid.uuid4().hex[:6]}.{kind}")


def is_leftover(path: Path, name: str | None = None) -> bool:
    """Whether a path is a temporary or a lease (of the result ``name``, or of any) whose process has ended."""
    own = re.escape(name) if name is not None else ".+"
    if re.fullmatch(rf"\.{own}\.lease(\.[0-9a-f]{{6}})?", path.name):
        content = _content(path)
        return bool(_holder(content).get("host")) and not _is_alive(path, content)
    made = re.fullmatch(rf"\.{own}\.([0-9a-f]{{8}})-(\d+)-[0-9a-f]{{6}}\.(partial|old)", path.name)
    if not made:
        return False
    return not (runs(int(made[2])) if made[1] == host() else _is_fresh(path))


def abandon() -> None:
    """Delete what this process is writing, from another thread than those that write, in a process that ends at once."""
    PLACING.acquire(timeout=2)
    for _ in range(3):  # another thread may still be writing
        for path in list(_open):
            _delete(path)


def _delete(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)


@contextlib.contextmanager
def _kept_fresh(path: Path) -> Iterator[None]:
    global _beating_in
    _open[path] = threading.get_ident()
    if _beating_in != os.getpid():  # a forked process has no threads of its parent's
        _beating_in = os.getpid()
        threading.Thread(target=_beat, daemon=True).start()
    try:
        yield
    finally:
        del _open[path]


def _beat() -> None:
    while True:
        time.sleep(BEAT)
        for path in list(_open):
            with contextlib.suppress(OSError):
                os.utime(path)
