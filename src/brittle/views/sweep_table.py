"""A sweep as a table that a terminal shows while it runs: counts above, below what runs and what failed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from brittle.progress import duration

if TYPE_CHECKING:
    from rich.table import Table

ROWS = 20
"""Rows at most; the rest is counted."""
SHOWN = ("running", "failed", "elsewhere", "no room on the disk")
"""The statuses of jobs that have a row each, in this order."""


def rows(content: Mapping[str, Any]) -> list[tuple[str, str, str, str]]:
    """Of ``sweep.json``: model, status, step and time left or reason, for what runs and what failed."""
    jobs: Sequence[Mapping[str, Any]] = content["jobs"]
    chosen = [job for status in SHOWN for job in jobs if job["status"] == status]
    found = [(job["title"], _status(job), _steps(job), _told(job)) for job in chosen[:ROWS]]
    if len(chosen) > ROWS:
        found.append((f"… and {len(chosen) - ROWS} more", "", "", ""))
    return found


def counts(content: Mapping[str, Any]) -> str:
    """How many jobs have each status, in words."""
    found = Counter(job["status"] for job in content["jobs"])
    return ", ".join(f"{number} {status}" for status, number in found.items())


def table(content: Mapping[str, Any]) -> Table:
    """The same for a terminal."""
    from rich.table import Table
    from rich.text import Text

    made = Table(title=Text(f"{content.get('name', 'sweep')}: {counts(content)}"), title_justify="left", expand=True)
    for title, ratio in (("model", 5), ("status", 3), ("step", 2), ("left", 4)):
        made.add_column(title, ratio=ratio, overflow="fold")
    for row in rows(content):
        made.add_row(*map(Text, row))
    return made


def _status(job: Mapping[str, Any]) -> str:
    return str(job["status"]) + (f" ({job['stage']})" if job.get("stage") else "")


def _steps(job: Mapping[str, Any]) -> str:
    return f"{job['done']} of {job['of']}" if job.get("of") else ""


def _told(job: Mapping[str, Any]) -> str:
    left = job.get("seconds_left")
    return str(job["reason"]) or (duration(left) if left is not None else "")
