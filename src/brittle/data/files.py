"""Files as text and rows: what a txt, jsonl, json, csv or parquet file holds, or one line that says why it cannot be used."""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
import re
import stat
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from brittle.settings import BadInput, near_path

DOCUMENTED_TEXTS = {split: f"data/{split}.txt" for split in ("forget", "retain", "benign")}
"""Where create_datasets.py writes texts and every command looks for them, by split; wmdp-bio asks about the forget texts."""
MOST_BYTES = 4 * 2**30
"""No file is read beyond this, packed or unpacked."""
FREELY_UNPACKED = 256 * 2**20
MOST_PACKED = 200
"""Beyond so many bytes, what unpacks to more than 200 times its size is a bomb, not a text."""
MOST_ROWS = 20_000_000
NUMBER = re.compile(r"[+-]?\d+(\.\d*)?")
SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
Row = dict[str, Any]


def kind_of(path: Path) -> str:
    """The suffix that says how a file is read; one before ``.gz`` counts."""
    return Path(path.stem).suffix if path.suffix == ".gz" else path.suffix


def content_of(path: Path) -> bytes:
    """The bytes of a plain file, unpacked if its name ends in gz."""
    try:
        found = os.stat(path)
        if not stat.S_ISREG(found.st_mode):
            raise BadInput(f"{path} is a folder, a device or a pipe, not a plain file; name a file")
        with gzip.open(path) if path.suffix == ".gz" else open(path, "rb") as file:
            return _bounded(path, file, found.st_size if path.suffix == ".gz" else MOST_BYTES)
    except FileNotFoundError:
        raise BadInput(f"{path} does not exist{near_path(path)}{_way_out(path)}") from None
    except (OSError, ValueError, EOFError, zlib.error) as problem:
        reason = getattr(problem, "strerror", None) or problem
        raise BadInput(f"{str(path)[:300]} cannot be read ({reason}); name another file") from None


def _way_out(path: Path) -> str:
    """What to do about a file that is not there: a documented one can be written, one of the user's own is misspelt."""
    if str(path) in DOCUMENTED_TEXTS.values():
        return "; write it with: brittle create-datasets --laboratory, or name another file"
    return "; check the path, seen from the folder that the command was started in"


def _bounded(path: Path, file: gzip.GzipFile | io.BufferedReader, packed: int) -> bytes:
    """All bytes of the file, read in pieces; refused beyond the bounds."""
    pieces, total = [], 0
    while piece := file.read(2**20):
        pieces.append(piece)
        total += len(piece)
        if total > MOST_BYTES or (total > FREELY_UNPACKED and total > MOST_PACKED * packed):
            raise BadInput(f"{path} is too large (more than {total // 2**20} MiB unpacked); divide it into files")
    return b"".join(pieces)


def text_of(path: Path) -> str:
    """The text of a UTF-8 file, without the mark with which some editors begin it."""
    content = content_of(path)
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise BadInput(f"{path} is not UTF-8 but looks like UTF-16; save it as UTF-8")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as problem:
        raise BadInput(
            f"{path} is not UTF-8 text (byte {problem.start} begins no character); save it as UTF-8"
        ) from None
    if "\0" in text:
        raise BadInput(f"{path} holds NUL characters, so it is no UTF-8 text but UTF-16 or no text; save it as UTF-8")
    return text


