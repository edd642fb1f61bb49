"""Where results lie: the output folders and the sweeps at or below a folder, and when one of them last changed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from brittle.places import RECORD

DEEPEST = 4
"""Levels below a folder at which results of their own are looked for: ``outputs/sweeps/NAME/BASE``."""
PLAN, SWEEP, SWEEPS = "comparison.json", "sweep.json", "sweeps"


def output_roots(folder: Path) -> list[Path]:
    """The folders at or below one that hold results which belong together, the newest first."""
    return _newest_first(place for place in _places(Path(folder), DEEPEST) if _is_root(place))


def sweeps(folder: Path) -> list[Path]:
    """The folders at or below one that hold a ``sweep.json``, the newest first."""
    return _newest_first(place for place in _places(Path(folder), DEEPEST) if (place / SWEEP).is_file())


def changed(outputs: Path) -> tuple[int, int]:
    """A stamp that differs once anything was written below an outputs folder: how many folders, and the newest time of change."""
    count, newest = 0, 0
    for place, folders, files in os.walk(outputs):
        folders[:] = [name for name in folders if not name.startswith(".")]
        count += 1
        for path in (place, *(os.path.join(place, name) for name in files if name.endswith((".csv", ".json")))):
            try:
                newest = max(newest, os.stat(path).st_mtime_ns)
            except OSError:
                continue
    return count, newest


def _is_root(place: Path) -> bool:
    """Whether results that belong together lie here: a plan, attacks, or records in ``MODEL/DIAGNOSTIC``."""
    named = (place / PLAN).is_file() or (place / "recovery").is_dir()
    return named or any(True for _ in place.glob(f"*/*/{RECORD}"))


def _places(folder: Path, depth: int) -> Iterator[Path]:
    """A folder and those below it; of results that belong together only those that have a plan of their own, and sweeps."""
    if not folder.is_dir():
        return
    yield folder
    if not depth:
        return
    below = sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    if _is_root(folder):
        below = [path for path in below if path.name == SWEEPS or (path / PLAN).is_file()]
    for place in below:
        yield from _places(place, depth - 1)


def _newest_first(places: Iterator[Path]) -> list[Path]:
    return sorted(places, key=lambda place: place.stat().st_mtime, reverse=True)
