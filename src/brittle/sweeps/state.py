"""How far a sweep is, in files that any process or app may read: one small file for each model at work, ``sweep.json`` for all."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import signal
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from brittle import leases
from brittle.records import write_json
from brittle.runs.executor import Tick
from brittle.settings import BadInput

EVERY = 1.0
"""Seconds between two notes of one model's progress."""


@dataclass(frozen=True)
class Place:
    """The files' places below a sweep's outputs."""

    outputs: Path

    @property
    def summary(self) -> Path:
        """``sweep.json``."""
        return self.outputs / "sweep.json"

    @property
    def gathered(self) -> Path:
        """Which models the tables over all models were last written of."""
        return self.outputs / "models" / "gathered.json"

    @property
    def notes(self) -> Path:
        """The folder of notes of models that are being worked at."""
        return self.outputs / "at_work"

    def note(self, name: str) -> Path:
        """The note of one model."""
        return self.notes / f"{name}.json"

    def record(self, name: str) -> Path:
        """The folder of a model's record as a part of the sweep; its lease says who works at it."""
        return self.outputs / "models" / name


class Reporter:
    """Within the block, a note says what is being done for a model, how far it is, where; after it there is none."""

    def __init__(self, place: Place, name: str, title: str, size: int) -> None:
        self.path = place.note(name)
        self.content: dict[str, Any] = {
            "title": title, "stage": "begun", "done": 0, "of": size, "host": platform.node(), "process": os.getpid(),
            "started": time.time(),
        }  # fmt: skip
        self.written = 0.0

    def __enter__(self) -> Reporter:
        self._write()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _value: BaseException | None, _where: TracebackType | None
    ) -> None:
        self.path.unlink(missing_ok=True)

    def tell(self, stage: str) -> None:
        """The stage that begins now."""
        self.content["stage"] = stage
        self._write()

    def ticking(self, tick: Tick) -> Tick:
        """Count steps, note them now and then, and pass them on."""

        def counted(steps: int) -> None:
            self.content["done"] += steps
            if time.time() - self.written >= EVERY:
                self._write()
            tick(steps)

        return counted

    def _write(self) -> None:
        self.written = self.content["updated"] = time.time()
        with contextlib.suppress(OSError):  # a full disk ends the work where it writes results
            write_json(self.path, self.content)


def forget_ended(place: Place) -> None:
    """Remove notes of models that nobody works at any more: their process had no time to do it."""
    for path in place.notes.glob("*.json"):
        if not leases.is_held(place.record(path.stem)):
            path.unlink(missing_ok=True)


def at_work(place: Place) -> Iterator[dict[str, Any]]:
    """The notes of models that are being worked at, here or on other machines; of killed processes none."""
    for path in sorted(place.notes.glob("*.json")):
        if leases.is_held(place.record(path.stem)):
            with contextlib.suppress(OSError, ValueError):
                yield json.loads(path.read_text(encoding="utf-8")) | {"name": path.stem}


def driver() -> dict[str, Any]:
    """Which process drives a sweep, for ``sweep.json``: whoever reads it on this machine can tell whether it runs, and stop it."""
    own = os.getpid()
    return {"host": leases.host(), "name": platform.node(), "process": own, "started": leases.started(own)}


def read(outputs: Path) -> dict[str, Any]:
    """What ``sweep.json`` says: every job has a ``title``, a ``status`` and a ``reason``.

    Raises:
        BadInput: it is not there or cannot be read.
    """
    path = Place(outputs).summary
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        jobs = [{"reason": ""} | job for job in content["jobs"]]
        whole = all(isinstance(job["title"], str) and isinstance(job["status"], str) for job in jobs)
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as problem:
        reason = getattr(problem, "strerror", None) or " ".join(str(problem).split())[:100] or type(problem).__name__
        raise BadInput(f"{path} cannot be read ({reason}); the sweep's command writes it again") from None
    if not whole:
        raise BadInput(f"{path} has a job without title or status; the sweep's command writes it again")
    return {**content, "jobs": jobs}


def runs_here(content: Mapping[str, Any]) -> bool | None:
    """Whether the process that drives a sweep runs on this machine; None where it was begun elsewhere, or nobody noted it."""
    noted = content.get("driver")
    if not isinstance(noted, dict) or noted.get("host") != leases.host() or not isinstance(noted.get("process"), int):
        return None
    return leases.runs(noted["process"]) and leases.started(noted["process"]) == noted.get("started")


def ask_to_stop(content: Mapping[str, Any]) -> bool:
    """What Ctrl-C asks the driving process for: to begin nothing new; a second time ends it. False where it does not run here."""
    if not runs_here(content):
        return False
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(content["driver"]["process"], signal.SIGINT)
        return True
    return False