def lines_of(text: str) -> list[str]:
    """The lines of a text. Only a line feed, a carriage return or both end one; U+2028 and form feeds do not."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return lines if lines[-1] else lines[:-1]


def read_rows(path: Path) -> list[Row]:
    """The rows of a jsonl, json, csv or parquet file as dictionaries."""
    readers: dict[str, Callable[[Path], Any]] = {
        ".jsonl": _read_jsonl, ".json": lambda path: _parsed(text_of(path), str(path)),
        ".csv": _read_csv, ".parquet": _read_parquet,
    }  # fmt: skip
    if kind_of(path) == ".txt":
        raise BadInput(
            f"{path} is a txt file, whose lines are texts; write questions as jsonl, json, csv or parquet: question, choices and "
            "answer in every row"
        )
    if kind_of(path) not in readers:
        raise BadInput(
            f"{path}: '{kind_of(path)}' is not a kind of file that can be read; use txt, jsonl, json, csv or parquet"
        )
    rows = readers[kind_of(path)](path)
    if not isinstance(rows, list) or not rows or not all(isinstance(row, dict) for row in rows):
        raise BadInput(f"{path} holds no rows; it must be a list of objects with named fields")
    return rows


def parse(text: str) -> Any:
    """JSON in which no object names a key twice and every string can be written as UTF-8.

    Raises:
        ValueError: it is not such JSON, is nested too deeply or has a number of more than 4300 digits.
    """
    try:
        value = json.loads(text, object_pairs_hook=_object)
        if SURROGATE.search(text):
            json.dumps(value, ensure_ascii=False).encode()
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except UnicodeEncodeError:
        raise ValueError("half of a surrogate pair stands alone, which is no character") from None
    return value


def _object(pairs: list[tuple[str, Any]]) -> Row:
    row = dict(pairs)
    if len(row) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key {twice[:60]!r} stands there twice")
    return row


def _parsed(text: str, where: str) -> Any:
    try:
        return parse(text)
    except ValueError as problem:
        raise BadInput(f"{where} cannot be read as JSON ({problem}); mend it or name another file") from None


def _read_jsonl(path: Path) -> list[Row]:
    lines = [line for line in lines_of(text_of(path)) if line.strip()]
    return [_parsed(line, f"{path}, row {number}") for number, line in enumerate(lines, 1)]


def _read_csv(path: Path) -> list[Row]:
    csv.field_size_limit(2**31 - 1)
    reader = csv.reader(io.StringIO(text_of(path), newline=""), strict=True)
    try:
        header = next(reader, [])
        rows = [row for row in reader if row]
    except csv.Error as problem:
        raise BadInput(
            f"{path}, line {reader.line_num}: not CSV ({problem}); a quotation mark is missing or not doubled"
        ) from None
    if twice := next((name for name in header if header.count(name) > 1), None):
        raise BadInput(f"{path}: two columns are named '{twice[:60]}'; give each a name of its own")
    for number, row in enumerate(rows, 1):
        if len(row) != len(header):
            raise BadInput(
                f"{path}, row {number}: {len(row)} fields where the header has {len(header)}; "
                "quote fields with commas, and look for a quotation mark that is missing"
            )
        if _swallowed(row):
            raise BadInput(
                f"{path}, row {number}: the lines inside a quoted field look like rows of their own; "
                "close the quotation mark, or write the file as jsonl"
            )
    return [dict(zip(header, row, strict=True)) for row in rows]


def _swallowed(row: list[str]) -> bool:
    """Whether a row with line breaks in its cells would without quotation marks be several rows alike.

    Alike means as many fields, and numbers in at least one same column.
    """
    if not any(end in cell for cell in row for end in "\r\n"):
        return False
    parts = list(csv.reader(lines_of(",".join(row))))
    if any(len(part) != len(row) for part in parts):
        return False
    return any(all(NUMBER.fullmatch(cell.strip()) for cell in column) for column in zip(*parts, strict=True))


def _read_parquet(path: Path) -> list[Row]:
    import pyarrow
    import pyarrow.parquet

    content = content_of(path)
    try:
        file = pyarrow.parquet.ParquetFile(pyarrow.BufferReader(content))
        stored = sum(file.metadata.row_group(group).total_byte_size for group in range(file.metadata.num_row_groups))
        if file.metadata.num_rows > MOST_ROWS or stored > MOST_BYTES:
            raise BadInput(f"{path} is too large ({file.metadata.num_rows} rows); divide it into files")
        rows: list[Row] = file.read().to_pylist()
        return rows
    except (pyarrow.ArrowException, OSError, ValueError) as problem:
        reason = str(problem).strip().partition("\n")[0][:200]
        raise BadInput(f"{path} is not a readable parquet file ({reason}); name another file") from None
