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
import shutil
import sys
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from brittle import __version__
from brittle.settings import BadInput

RECORD = "record.json"


def column(help: str) -> Any:
    """A field of a row type; ``help`` is the column's reference in the documentation."""
    return dataclasses.field(metadata={"help": help})


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


def digest_of_source(*modules: Any) -> str:
    """The content hash of the code (modules or files) that made a result, so that a changed formula is never read from an old record."""
    return fingerprint([digest_of_file(Path(getattr(module, "__file__", module))) for module in modules])


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


def read_record(folder: Path) -> dict[str, Any] | None:
    """The record of a folder, or None if there is none that can be read."""
    try:
        content = json.loads((Path(folder) / RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None


def is_complete(folder: Path, identity: Identity) -> bool:
    """Whether the folder holds a complete record of exactly this identity, with every file it lists."""
    record = read_record(folder)
    if not record or record.get("status") != "complete" or record.get("fingerprint") != identity.fingerprint:
        return False
    return all((Path(folder) / name).is_file() for name in record.get("files", []))


class Draft:
    """A record being written: tables, a summary and notes go into its temporary folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.notes: dict[str, Any] = {}

    def table(self, name: str, rows: Iterable[Any]) -> None:
        """Write rows (dataclasses, dictionaries or a data frame) as ``name``.csv. No rows at all is an error."""
        import pandas

        frame = rows if isinstance(rows, pandas.DataFrame) else pandas.DataFrame([_as_row(row) for row in rows])
        if frame.empty:
            raise ValueError(f"{name}.csv would have no rows")
        frame.to_csv(self.folder / f"{name}.csv", index=False)

    def summary(self, content: Mapping[str, Any], name: str = "summary") -> None:
        """Write ``name``.json."""
        write_json(self.folder / f"{name}.json", content)

    def note(self, **notes: Any) -> None:
        """Keep something on the record that is not a result: timings, shares of unmoved weights, warnings."""
        self.notes.update(notes)


def _as_row(row: Any) -> dict[str, Any]:
    return (
        {field.name: getattr(row, field.name) for field in dataclasses.fields(row)}
        if not isinstance(row, Mapping)
        else dict(row)
    )


@contextlib.contextmanager
def writing(folder: Path, identity: Identity) -> Iterator[Draft]:
    """Write a record: fill the draft inside the block; at its end the folder appears whole, or not at all."""
    folder = Path(folder)
    made = [parent for parent in folder.parents if not parent.exists()]
    folder.parent.mkdir(parents=True, exist_ok=True)
    sweep_leftovers(folder)
    temporary = folder.parent / f".{folder.name}.{os.getpid()}-{uuid.uuid4().hex[:6]}.partial"
    temporary.mkdir()
    draft, started = Draft(temporary), time.time()
    try:
        yield draft
        record = {
            "kind": identity.kind, "status": "complete", "fingerprint": identity.fingerprint,
            "inputs": identity.inputs, "settings": identity.settings, "notes": draft.notes,
            "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(started)),
            "seconds": round(time.time() - started, 3), "peak_memory_mib": peak_memory_mib(),
            "versions": versions(), "machine": machine(),
            "files": sorted(str(path.relative_to(temporary)) for path in temporary.rglob("*") if path.is_file()),
        }  # fmt: skip
        write_json(temporary / RECORD, record)
        put_in_place(temporary, folder)
        for sink in SINKS:
            sink(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        for parent in made:  # after a failure, folders that were made for nothing go too
            with contextlib.suppress(OSError):
                parent.rmdir()


def check_place(folder: Path) -> None:
    """Refuse, before any work, a folder that a result cannot be written to.

    It must be absent, empty, or hold nothing but what a record of ours lists; its nearest existing parent must be a
    folder that can be written to. Called by every command for every folder that it is going to write.
    """
    folder = Path(folder)
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise BadInput(f"{folder} is not a folder, and results go into one; name another place")
    if foreign := foreign_files(folder):
        raise BadInput(
            f"{folder} holds {foreign[0].name}, which no record of Brittle lists and which would be lost; "
            "name an empty folder or a new one"
        )
    check_writable(folder)


def check_file(path: Path) -> None:
    """Refuse, before any work, a path that a single file (a page, a table) cannot be written to."""
    path = Path(path)
    if path.is_symlink() or (path.exists() and not path.is_file()):
        raise BadInput(f"{path} is not a plain file; name another file")
    check_writable(path)


def check_writable(path: Path) -> None:
    """Refuse a path whose nearest existing parent is not a folder that can be written to."""
    try:
        parent = next(each for each in path.absolute().parents if each.exists())
        writable = parent.is_dir() and os.access(parent, os.W_OK | os.X_OK)
    except (OSError, ValueError, StopIteration) as problem:
        raise BadInput(f"{str(path)[:200]} cannot be written to ({problem}); name another place") from None
    if not writable:
        raise BadInput(f"{path} cannot be written: {parent} is not a folder that can be written to; name another place")


def foreign_files(folder: Path) -> list[Path]:
    """What lies in a folder and is listed by no record in it."""
    if not folder.is_dir():
        return []
    record = read_record(folder) or {}
    listed = {folder / str(name) for name in [*record.get("files", ()), RECORD]} if record.get("status") else set()
    return sorted(path for path in folder.rglob("*") if not path.is_dir() and path not in listed)


def put_in_place(temporary: Path, folder: Path) -> None:
    """Rename a finished folder to its place; what stood there moves away first and is deleted afterwards."""
    old = folder.parent / f".{folder.name}.{uuid.uuid4().hex[:6]}.old"
    if folder.exists():
        folder.rename(old)
    try:
        temporary.rename(folder)
    except OSError:
        if not folder.exists():
            raise
        shutil.rmtree(temporary, ignore_errors=True)  # another process finished the same in this moment
    shutil.rmtree(old, ignore_errors=True)


def sweep_leftovers(folder: Path) -> None:
    """Delete the temporary folders or files that killed processes left beside ``folder``, which can be a file."""
    for path in folder.parent.glob(f".{folder.name}.*"):
        if (
            path.suffix == ".old"
            or path.suffix == ".partial"
            and not _alive(path.stem.removeprefix(f".{folder.name}.").partition("-")[0])
        ):
            shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)


def _alive(process: str) -> bool:
    if not process.isdigit():
        return True
    try:
        os.kill(int(process), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def write_json(path: Path, content: Any) -> None:
    """Write JSON that every reader accepts (no NaN), whole or not at all."""
    write_text(path, json.dumps(plain(content), indent=2) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write a text file whole or not at all."""
    with replacing(Path(path)) as temporary:
        temporary.write_text(text, encoding="utf-8")


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary file to write to, which takes the place of ``path`` when the block ends well."""
    path.parent.mkdir(parents=True, exist_ok=True)
    sweep_leftovers(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


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
