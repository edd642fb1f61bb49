"""Rows of a published data set, from the hub or from a folder that holds the same files under the same names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from brittle.data.corpora import hub_rows
from brittle.data.files import lines_of, parse, read_rows, text_of
from brittle.settings import BadInput

KINDS = (".jsonl", ".json", ".parquet", ".csv")


def published_rows(
    source: str, configuration: str, split: str, named: str, missing_ok: bool = False
) -> Sequence[Mapping[str, Any]]:
    """The rows of one part of a data set.

    Args:
        source: a folder on this disk, or the data set's name on the hub.
        configuration, split: where the part is on the hub.
        named: the part's file in a folder, without its suffix (jsonl, json, parquet or csv).
        missing_ok: a folder without that file gives no rows.

    Raises:
        BadInput: there is no such file, or the hub does not give the rows.
    """
    folder = Path(source).expanduser()
    if not folder.is_dir():
        if folder.is_file():
            raise BadInput(f"{source} is a file; name the folder that holds {named}.jsonl and the like")
        return hub_rows(source, configuration, split)
    found = [folder / f"{named}{kind}" for kind in KINDS if (folder / f"{named}{kind}").is_file()]
    if not found:
        if missing_ok:
            return ()
        raise BadInput(
            f"{folder} holds no {named}.jsonl (or {', '.join(KINDS[1:])}); see docs/measures.md for its files"
        )
    return _rows_of(found[0])


def _rows_of(path: Path) -> Sequence[Mapping[str, Any]]:
    """The rows of a file; a json file may hold one object a line, as many on the hub do."""
    if path.suffix == ".json":
        text = text_of(path)
        if text.lstrip().startswith("{"):
            try:
                return [parse(line) for line in lines_of(text) if line.strip()]
            except ValueError as problem:
                raise BadInput(f"{path} cannot be read as JSON, one object a line ({problem}); mend it") from None
    return read_rows(path)
