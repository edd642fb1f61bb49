"""Diagnostics at work: each listens to the passes that it needs. One that fails does not stop the others."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

from brittle.contracts import Findings
from brittle.records import Identity
from brittle.runs.work_time import WorkTime, working


def as_needs(declared: str | tuple[str, ...]) -> tuple[str, ...]:
    """What a diagnostic's file declares as ``NEEDS``: one kind of observation, or several."""
    return (declared,) if isinstance(declared, str) else tuple(declared)


@dataclass
class Listener:
    """A diagnostic at work: its fitter, the same fitter for the random control, and what went wrong."""

    module: ModuleType
    settings: Any
    identity: Identity
    fitter: Any = None
    control: Any = None
    problem: Exception | None = None
    results: dict[str, Findings] = field(default_factory=dict)
    notes: dict[str, Any] = field(default_factory=dict)
    """What its record says of what it was shown."""
    time: WorkTime = field(init=False)
    """What it took."""

    def __post_init__(self) -> None:
        self.time = WorkTime(self.identity.kind if self.identity else "")

    def begin(self, random: bool) -> None:
        """Make the fitters."""
        self.fitter = self.guard(lambda: self.module.Fitter(self.settings))
        self.control = self.guard(lambda: self.module.Fitter(self.settings)) if random else None

    def guard(self, work: Callable[..., Any], *arguments: Any) -> Any:
        """Do the work unless something went wrong before; keep what goes wrong."""
        if self.problem is None:
            try:
                with working(self.time):
                    return work(*arguments)
            except Exception as problem:  # one diagnostic's trouble; the session lists it and goes on
                self.problem = problem
        return None

    def finish(self) -> None:
        """Have the fitters say what they found."""
        for kind, fitter in (("own", self.fitter), ("random", self.control)):
            if fitter is not None and (found := self.guard(fitter.finish)):
                self.results[kind] = found

    @property
    def needs(self) -> tuple[str, ...]:
        """The kinds of observation it is shown, in order."""
        return as_needs(self.module.NEEDS)


class Feed:
    """What a pass calls: hands observations to one side's fitters of several listeners."""

    def __init__(self, listeners: Sequence[Listener], side: str = "fitter") -> None:
        self.listeners, self.side = listeners, side

    def update(self, observation: Any) -> None:
        """Hand it on."""
        for listener in self.listeners:
            fitter = getattr(listener, self.side)
            if fitter is not None:
                listener.guard(fitter.update, observation)


def wanting(listeners: Iterable[Listener], need: str) -> list[Listener]:
    """Those that want this kind of observation and are still well."""
    return [listener for listener in listeners if need in listener.needs and listener.problem is None]


def all_fail_together(listeners: Sequence[Listener], work: Callable[[], Any]) -> None:
    """Run a pass; what breaks the pass itself is every listener's problem, and what it takes is every listener's time."""
    try:
        with working(*(listener.time for listener in listeners)):
            work()
    except Exception as problem:  # listed by the session, which goes on with the next pass
        for listener in listeners:
            listener.problem = listener.problem or problem
