"""The environment: what a ``.env`` file adds to it, and the folder for caches.

Two libraries were tried and left out, because both would change what stands. python-dotenv drops a line whose quote is not
closed and turns ``\\n`` between double quotes into a line break; platformdirs moves the caches of those who set
XDG_CACHE_HOME, or who work on a Mac.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from brittle.bad_input import BadInput


def load_dotenv(path: Path | str = ".env") -> None:
    """Put the lines of a ``.env`` file into the environment; what is already set there, and not empty, wins.

    Raises:
        BadInput: the file cannot be read, or is not text.
    """
    path = Path(path)
    try:
        if not path.is_file():
            return
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as problem:
        raise BadInput(
            f"{path.absolute()} cannot be read ({problem}); every command reads it: make it a text file of NAME=value lines, or "
            "move it away"
        ) from None
    if "\0" in text:
        raise BadInput(
            f"{path.absolute()} is not text; every command reads it: write NAME=value lines, or move it away"
        )
    for line in text.splitlines():
        name, separator, value = re.sub(r"^export\s+", "", line.strip()).partition("=")
        name = name.strip()
        if separator and name and not name.startswith("#") and not os.environ.get(name):
            os.environ[name] = _value(value.strip())


def _value(text: str) -> str:
    """What stands in quotes, or everything up to a comment."""
    quoted = re.match(r"""(['"])(.*?)\1\s*(#.*)?$""", text)
    return quoted[2] if quoted else re.sub(r"(^|\s)#.*", "", text).strip()


def home() -> Path:
    """The folder for caches (laboratories, model digests). ``BRITTLE_HOME`` moves it."""
    named = os.environ.get("BRITTLE_HOME")
    if named:
        return Path(named).expanduser()
    try:
        return Path.home() / ".cache" / "brittle"
    except RuntimeError:
        raise BadInput("there is no home folder to keep caches in; set BRITTLE_HOME to a folder") from None
