"""What a session refuses before it begins, and how it reports a diagnostic that failed."""

from __future__ import annotations

import traceback
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from brittle.records import Identity, check_file, check_place, is_complete, read_record
from brittle.settings import BadInput


class Told(Exception):
    """What went wrong in another process, in the words that :attr:`Failure.reason` had there."""


@dataclass(frozen=True)
class Failure:
    """A diagnostic that gave no result, where, and why."""

    diagnostic: str
    where: str
    problem: Exception

    @property
    def reason(self) -> str:
        """What went wrong and, where it was not foreseen, in which line."""
        if isinstance(self.problem, BadInput | Told):
            return str(self.problem)
        last = traceback.extract_tb(self.problem.__traceback__)[-1:]
        place = "".join(f" ({Path(frame.filename).name}:{frame.lineno})" for frame in last)
        return f"{type(self.problem).__name__}: {self.problem}{place}"


def check_places(places: Mapping[Path, Iterable[Path]]) -> None:
    """Refuse places of records that hold anything else, and figures outside them that would replace other pictures."""
    from brittle.figures.files import is_ours

    for place, figures in places.items():
        check_place(place)
        for path in figures:
            check_file(path)
            if path.exists() and not is_ours(path):
                raise BadInput(f"{path} is a picture that Brittle did not draw; move it, or name another --plot-outdir")


def stands(place: Path, wanted: Identity) -> bool:
    """Whether a record of the same two models is there, with other settings or controls perhaps; BadInput if it was made
    from otherwise rounded weights or by other code, so that it neither serves nor may be lost."""
    record = read_record(place) or {}
    inputs = record.get("inputs", {})
    own = Identity(wanted.kind, inputs, record.get("settings", {}))
    if not is_complete(place, own) or any(inputs.get(side) != wanted.inputs[side] for side in ("a", "b")):
        return False
    if any(inputs.get(key) != wanted.inputs[key] for key in ("param_dtype", "source")):
        raise BadInput(
            f"{place} was made with another --dtype or by another version of Brittle; run {wanted.kind} again first"
        )
    return True
