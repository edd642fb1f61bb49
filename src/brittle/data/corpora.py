"""Texts and rows from local files and from the hub."""

from __future__ import annotations

import bisect
import csv
import gzip
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from brittle.records import write_text
from brittle.settings import BadInput

FORGET_SOURCE = ("cais/wmdp", "wmdp-bio", "test")
BENIGN_SOURCE = ("cais/mmlu", "all", "test")
BENIGN_SUBJECTS = ("anatomy", "college_biology", "high_school_biology", "human_aging", "medical_genetics", "nutrition")
RETAIN_SOURCE = ("Salesforce/wikitext", "wikitext-2-raw-v1", "train")
MOST_TEXTS = 10_000
SHORTEST_RETAIN_TEXT = 50
"""WikiText lines of at most this many characters are headings and fragments."""


def read_texts(path: Path | str, column: str = "text", limit: int | None = None) -> list[str]:
    """Texts from txt (one a line), jsonl, json, csv or parquet (``column``, or the only column of strings)."""
    path = Path(path)
    if _suffix(path) == ".txt":
        texts = _opened(path, lambda file: file.read().splitlines())
    else:
        rows = read_rows(path)
        name = _text_column(path, rows, column)
        texts = [str(row[name]) for row in rows if row.get(name)]
    texts = [stripped for text in texts if (stripped := text.strip())]
    if not texts:
        raise BadInput(
            f"{path} holds no text; write it with: brittle create-datasets --laboratory, or name another file"
        )
    return texts[:limit]


def write_texts(path: Path | str, texts: Iterable[str]) -> None:
    """One text a line (line breaks become spaces), whole or not at all."""
    write_text(Path(path), "".join(" ".join(text.split()) + "\n" for text in texts))


def read_rows(path: Path) -> list[dict[str, Any]]:
    """The rows of a jsonl, json, csv or parquet file as dictionaries."""
    readers: dict[str, Callable[[Any], list[dict[str, Any]]]] = {
        ".jsonl": lambda file: [json.loads(line) for line in file if line.strip()],
        ".json": json.load, ".csv": _read_csv,
    }  # fmt: skip
    suffix = _suffix(path)
    if suffix == ".parquet":
        rows = _read_parquet(path)
    elif suffix in readers:
        rows = _opened(path, readers[suffix])
    else:
        raise BadInput(
            f"{path}: '{suffix}' is not a kind of file that can be read; use txt, jsonl, json, csv or parquet"
        )
    if not isinstance(rows, list) or not rows or not all(isinstance(row, dict) for row in rows):
        raise BadInput(f"{path} holds no rows; it must be a list of objects with named fields")
    return rows


def hub_rows(repository: str, configuration: str, split: str) -> Sequence[Mapping[str, Any]]:
    """A data set of the hub, as it is published."""
    import datasets

    try:
        return datasets.load_dataset(repository, configuration, split=split)
    except Exception as problem:  # the library raises many kinds; all mean that the rows cannot be had
        reason = str(problem).partition("\n")[0][:120]
        raise BadInput(
            f"{repository} cannot be read from the hub ({type(problem).__name__}: {reason}); check the network and HF_TOKEN, "
            "or work offline with --laboratory or local files"
        ) from None


def hub_forget_texts(rows: Sequence[Mapping[str, Any]] | None = None) -> list[str]:
    """The stems of the WMDP-Bio questions. ``rows`` of the same schema stand in for the hub."""
    rows = hub_rows(*FORGET_SOURCE) if rows is None else rows
    return [str(row.get("question") or row["prompt"]).strip() for row in rows][:MOST_TEXTS]


def hub_retain_texts(rows: Sequence[Mapping[str, Any]] | None = None) -> list[str]:
    """The lines of WikiText-2 with more than 50 characters."""
    rows = hub_rows(*RETAIN_SOURCE) if rows is None else rows
    texts = (str(row["text"]).strip() for row in rows)
    return [text for text in texts if len(text) > SHORTEST_RETAIN_TEXT][:MOST_TEXTS]


def hub_benign_texts(forget: Sequence[str], rows: Sequence[Mapping[str, Any]] | None = None) -> list[str]:
    """Stems of MMLU's harmless biology questions, as long as the ``forget`` stems: what mere topic and form do."""
    rows = hub_rows(*BENIGN_SOURCE) if rows is None else rows
    return matched_in_length(
        [str(row["question"]).strip() for row in rows if row["subject"] in BENIGN_SUBJECTS], forget
    )


def matched_in_length(candidates: Sequence[str], like: Sequence[str]) -> list[str]:
    """Half of the candidates, so chosen that their lengths in words are spread as those of ``like``; in their order.

    At evenly spaced ranks of ``like`` the candidate nearest in length is taken that is still there.
    """
    lengths = sorted(len(text.split()) for text in like)
    left = sorted((len(text.split()), place) for place, text in enumerate(candidates))
    number = len(candidates) // 2
    chosen = []
    for rank in range(number):
        wanted = lengths[(2 * rank + 1) * len(lengths) // (2 * number)]
        after = bisect.bisect_left(left, (wanted, -1))
        near = min(range(max(after - 1, 0), min(after + 1, len(left))), key=lambda i: abs(left[i][0] - wanted))
        chosen.append(left.pop(near)[1])
    return [candidates[place] for place in sorted(chosen)]


def _suffix(path: Path) -> str:
    return Path(path.stem).suffix if path.suffix == ".gz" else path.suffix


def _opened(path: Path, read: Callable[[Any], Any]) -> Any:
    if not path.is_file():
        raise BadInput(
            f"{path} does not exist; write it with: brittle create-datasets --laboratory, or name another file"
        )
    open_it: Callable[..., Any] = gzip.open if path.suffix == ".gz" else open
    try:
        with open_it(path, "rt", encoding="utf-8-sig") as file:
            return read(file)
    except (UnicodeDecodeError, json.JSONDecodeError, csv.Error, gzip.BadGzipFile, EOFError) as problem:
        raise BadInput(
            f"{path} cannot be decoded ({problem}); it must be UTF-8 text of the kind its name says"
        ) from None


def _read_csv(file: Any) -> list[dict[str, Any]]:
    csv.field_size_limit(2**31 - 1)
    return list(csv.DictReader(file))


def _read_parquet(path: Path) -> list[dict[str, Any]]:
    import pyarrow
    import pyarrow.parquet

    if not path.is_file():
        raise BadInput(f"{path} does not exist; name another file")
    try:
        return pyarrow.parquet.read_table(path).to_pylist()
    except (pyarrow.ArrowInvalid, OSError) as problem:
        raise BadInput(f"{path} is not a readable parquet file ({str(problem).splitlines()[0]})") from None


def _text_column(path: Path, rows: Sequence[Mapping[str, Any]], column: str) -> str:
    if column in rows[0]:
        return column
    strings = [name for name, value in rows[0].items() if isinstance(value, str)]
    if len(strings) != 1:
        raise BadInput(f"{path} has no column '{column}'; its columns are {', '.join(map(str, rows[0]))}")
    return strings[0]
