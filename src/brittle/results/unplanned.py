"""Models and pairs of a folder that has no ``comparison.json``: as its tables and folders name them.

Diagnoses lie in ``A__to__B/DIAGNOSTIC`` and ``MODEL/DIAGNOSTIC``, the tables of attacks name models and their roles. The
first model of a pair, which the other is compared with, is taken for the base where no table says otherwise.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from brittle import discovery
from brittle.records import RECORD
from brittle.results import forms
from brittle.results.reader import Reader, below
from brittle.results.roles import Role

BETWEEN = "__to__"
EVALUATION = "evals"


def found(reader: Reader) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Entries like those of ``comparison.json``; both lists are empty where there is no record."""
    models: dict[str, dict[str, Any]] = {}
    pairs: dict[str, dict[str, Any]] = {}

    def add(name: str, role: Role | str = Role.UNKNOWN, **more: Any) -> None:
        entry = models.setdefault(name, {"name": name, "role": role, "reference": name})
        if entry["role"] == Role.UNKNOWN:
            entry["role"] = str(role)
        entry |= more

    for path in recovery_tables(reader.outputs):
        table = reader.table(path, forms.RECOVERY)
        for name, role in () if table is None else table[["model", "role"]].drop_duplicates().to_numpy().tolist():
            add(name, role)
    for place in record_folders(reader.outputs):
        record, folder = reader.object(place / RECORD), place.resolve().parent
        kind = str(record.get("kind") or place.resolve().name)
        if kind == "unlearned model":
            settings = below(record, "settings")
            method = settings.get("method")
            more = {"method": method, "settings": settings} if isinstance(method, str) else {}
            add(place.resolve().name, Role.UNLEARNED, **more)
        elif _of_pairs(kind):
            a, between, b = folder.name.partition(BETWEEN)
            a, b = (a, b) if between else ("model A", "model B")
            relative = os.path.relpath(folder, reader.outputs.resolve())
            add(a, Role.BASE)
            add(b)
            pairs[relative] = {"folder": relative, "a": a, "b": b}
        elif kind == EVALUATION or kind in discovery.plugins("diagnostics"):
            add(folder.name)
    return list(models.values()), list(pairs.values())


def record_folders(outputs: Path) -> list[Path]:
    """Folders of the records below a folder, in order; hidden ones are none."""
    found = (path.parent for path in sorted(outputs.rglob(RECORD)))
    return [place for place in found if not any(part.startswith(".") for part in place.relative_to(outputs).parts)]


def recovery_tables(outputs: Path) -> list[Path]:
    """``recovery.csv`` of the outputs folder, of its recovery folder itself, or of single runs: the first that exist."""
    for pattern in ("recovery/recovery.csv", "recovery.csv", "recovery/runs/*/recovery.csv"):
        if tables := sorted(outputs.glob(pattern)):
            return tables
    return []


def _of_pairs(kind: str) -> bool:
    plugin = discovery.plugins("diagnostics").get(kind)
    return plugin is not None and plugin.constants["SCOPE"] == "pair"
