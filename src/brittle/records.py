"""Records: a folder with ``record.json`` beside its tables. Done means a complete record with this fingerprint.

A record is written in a hidden folder beside its place and renamed when it is whole, so a crash or a kill at any
moment leaves either the old complete result or none.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import math
import os
import platform
import resource
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from brittle import leases
from brittle.places import (
    RECORD,
    check_file,
    check_place,
    check_writable,
    foreign_files,
    parents_of,
    put_in_place,
    read_record,
    replacing,
    sweep_leftovers,
    write_text,
)
from brittle.version import __version__

__all__ = [
    "RECORD", "SINKS", "SPREAD", "Draft", "Identity", "check_file", "check_place", "check_writable", "column",
    "contents_of", "digest_of_file", "digest_of_text", "fingerprint", "foreign_files", "forget_peak_memory",
    "is_complete", "is_whole", "machine", "parents_of", "peak_memory_mib", "plain", "put_in_place", "read_record", "replacing",
    "spread_columns", "sweep_leftovers", "versions", "with_spread", "write_json", "write_text", "writing",
]  # fmt: skip


def column(help: str) -> Any:
    """A field of a row type; ``help`` is the column's reference in the documentation."""
    return dataclasses.field(metadata={"help": help})


clock: Callable[[], float] = time.monotonic
"""What the seconds of work are measured with: it runs on evenly when the system's time is set."""

SINKS: list[Callable[[Path], None]] = []
"""Called with the folder of every record that was finished, such as the mirror in W&B. They raise nothing."""

SPREAD = {
    "mean": "mean over the seeds",
    "std": "standard deviation over the seeds",
    "low": "lower bound of the 95 % bootstrap interval",
    "high": "upper bound of the 95 % bootstrap interval",
}
"""The columns that stand beside a number: its name with each of these words behind it."""


def with_spread(row_type: type, names: Iterable[str]) -> Any:
    """The row type with four columns more for each of the named numbers: mean, std, low and high."""
    more = [(f"{name}_{word}", float, column(f"{help} of {name}")) for name in names for word, help in SPREAD.items()]
    wider = dataclasses.make_dataclass(row_type.__name__, more, bases=(row_type,), frozen=True)
    wider.__doc__, wider.__module__ = row_type.__doc__, row_type.__module__
    return wider


def spread_columns(name: str, spread: Any) -> dict[str, float]:
    """The number and its four columns; ``spread`` has value, mean, std, low and high."""
    return {name: spread.value} | {f"{name}_{word}": getattr(spread, word) for word in SPREAD}


def plain(value: Any) -> Any:
    """The value as JSON can hold it: tuples become lists, paths text, NaN and infinities null."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return plain(dataclasses.asdict(value))
    if hasattr(value, "item") and not isinstance(value, str):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if isinstance(value, str | int | float | bool | None) else str(value)


def fingerprint(content: Any) -> str:
    """Sixteen hexadecimal digits that change when anything in ``content`` does."""
    return hashlib.sha256(json.dumps(plain(content), sort_keys=True).encode()).hexdigest()[:16]


def digest_of_text(text: str) -> str:
    """The content hash of a text."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def digest_of_file(path: Path) -> str:
    """The content hash of a file of any size, read in pieces."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]


@dataclasses.dataclass(frozen=True)
class Identity:
    """What a result depends on: its kind, the contents it read, its settings. Equal identities, equal results."""

    kind: str
    inputs: Mapping[str, Any]
    settings: Mapping[str, Any]

    @property
    def fingerprint(self) -> str:
        """Sixteen hexadecimal digits over all three."""
        return fingerprint([self.kind, self.inputs, self.settings])


def is_complete(folder: Path, identity: Identity) -> bool:
    """Whether the folder holds a complete record of exactly this identity, with every file it lists as it was written.

    Files beyond :data:`DIGESTED` are compared by size. Records of earlier versions, which list names alone, count as
    complete if the files are there.
    """
    record = read_record(folder)
    if not record or record.get("status") != "complete" or record.get("fingerprint") != identity.fingerprint:
        return False
    return is_whole(folder, record)


def is_whole(folder: Path, record: Mapping[str, Any]) -> bool:
    """Whether every file that a record lists is there as it was written."""
    contents = record.get("contents", {})
    return all(_is_as_written(Path(folder) / name, contents.get(name)) for name in record.get("files", []))


def _is_as_written(path: Path, written: list[Any] | None) -> bool:
    try:
        if not path.is_file() or written is None:
            return path.is_file()
        return path.stat().st_size == written[0] and (written[1] is None or digest_of_file(path) == written[1])
    except OSError:
        return False


class Draft:
    """A record being written: tables, a summary and notes go into its temporary folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.notes: dict[str, Any] = {}
        self.before: tuple[float, float, Sequence[str]] = 0.0, 0.0, ()

    def table(self, name: str, rows: Iterable[Any]) -> None:
        """Write rows (dataclasses, dictionaries or a data frame) as ``name``.csv. No rows, or no number in any, is an error."""
        import pandas

        frame = rows if isinstance(rows, pandas.DataFrame) else pandas.DataFrame([_as_row(row) for row in rows])
        if frame.empty:
            raise ValueError(f"{name}.csv would have no rows")
        numbers = [column for column in frame.columns if frame[column].dtype.kind == "f"]
        if numbers and bool(frame[numbers].isna().to_numpy().all()):
            raise ValueError(f"{name}.csv would have no number in its columns ({', '.join(map(str, numbers))[:80]})")
        frame.to_csv(self.folder / f"{name}.csv", index=False)

    def summary(self, content: Mapping[str, Any], name: str = "summary") -> None:
        """Write ``name``.json."""
        write_json(self.folder / f"{name}.json", content)

    def note(self, **notes: Any) -> None:
        """Keep something on the record that is not a result: timings, shares of unmoved weights, warnings."""
        self.notes.update(notes)

    def took(self, seconds: float, shared: float = 0.0, shared_with: Iterable[str] = ()) -> None:
        """Count work that was done before the draft was begun: ``seconds`` in all, ``shared`` of them for others too."""
        self.before = seconds, shared, sorted(shared_with)

    def seconds(self, writing: float) -> dict[str, Any]:
        """What the record says of time: ``seconds`` of work in all, of them ``shared_seconds`` for other results too."""
        seconds, shared, others = self.before
        found: dict[str, Any] = {"seconds": round(seconds + writing, 3)}
        return found | ({"shared_seconds": round(shared, 3), "shared_with": others} if others else {})


