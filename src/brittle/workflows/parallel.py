"""Independent jobs in worker processes, one thread each, under one progress bar.

One thread per process makes a result independent of how many cores the machine has and of what runs beside it, and
several small models train faster side by side than one after the other with more threads.
"""

from __future__ import annotations

import multiprocessing
import os
import queue
import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass
from typing import Any

from tqdm import tqdm

from brittle import tracking
from brittle.records import forget_peak_memory
from brittle.settings import BadInput

PRELOADED = [
    "brittle.models.construction",
    "brittle.models.likelihood",
    "brittle.models.loading",
    "brittle.training.loop",
]
Tick = Callable[[int], None]
_ticks: Any = None


@dataclass(frozen=True)
class Job:
    """``function(*arguments, tick=tick)`` in a worker; ``size`` is how many ticks it will report."""

    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    size: int = 1


def run(jobs: Sequence[Job], title: str, unit: str = "step", workers: int | None = None) -> list[Any]:
    """Run all jobs and return their results in order. The first failure is raised; finished jobs keep their records."""
    if not jobs:
        return []
    context = _context()
    ticks = context.Queue()
    total = sum(job.size for job in jobs)
    count = min(len(jobs), workers or os.cpu_count() or 1)
    with (
        tqdm(total=total, desc=title, unit=unit, dynamic_ncols=True) as bar,
        ProcessPoolExecutor(count, mp_context=context, initializer=_begin, initargs=(ticks, dict(os.environ))) as pool,
    ):
        futures: list[Future] = [pool.submit(_work, job) for job in jobs]
        pending = set(futures)
        while pending:
            done, pending = wait(pending, timeout=0.2, return_when=FIRST_COMPLETED)
            _drain(ticks, bar, total)
            if failed := next((future for future in done if future.exception()), None):
                pool.shutdown(wait=False, cancel_futures=True)
                raise failed.exception()  # type: ignore[misc]
        _drain(ticks, bar, total)
        bar.update(total - bar.n)
    return [future.result() for future in futures]


def _drain(ticks: Any, bar: tqdm, total: int) -> None:
    while True:
        try:
            bar.update(min(ticks.get_nowait(), total - bar.n))
        except queue.Empty:
            return


def _context() -> Any:
    """Workers forked from a server that has imported what they need: seconds of imports are paid once, not per worker.

    The server itself starts no threads and touches no accelerator. Where a fork is not safe, every worker starts afresh.
    """
    if sys.platform != "linux":
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    return context


def _begin(ticks: Any, environment: dict[str, str]) -> None:
    """Set up a worker: this moment's environment, one thread, progress, and an end when the process above is gone."""
    global _ticks
    _ticks = ticks
    os.environ.clear()
    os.environ.update(environment)
    tracking.follow()
    parent = os.getppid()
    import torch

    torch.set_num_threads(1)

    def end_with_parent() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=end_with_parent, daemon=True).start()


def _work(job: Job) -> Any:
    forget_peak_memory()
    try:
        return job.function(*job.arguments, tick=_ticks.put)
    except BadInput:
        raise
    except Exception as problem:  # some libraries' exceptions do not survive the way back to the parent
        raise RuntimeError(f"in a worker: {type(problem).__name__}: {problem}\n{traceback.format_exc()}") from None
