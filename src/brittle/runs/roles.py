"""Which models stand in an outputs folder and what part each plays: ``comparison.json``, written here."""

from __future__ import annotations

import glob
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from brittle.models.references import Located
from brittle.records import (
    read_record,
    write_json,
)
from brittle.results.plan import plan
from brittle.results.reader import Reader, below
from brittle.settings import BadInput


@dataclass(frozen=True)
class Arm:
    """One model under attack and the part it plays."""

    located: Located
    role: str


def describe(outputs: Path, arms: Sequence[Arm], pairs: Sequence[tuple[Located, Located]] | None = None) -> None:
    """Write ``comparison.json``: which models play which part, for whoever reads the folder later.

    Without ``pairs`` the models join those that stand there already; one that was renamed takes its own place. With
    ``pairs`` they take their place, but for references (filtered, retrained) that were attacked there beside the same base
    and that nothing takes the part of: without them what came back could not be read any more.
    """
    there = plan_of(outputs)
    if pairs is not None:
        kept = _attacked_references(outputs, there["models"], arms)
        there = {"models": kept, "comparisons": []}
    compared = {pair[part] for pair in there["comparisons"] for part in ("a", "b")}
    entries = {entry["name"]: entry for entry in there["models"]}
    for arm in arms:
        former = [name for name, entry in entries.items() if entry.get("digest") == arm.located.digest]
        for name in former:
            if name != arm.located.name and name not in compared:
                del entries[name]
        entries[arm.located.name] = entries.get(arm.located.name, {}) | _entry(arm)
    there["models"] = list(entries.values())
    there["comparisons"] += [{"folder": f"{a.name}__to__{b.name}", "a": a.name, "b": b.name} for a, b in pairs or ()]
    write_json(outputs / "comparison.json", there)


def _attacked_references(outputs: Path, former: Sequence[dict[str, Any]], arms: Sequence[Arm]) -> list[dict[str, Any]]:
    """The former references that an attack's table speaks of, where the base is the one that stood there."""
    bases = [{entry.get("digest") for entry in former if entry["role"] == "base"}]
    bases.append({arm.located.digest for arm in arms if arm.role == "base"})
    if bases[0] != bases[1]:
        return []
    parts, names = {arm.role for arm in arms}, {arm.located.name for arm in arms}
    return [
        entry
        for entry in former
        if entry["role"] in ("filtered", "retrained")
        and entry["role"] not in parts
        and entry["name"] not in names
        and any((outputs / "recovery" / "runs").glob(f"{glob.escape(entry['name'])}__*"))
    ]


def plan_of(outputs: Path) -> dict[str, list[dict[str, Any]]]:
    """What ``comparison.json`` says so far."""
    path = outputs / "comparison.json"
    if not path.exists():
        return {"models": [], "comparisons": []}
    reader = Reader(outputs)
    models, comparisons = plan(reader)
    if reader.left_out:
        raise BadInput(
            f"{path} cannot be added to: {reader.left_out[0]}; mend it, move it away or name another --outroot"
        )
    return {"models": models, "comparisons": comparisons}


def _entry(arm: Arm) -> dict[str, Any]:
    located = arm.located
    entry: dict[str, Any] = {
        "name": located.name,
        "role": arm.role,
        "reference": located.text,
        "digest": located.digest,
    }
    record = read_record(located.folder) or {}
    settings = below(record, "settings")
    if record.get("kind") == "unlearned model" and isinstance(settings.get("method"), str):
        entry |= {"method": settings["method"], "settings": settings, "reference": located.name}
    return entry