def _as_row(row: Any) -> dict[str, Any]:
    return (
        {field.name: getattr(row, field.name) for field in dataclasses.fields(row)}
        if not isinstance(row, Mapping)
        else dict(row)
    )


@contextlib.contextmanager
def writing(folder: Path, identity: Identity) -> Iterator[Draft]:
    """Write a record: fill the draft inside the block; at its end the folder appears whole, or not at all.

    ``started`` is when writing began; ``seconds`` adds the work before it that the draft was told of (:meth:`Draft.took`).

    Raises:
        BadInput: the place holds something else than an earlier result of this kind, cannot be written to, or is being
            written by another process.
    """
    folder = Path(folder)
    check_place(folder, identity.kind)
    with parents_of(folder), leases.held(folder):
        sweep_leftovers(folder)
        with leases.temporary(folder) as temporary:
            temporary.mkdir()
            draft, started, began = Draft(temporary), time.time(), clock()
            yield draft
            contents = contents_of(temporary)
            record = {
                "kind": identity.kind, "status": "complete", "fingerprint": identity.fingerprint,
                "inputs": identity.inputs, "settings": identity.settings, "notes": draft.notes,
                "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(started)),
                **draft.seconds(clock() - began), "peak_memory_mib": peak_memory_mib(),
                "versions": versions(), "machine": machine(), "files": list(contents), "contents": contents,
            }  # fmt: skip
            write_json(temporary / RECORD, record)
            put_in_place(temporary, folder, identity.kind)
    for sink in SINKS:
        sink(folder)


DIGESTED = 16 * 2**20
"""Largest file, in bytes, whose content a record keeps a hash of; of a larger one (weights) it keeps the size."""


def contents_of(folder: Path, names: Iterable[str] | None = None) -> dict[str, list[Any]]:
    """Size in bytes and content hash (None beyond :data:`DIGESTED`) of every file in a folder (or these), by its path in there."""
    if names is None:
        names = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    return {name: _content_of(folder / name) for name in names}


def _content_of(path: Path) -> list[Any]:
    size = path.stat().st_size
    return [size, digest_of_file(path) if size <= DIGESTED else None]


def write_json(path: Path, content: Any) -> None:
    """Write JSON that every reader accepts (no NaN), whole or not at all."""
    write_text(path, json.dumps(plain(content), indent=2) + "\n")


def versions() -> dict[str, str]:
    """Versions of what a number can depend on."""
    found = {"brittle": __version__, "python": platform.python_version()}
    for package in ("torch", "transformers", "accelerate", "numpy", "scipy", "scikit-learn"):
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[package] = metadata.version(package)
    return found


def machine() -> dict[str, Any]:
    """The machine in words that identify no one: system, processor type, cores, accelerator."""
    torch = sys.modules.get("torch")
    gpu = torch.cuda.get_device_name(0) if torch is not None and torch.cuda.is_available() else None
    return {"system": platform.system(), "processor": platform.machine(), "cores": os.cpu_count(), "gpu": gpu}


def peak_memory_mib() -> float:
    """The largest resident size of this process, in MiB, since it began or :func:`forget_peak_memory` was called."""
    with contextlib.suppress(OSError, StopIteration):
        line = next(
            line
            for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
            if line.startswith("VmHWM")
        )
        return round(int(line.split()[1]) / 1024, 1)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (1024 * 1024 if platform.system() == "Darwin" else 1024), 1)


def forget_peak_memory() -> None:
    """Start anew for :func:`peak_memory_mib`, where the system allows it (Linux): a worker does many jobs."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")
