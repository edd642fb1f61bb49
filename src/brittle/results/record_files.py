"""Records of an outputs folder and the summaries beside them."""

from __future__ import annotations

import math
import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from brittle.records import RECORD
from brittle.results.reader import Reader, kind_of, number
from brittle.results.unplanned import record_folders


def read_records(reader: Reader, within: Collection[str] | None = None) -> dict[str, Mapping[str, Any]]:
    """Every record below the outputs, with what it says of itself in the form that it belongs.

    ``within`` are the folders of models and pairs to read; other folders that hold attacks on single models count by their names.
    """
    found: dict[str, Mapping[str, Any]] = {}
    for place in record_folders(reader.outputs):
        if within is not None and not _is_within(place.relative_to(reader.outputs), within):
            continue
        path = place / RECORD
        if not (record := reader.object(path)):
            continue
        kinds: dict[str, Any] = {"fingerprint": str, "started": str, "versions": dict, "machine": dict, "notes": dict}
        wrong = [key for key, kind in kinds.items() if key in record and not isinstance(record[key], kind)]
        wrong += ["seconds"] if "seconds" in record and math.isnan(number(record["seconds"])) else []
        for key in wrong:
            reader.leave_out(path, f"its {key} is {kind_of(record[key])}")
        found[str(place.relative_to(reader.outputs))] = {
            key: value for key, value in record.items() if key not in wrong
        }
    return found


def _is_within(place: Path, folders: Collection[str]) -> bool:
    """Whether a record is about one of the models or pairs: its folder is theirs, or begins with a model's name, as runs of attacks do."""
    return any(part in folders or part.partition("__seed")[0].rpartition("__")[0] in folders for part in place.parts)


def read_summaries(reader: Reader, records: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Of every record, the JSON file beside it, by the folder that it belongs to and the diagnostic (``A__to__B/NAME``)."""
    found: dict[str, Mapping[str, Any]] = {}
    for name in records:
        files = [path for path in sorted((reader.outputs / name).glob("*.json")) if path.name != RECORD]
        if files:
            place = (reader.outputs / name).resolve()
            found[f"{os.path.relpath(place.parent, reader.outputs.resolve())}/{place.name}"] = reader.object(files[0])
    return found
