"""What a sweep shows while it runs: a table on a terminal, elsewhere lines with the time."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

from brittle import progress
from brittle.sweeps.driver import Driver, Status
from brittle.views import sweep_table


@contextlib.contextmanager
def shown(driver: Driver, jobs: int) -> Iterator[None]:
    """Within the block, what the driver writes is shown."""
    if progress.on_terminal():
        from rich.console import Console
        from rich.live import Live

        with Live(console=Console(stderr=True), refresh_per_second=2) as live:
            driver.show = lambda content: live.update(sweep_table.table(content))
            yield
    else:
        with progress.work(f"sweep {driver.about['name']}", jobs, "job") as bar:
            driver.show = lambda content: _count(content, bar)
            yield


def _count(content: Mapping[str, Any], bar: progress.Work) -> None:
    ended = [
        job for job in content["jobs"] if job["status"] in (Status.DONE, Status.FAILED, Status.ELSEWHERE, Status.OTHERS)
    ]
    bar.update(len(ended) - bar.done)
    bar.tell(sweep_table.counts(content))
