"""The code that decides a result, as one hash: a changed formula is never read from an old record.

A result depends on its own module and on all of the project's modules that this one imports, directly or by others
(also inside functions and for types), as far as they compute: files that find places, write, show or ask for settings
change nothing in a number.
"""

from __future__ import annotations

import ast
import functools
import hashlib
from pathlib import Path

PACKAGE = Path(__file__).parent
DECIDING = (
    "contracts", "mathematics", "data", "models", "training", "methods", "diagnostics", "attacks", "evaluation",
)  # fmt: skip
"""Folders and files whose code decides what a number is."""


def digest_of(*modules: str, files: tuple[str, ...] = (), package: Path = PACKAGE) -> str:
    """Sixteen hexadecimal digits over the code of ``modules`` and of everything that they import.

    Args:
        modules: dotted names, such as ``brittle.attacks.relearning``.
        files: modules that count alone, without what they import.
        package: the folder of the package.

    Of Brittle itself it is read once in a process, which goes on with the code that it began with.

    Raises:
        KeyError: there is no such module.
    """
    return (_own_digest if package == PACKAGE else _digest)(modules, files, package)


def _digest(modules: tuple[str, ...], files: tuple[str, ...], package: Path) -> str:
    code = hashlib.sha256()
    for name in sorted({*closure(modules, package), *files}):
        code.update(f"{name}\n".encode() + _file(name, package).read_bytes())
    return code.hexdigest()[:16]


_own_digest = functools.cache(_digest)


def closure(modules: tuple[str, ...], package: Path = PACKAGE) -> set[str]:
    """The modules and all that they import of :data:`DECIDING`, directly or by others."""
    found: set[str] = set()
    waiting = list(modules)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += _imported(_file(name, package), package)
    return found


def _file(name: str, package: Path) -> Path:
    if (path := _path(name, package)) is None:
        raise KeyError(f"there is no module {name}")
    return path


def _path(name: str, package: Path) -> Path | None:
    place = package.joinpath(*name.split(".")[1:])
    return next((path for path in (place.with_suffix(".py"), place / "__init__.py") if path.is_file()), None)


@functools.lru_cache(maxsize=1024)
def _imported(path: Path, package: Path) -> tuple[str, ...]:
    """The project's modules that a file names in its imports and that decide results."""
    named: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            named |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            named |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    ours = [name for name in named if name.startswith("brittle.") and name.split(".")[1] in DECIDING]
    return tuple(name for name in ours if _path(name, package))
