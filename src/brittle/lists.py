"""Lists that users write on a command line: names, model references, seeds; and the name that one probably meant."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable
from pathlib import Path

from brittle.bad_input import BadInput, shortened

LARGEST_SEED = 2**32 - 1
"""The largest seed that every generator here takes (NumPy's legacy generators, scikit-learn)."""


def nearest(name: str, known: Iterable[str]) -> str:
    """What is said of a name that nothing has: ``did you mean cb_lat?``, or where none is near, all that there is."""
    known = list(dict.fromkeys(known))
    return suggestion(name, known).removeprefix("; ") or f"there is {', '.join(sorted(known))}"


def suggestion(name: str, known: Iterable[str]) -> str:
    """The end of a refusal, ``; did you mean cb_lat?``; nothing where no known name is near."""
    near = difflib.get_close_matches(name, list(known), 1)
    return f"; did you mean {near[0]}?" if near else ""


def near_path(path: Path | str, folders: bool = False) -> str:
    """The end of a refusal of a path that is not there, ``; did you mean outputs/base?``; nothing where no name is near.

    Every component that is misspelt is mended by what lies beside it. With ``folders`` only folders are meant.
    """
    try:
        wanted = Path(path).expanduser()
        there, parts = Path(wanted.anchor), wanted.parts[1 if wanted.anchor else 0 :]
        if not parts or os.path.lexists(wanted):
            return ""
        for number, part in enumerate(parts, 1):
            if part != ".." and not os.path.lexists(there / part):
                last = number == len(parts)
                beside = [each.name for each in there.iterdir() if each.is_dir() or (last and not folders)]
                part = next(iter(difflib.get_close_matches(part, beside, 1)), "")
                if not part:
                    return ""
            there /= part
    except (OSError, ValueError, RuntimeError):  # unreadable, too long, a home folder of nobody
        return ""
    return f"; did you mean {shortened(there, 200)}?"


def names_in(text: str, flag: str) -> list[str]:
    """The names that a user wrote, with commas or spaces between them; none, or one twice, is refused."""
    names = text.replace(",", " ").split()
    if not names:
        raise BadInput(f"{flag}: '{shortened(text)}' names nothing; give one or more with commas between them")
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise BadInput(f"{flag}: {shortened(twice)} stands there twice; name each once")
    return names


def references_in(text: str, flag: str) -> list[str]:
    """Model references that a user wrote: split at commas, or at spaces where the whole is no folder of that name."""
    if "," not in text and _is_there(text):
        return [text]
    parts = [part.strip() for part in text.split(",") if part.strip()] if "," in text else text.split()
    if not parts:
        raise BadInput(
            f"{flag}: '{shortened(text)}' names no model; give a hub id, a folder, a GGUF file, laboratory:NAME or smollm2:base"
        )
    if twice := next((part for part in parts if parts.count(part) > 1), None):
        raise BadInput(f"{flag}: {shortened(twice)} stands there twice; name each model once")
    return parts


def _is_there(text: str) -> bool:
    """Whether a path of exactly this spelling exists."""
    try:
        return Path(text).expanduser().exists()
    except (OSError, ValueError, RuntimeError):
        return False


def seeds_in(text: str, flag: str = "--seeds") -> list[int]:
    """The seeds that a user wrote, with commas or spaces between them: distinct whole numbers of at most 32 bits."""
    parts = text.replace(",", " ").split()
    if not parts or not all(part.isascii() and part.isdigit() for part in parts):
        raise BadInput(
            f"{flag}: '{shortened(text)}' must be whole numbers with commas between them, for example 42,123,456"
        )
    if long := next((part for part in parts if len(part) > 10 or int(part) > LARGEST_SEED), None):
        raise BadInput(f"{flag}: {long[:20]} is too large; a seed is at most {LARGEST_SEED}")
    seeds = [int(part) for part in parts]
    if len(set(seeds)) < len(seeds):
        raise BadInput(
            f"{flag}: '{shortened(text)}' has a seed twice, which would count the same run as two; give distinct ones"
        )
    return seeds
