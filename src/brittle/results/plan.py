"""Which models and pairs an outputs folder holds: ``comparison.json``, read with care, or what else names them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from brittle.places import RECORD
from brittle.results import unplanned
from brittle.results.reader import Reader, kind_of
from brittle.settings import BadInput, near_path


def plan(reader: Reader) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The models and the pairs of ``comparison.json``; entries that cannot be read are left out.

    Where there is no such file, what tables and records name; a record that names no model is enough.

    Raises:
        BadInput: there is no model left, or neither that file nor a record.
    """
    path = reader.outputs / "comparison.json"
    if not reader.outputs.is_dir() and (hint := near_path(reader.outputs, folders=True)):
        raise BadInput(f"there is no folder {reader.outputs}{hint}")
    if not path.exists() and unplanned.record_folders(reader.outputs):
        return unplanned.found(reader)
    content = reader.object(path)
    models, names = [], set[str]()
    for number, entry in enumerate(_list(reader, path, content, "models")):
        reason = _wrong_model(entry, names)
        if reason:
            reader.leave_out(path, f"model {number + 1} {reason}")
        else:
            names.add(entry["name"])
            models.append(entry)
    if not models:
        problem = next((f": {line}" for line in reader.left_out if line.startswith(path.name)), "")
        raise BadInput(f"{path} is missing or lists no models{problem}; run the pipeline or brittle demo first")
    pairs = []
    for number, entry in enumerate(_list(reader, path, content, "comparisons")):
        parts = [entry.get(key) for key in ("folder", "a", "b")] if isinstance(entry, dict) else [None]
        if not all(isinstance(part, str) and part for part in parts) or not is_name(str(parts[0])):
            reader.leave_out(path, f"comparison {number + 1} names no folder and two models")
        elif unlisted := next((name for name in parts[1:] if name not in names), None):
            reader.leave_out(path, f"comparison {number + 1} is with {unlisted}, which is not listed")
        else:
            pairs.append(entry)
    if not reader.left_out:
        pairs += _unlisted(reader.outputs, models, {pair["folder"] for pair in pairs})
    return models, pairs


def _unlisted(outputs: Path, models: list[dict[str, Any]], listed: set[str]) -> list[dict[str, Any]]:
    """The comparisons from a base that stand there, as one diagnostic leaves them, without being listed."""
    bases = [model["name"] for model in models if model["role"] == "base"]
    pairs = [{"folder": f"{a}{unplanned.BETWEEN}{b['name']}", "a": a, "b": b["name"]} for a in bases for b in models]
    return [
        pair for pair in pairs if pair["folder"] not in listed and any((outputs / pair["folder"]).glob(f"*/{RECORD}"))
    ]


def _list(reader: Reader, path: Path, content: Mapping[str, Any], key: str) -> list[Any]:
    value = content.get(key, [])
    if not isinstance(value, list):
        reader.leave_out(path, f"{key} is {kind_of(value)} where a list belongs")
    return value if isinstance(value, list) else []


def _wrong_model(entry: Any, names: set[str]) -> str:
    """What is wrong with an entry of ``comparison.json``; nothing if it can be used."""
    if not isinstance(entry, dict):
        return f"is {kind_of(entry)} where an object belongs"
    for key in ("name", "role"):
        if not isinstance(entry.get(key), str) or not entry[key].strip():
            return f"has no {key}"
    for key, kind in (("reference", str), ("method", str), ("settings", dict)):
        if entry.get(key) is not None and not isinstance(entry[key], kind):
            return f"has {kind_of(entry[key])} as its {key}"
    if not is_name(entry["name"]):
        return "has a name that no folder can have"
    return "stands there twice" if entry["name"] in names else ""


def is_name(text: str) -> bool:
    """Whether a folder below the outputs can be called that."""
    return "/" not in text and "\0" not in text and text not in (".", "..") and len(text.encode()) < 256
