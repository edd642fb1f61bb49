"""What a benchmark is: two ways to do the same thing, and one number that says how much the other costs more.

Absolute times of shared machines lie, so a benchmark is a ratio, other over ours, taken in one run: the two ways take
turns, and the median over turns counts. Ways that do not give the same value are not compared but refused. Peak memory
is that of a fresh process for each side, above what the process held before it built anything.
"""

from __future__ import annotations

import contextlib
import functools
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy

SIZES = ("full", "quick", "tiny")
"""The shape that counts, one for a few minutes in all, one for tests of agreement."""
TURNS = {"full": 5, "quick": 4, "tiny": 1}
TOLERANCE = 1e-3
"""Largest relative difference of two values that count as the same; both sides go through many float32 updates."""
SMALL = 1e-4
"""Difference that always passes: losses that are differences of terms near 10 come close to zero."""


def nothing() -> None:
    """For a way that leaves nothing behind."""


@dataclass(frozen=True)
class Way:
    """One way, built: ``run()`` does it once and returns its value (numbers); ``close()`` frees what it holds."""

    run: Callable[[], Any]
    close: Callable[[], None] = nothing


Builder = Callable[[str], Way]
"""Called with a size."""


@dataclass(frozen=True)
class Pair:
    """Two ways to do the same thing. Each is built on its own, so that a fresh process can hold one alone."""

    name: str
    ours: Builder
    other: Builder


@dataclass(frozen=True)
class Measured:
    """What the ways cost, in ``unit``: medians over turns; ``ratio`` is the median of other over ours, turn by turn."""

    ratio: float
    ours: float
    other: float
    unit: str


@dataclass(frozen=True)
class Benchmark:
    """A named ratio, the least it should be, and how to measure it at a size. ``pair`` is what the tests let agree."""

    name: str
    goal: float
    measure: Callable[[str], Measured]
    pair: Pair | None = None


def seconds(
    pair: Pair, size: str, clock: Callable[[], float] = time.perf_counter, turns: int | None = None
) -> Measured:
    """Time of one run of each way, in turns. The first run of each warms up and is not timed; all values are compared."""
    spent_by_turn: list[tuple[float, float]] = []
    with contextlib.ExitStack() as open_ways:
        ways = []
        for build in (pair.ours, pair.other):
            ways.append(build(size))
            open_ways.callback(ways[-1].close)
        for turn in range((turns or TURNS[size]) + 1):
            values, spent = [], []
            for way in ways:
                start = clock()
                values.append(way.run())
                spent.append(clock() - start)
            _same(pair.name, *values)
            if turn:
                spent_by_turn.append((spent[0], spent[1]))
    ours, other = zip(*spent_by_turn)
    return Measured(
        statistics.median(there / here for here, there in spent_by_turn),
        statistics.median(ours),
        statistics.median(other),
        "s",
    )


def _same(name: str, ours: Any, other: Any) -> None:
    if not numpy.allclose(ours, other, rtol=TOLERANCE, atol=SMALL):
        raise AssertionError(f"{name}: the two ways differ, {ours} and {other}")


def peak_memory(pair: Pair, size: str) -> Measured:
    """Peak resident memory of three runs in a fresh process, what stood there before building taken off."""
    return _bytes(pair, size, "peak")


def tensor_memory(pair: Pair, size: str) -> Measured:
    """Bytes of all tensors alive after building, before the first run: models, references, batches."""
    return _bytes(pair, size, "tensors")


def _bytes(pair: Pair, size: str, what: str) -> Measured:
    ours, other = (memory_of(pair.name, side, size)[what] / 2**20 for side in ("ours", "other"))
    return Measured(other / ours, ours, other, "MiB")


@functools.cache
def memory_of(name: str, side: str, size: str) -> dict[str, int]:
    """What a fresh process says of one side of a pair, asked once per run."""
    server = _server()
    assert server.stdin is not None and server.stdout is not None
    server.stdin.write(json.dumps([name, side, size]) + "\n")
    server.stdin.flush()
    answer = server.stdout.readline()
    if not answer:
        raise RuntimeError(f"{name}: {side} failed in a process of its own; its message stands above")
    return json.loads(answer)


@functools.cache
def _server() -> subprocess.Popen[str]:
    program = Path(__file__).with_name("memory_of_one_way.py")
    return subprocess.Popen([sys.executable, str(program)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def rows(pair: Pair, **goals: float) -> Sequence[Benchmark]:
    """One benchmark per measure and goal: ``rows(pair, seconds=2.0, peak_memory=1.0)``."""
    measures = {"seconds": seconds, "peak_memory": peak_memory, "tensor_memory": tensor_memory}
    return [
        Benchmark(f"{pair.name}: {measure.replace('_', ' ')}", goal, functools.partial(measures[measure], pair), pair)
        for measure, goal in goals.items()
    ]
