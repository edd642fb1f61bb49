"""Benchmarks: ratios of two ways to do the same thing, measured in turns in one run. ``--quick``, ``--json``, ``--only``.

The folder is the registry: every file here with a ``BENCHMARKS`` is run (see ``measuring.Benchmark``).
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import json
import os
import platform
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from measuring import SIZES, Benchmark


def find(folder: Path = Path(__file__).parent) -> list[Benchmark]:
    """The benchmarks of every file of the folder, in the order of the files' names. Two of one name are an error."""
    found: dict[str, Benchmark] = {}
    for path in sorted(folder.glob("*.py")):
        if "\nBENCHMARKS" not in path.read_text():
            continue
        if str(folder) not in sys.path:
            sys.path.insert(0, str(folder))
        for benchmark in importlib.import_module(path.stem).BENCHMARKS:
            if benchmark.name in found:
                raise ValueError(f"two benchmarks are called '{benchmark.name}'; the second is in {path.name}")
            found[benchmark.name] = benchmark
    return list(found.values())


def row(benchmark: Benchmark, size: str) -> dict[str, Any]:
    """One benchmark measured: name, ratio, goal, whether it is met, and what stands behind the ratio."""
    measured = benchmark.measure(size)
    return {
        "name": benchmark.name,
        "ratio": round(measured.ratio, 3),
        "goal": benchmark.goal,
        "met": measured.ratio >= benchmark.goal,
        "ours": round(measured.ours, 4),
        "other": round(measured.other, 4),
        "unit": measured.unit,
        "size": size,
        "machine": machine(),
    }


def machine() -> str:
    """This machine in words, as far as it bears on ratios."""
    return f"{os.cpu_count()} cores, {platform.machine()}, torch {torch.__version__} on CPU in float32"


def sentence(row: dict[str, Any]) -> str:
    """A row for reading."""
    verdict = "met" if row["met"] else "MISSED"
    return (
        f"{row['name']}: {row['ratio']:.2f} x (goal {row['goal']}, {verdict}; "
        f"{row['other']:.4g} {row['unit']} against {row['ours']:.4g} {row['unit']})"
    )


@contextlib.contextmanager
def prepared(size: str) -> Iterator[None]:
    """A cache folder of its own, so that nothing computed before helps."""
    if size not in SIZES:
        raise ValueError(f"size '{size}' is not one of {', '.join(SIZES)}")
    before = os.environ.get("BRITTLE_HOME")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["BRITTLE_HOME"] = folder
        try:
            yield
        finally:
            os.environ.pop("BRITTLE_HOME")
            os.environ.update({"BRITTLE_HOME": before} if before else {})


def main() -> None:
    """Run every benchmark, or those whose name holds ``--only``."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--quick", action="store_true", help="small shapes, a few minutes in all")
    parser.add_argument(
        "--json", action="store_true", help="one object a line: name, ratio, goal, met and what it rests on"
    )
    parser.add_argument("--only", default="", metavar="SUBSTRING", help="only benchmarks whose name holds this")
    chosen = parser.parse_args()
    size = "quick" if chosen.quick else "full"
    benchmarks = [benchmark for benchmark in find() if chosen.only in benchmark.name]
    if not benchmarks:
        parser.error(f"no benchmark's name holds '{chosen.only}'")
    with prepared(size):
        for benchmark in benchmarks:
            result = row(benchmark, size)
            print(json.dumps(result) if chosen.json else sentence(result), flush=True)


if __name__ == "__main__":
    main()
