"""Problems that are the system's and not a program's: files, disks, memory. They are told in one line."""

from __future__ import annotations

import errno
import traceback
from pathlib import Path

MEMORY = ("can't allocate memory", "out of memory", "cannot allocate memory")
STORAGE = (
    "no space left on device",
    "i/o error",
    "os error",
    "failed writing file",
    "input/output error",
    "symlink loop",
)
ADVICE = {
    errno.ENOSPC: "make room on that disk",
    errno.EDQUOT: "make room within the quota",
    errno.EACCES: "check its permissions or name another place",
    errno.EPERM: "check its permissions or name another place",
    errno.EROFS: "name another place",
    errno.ENAMETOOLONG: "choose a shorter name",
}


def of_the_system(problem: BaseException) -> str | None:
    """One line for a failed file operation or memory that ran out, whichever library says so; None for anything else."""
    text = " ".join(str(problem).split())[:400]
    module, name = type(problem).__module__, type(problem).__name__
    if isinstance(problem, MemoryError) or name == "OutOfMemoryError" or _says(problem, text, MEMORY):
        return f"memory ran out ({text or name}); take smaller batches, shorter texts or a smaller model"
    if isinstance(problem, OSError):
        if problem.strerror is None or problem.errno is None:
            return text or name
        where = f"{_shown(problem.filename)}: " if problem.filename is not None else ""
        advice = ADVICE.get(problem.errno)
        return f"{where}{problem.strerror}" + (f"; {advice}" if advice else "")
    if name == "SafetensorError" or module.partition(".")[0] == "pyarrow" or _says(problem, text, STORAGE):
        return f"a file could not be read or written ({text})"
    return None


def _says(problem: BaseException, text: str, words: tuple[str, ...]) -> bool:
    return isinstance(problem, RuntimeError) and any(word in text.lower() for word in words)


def _shown(name: object) -> str:
    text = name.decode("utf-8", "replace") if isinstance(name, bytes) else str(name)
    return text.encode("utf-8", "replace").decode()[:200]


def unforeseen(problem: BaseException) -> str:
    """One line for an error of the program itself: its type, its message and the line that raised it."""
    last = traceback.extract_tb(problem.__traceback__)[-1:]
    place = "".join(f" ({Path(frame.filename).name}:{frame.lineno})" for frame in last)
    text = " ".join(str(problem).split())[:400]
    return f"{type(problem).__name__}: {text}{place}" if text else f"{type(problem).__name__}{place}"
