"""Places that results are written to: checked before any work, written whole or not at all.

Only what a record of ours lists, and what an ended process of ours left behind, is ever removed or replaced.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from brittle import leases
from brittle.settings import BadInput

RECORD = "record.json"
LONGEST_NAME, LONGEST_PATH = 255 - leases.LONGEST_ADDITION, 4096 - 2 * leases.LONGEST_ADDITION
"""Bytes that a result's name and its whole path may have, so that its temporaries' names fit too."""


def read_record(folder: Path) -> dict[str, Any] | None:
    """The record of a folder, or None if there is none that can be read."""
    try:
        content = json.loads((Path(folder) / RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None


def check_place(folder: Path, kind: str | None = None, space: int = 0) -> None:
    """Refuse, before any work, a folder that a result cannot be written to.

    It must be absent, empty, or hold nothing but what a record of ours lists (of this ``kind``, if one is named); its
    nearest existing parent must be a folder that can be written to, with ``space`` bytes left. Called by every command
    for every folder that it is going to write.
    """
    folder = Path(folder)
    check_writable(folder, space)
    if folder.is_symlink():
        raise BadInput(f"{folder} is a link, which a result would replace; name the folder that it leads to")
    if folder.exists() and not folder.is_dir():
        raise BadInput(f"{folder} is not a folder, and results go into one; name another place")
    refuse_foreign(folder, kind)


def refuse_foreign(folder: Path, kind: str | None = None, listed: Collection[str] = ()) -> None:
    """The part of :func:`check_place` about what lies there; ``listed`` are names that may be replaced without a record."""
    if foreign := foreign_files(folder, listed):
        raise BadInput(
            f"{folder} holds {foreign[0].relative_to(folder)}, which no record of Brittle there lists and which would "
            "be lost; name an empty folder or a new one"
        )
    found = (read_record(folder) or {}).get("kind")
    if kind is not None and found is not None and found != kind:
        raise BadInput(
            f"{folder} holds another result ({found}), which would be lost; name an empty folder or a new one"
        )


def check_file(path: Path) -> None:
    """Refuse, before any work, a path that a single file (a page, a table) cannot be written to."""
    path = Path(path)
    check_writable(path)
    if path.is_symlink() or (path.exists() and not path.is_file()):
        raise BadInput(f"{path} is not a plain file; name another file")


def check_writable(path: Path, space: int = 0) -> None:
    """Refuse a path whose nearest existing parent is not a folder that can be written to, or has no ``space`` left."""
    path, shown = Path(path), str(path)[:200]
    advice = "name another place"
    try:
        whole = path.absolute()
        if "\0" in str(path):
            raise ValueError("a name has no NUL in it")
        long = [part for part in whole.parts if len(os.fsencode(part)) > LONGEST_NAME]
        if long or len(os.fsencode(whole)) > LONGEST_PATH:
            raise BadInput(
                f"{shown}… cannot be written to: the name is too long ({len(long[0]) if long else len(str(whole))} characters); {advice}"
            )
        parent = next(each for each in whole.parents if os.path.lexists(each))
        if not parent.is_dir():
            raise BadInput(f"{shown} cannot be written to: {parent} is not a folder; {advice}")
        os.rmdir(tempfile.mkdtemp(prefix=".brittle-", dir=parent))
        free = shutil.disk_usage(parent).free
    except (OSError, ValueError, StopIteration) as problem:
        reason = getattr(problem, "strerror", None) or problem
        raise BadInput(
            f"{shown.encode('utf-8', 'replace').decode()} cannot be written to ({reason}); {advice}"
        ) from None
    if free < space:
        raise BadInput(
            f"{shown} needs about {space / 2**30:.1f} GiB, and {free / 2**30:.1f} GiB are free there; {advice}"
        )


def foreign_files(folder: Path, listed: Collection[str] = ()) -> list[Path]:
    """The first thing that lies in a folder and that no record in it lists; empty if there is none.

    Without a record of its own, everything in a folder is foreign. Folders in it with records of their own are not.
    """
    folder = Path(folder)
    if not folder.is_dir():
        return []
    found = next(_foreign(folder, Path(), _listed(folder) | {*listed}), None)
    return [] if found is None else [found]


def _listed(folder: Path) -> set[str]:
    record = read_record(folder) or {}
    files = record.get("files")
    return {RECORD, *(str(name) for name in files)} if record.get("status") and isinstance(files, list) else set()


def _foreign(folder: Path, within: Path, listed: set[str]) -> Iterator[Path]:
    """Walks no further than the record reaches, so that a user's own tree, however large, is refused at once."""
    with os.scandir(folder / within) as entries:
        for entry in entries:
            path, relative = Path(entry.path), within / entry.name
            if leases.is_leftover(path):
                continue
            if not entry.is_dir(follow_symlinks=False):
                if str(relative) not in listed:
                    yield path
            elif any(Path(name).is_relative_to(relative) for name in listed):
                yield from _foreign(folder, relative, listed)
            elif listed and (own := _listed(path)):
                yield from _foreign(path, Path(), own)
            else:
                yield path


def put_in_place(temporary: Path, folder: Path, kind: str | None = None, listed: Collection[str] = ()) -> None:
    """Rename a finished folder to its place; a result that stood there moves away first and is deleted afterwards.

    Raises:
        BadInput: what stands there is not a result of ours; it stays as it is.
    """
    old = leases.name_of(folder, "old")
    with leases.PLACING:
        refuse_foreign(folder, kind, listed)
        if folder.exists():
            folder.rename(old)
        try:
            refuse_foreign(old, kind, listed)  # what came in between the first look and the renaming
            temporary.rename(folder)
        except BaseException:
            if old.exists() and not folder.exists():
                old.rename(folder)
            raise
    shutil.rmtree(old, ignore_errors=True)


def sweep_leftovers(place: Path, listed: Collection[str] = ()) -> None:
    """Delete the temporary folders or files that ended processes left beside ``place``, which can be a file.

    An earlier result that such a process had moved away holds what its record lists, or the names ``listed``.
    """
    with contextlib.suppress(FileNotFoundError), os.scandir(place.parent) as entries:
        for entry in entries:
            path = Path(entry.path)
            if not entry.name.startswith(f".{place.name}.") or not leases.is_leftover(path, place.name):
                continue
            if not entry.is_dir(follow_symlinks=False):
                path.unlink(missing_ok=True)
            elif path.suffix == ".partial" or not foreign_files(path, listed):
                shutil.rmtree(path, ignore_errors=True)


@contextlib.contextmanager
def parents_of(place: Path) -> Iterator[None]:
    """The folders above ``place``, made where they are missing; after a failure, those made for nothing go again."""
    made = [parent for parent in place.parents if not parent.exists()]
    place.parent.mkdir(parents=True, exist_ok=True)
    try:
        yield
    except BaseException:
        for parent in made:
            with contextlib.suppress(OSError):
                parent.rmdir()
        raise


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary file to write to, which takes the place of ``path`` when the block ends well."""
    path = Path(path)
    if path.is_symlink() or (path.exists() and not path.is_file()):
        raise BadInput(f"{path} is not a plain file; name another file")
    with parents_of(path):
        sweep_leftovers(path)
        with leases.temporary(path) as temporary:
            yield temporary
            os.replace(temporary, path)


def write_text(path: Path, text: str) -> None:
    """Write a text file whole or not at all."""
    with replacing(Path(path)) as temporary:
        temporary.write_text(text, encoding="utf-8")


def read_summary(folder: Path) -> dict[str, Any]:
    """The numbers of ``summary.json``."""
    summary: dict[str, Any] = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    return summary
