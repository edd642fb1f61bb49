"""Texts from local files and from the hub."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from brittle import hub, progress
from brittle.data.files import kind_of, lines_of, read_rows, text_of
from brittle.records import write_text
from brittle.settings import BadInput, setting

TEXT_NAMES = ("content", "prompt", "question", "sentence", "passage", "document", "article", "story")
"""Where there is no column ``text``, the only one of these is the texts."""
PARTNERS = ("answer", "completion", "input", "instruction", "output", "response")
"""Columns that hold the other half of a text: beside one of them no column is guessed."""


def text_column() -> Any:
    """The setting ``text_column``, the same for every command that reads text files."""
    return setting(
        None, f"column of the texts in jsonl, json, csv and parquet (default: text, or the only one of {', '.join(TEXT_NAMES)}); "
        "several with commas between them, such as question,answer, make one text"
    )  # fmt: skip


def read_texts(path: Path | str, column: str | None = None, limit: int | None = None) -> list[str]:
    """Texts from txt (one a line), jsonl, json, csv or parquet, without surrounding space.

    ``column`` names the column of a table, or several with commas between them, whose cells make one text with a space
    between them; by default it is ``text`` or the only text-like one (:data:`TEXT_NAMES`). Every row must have it and hold
    a string there, or nothing: empty rows are dropped, and how many is said.
    """
    path = Path(path)
    found = lines_of(text_of(path)) if kind_of(path) == ".txt" else texts_in(path, read_rows(path), column)
    texts = [text.strip() for text in found if text.strip()]
    if not texts:
        raise BadInput(f"{path} holds no text, only empty lines or rows; name another file")
    if empty := len(found) - len(texts):
        progress.say(f"{path}: {len(texts)} texts ({empty} empty {'row' if empty == 1 else 'rows'} dropped)", once=True)
    return texts[:limit]


def texts_in(path: Path, rows: Sequence[Mapping[str, Any]], column: str | None = None) -> list[str]:
    """The text of every row of a table, empty where a row has none."""
    names = columns_of_texts(path, rows, column)
    return [
        " ".join(filter(None, (_cell(row, name, f"{path}, row {number}") for name in names)))
        for number, row in enumerate(rows, 1)
    ]


def columns_of_texts(path: Path, rows: Sequence[Mapping[str, Any]], column: str | None = None) -> list[str]:
    """The columns that make a text: the one or the several that were named, ``text``, or the only text-like one."""
    if column and "," in column and column not in rows[0]:
        return [_column_of(path, rows, name.strip()) for name in column.split(",") if name.strip()]
    return [_column_of(path, rows, column)]


def _column_of(path: Path, rows: Sequence[Mapping[str, Any]], column: str | None) -> str:
    """The column of the texts: the one that was named, ``text``, or the only text-like one."""
    names = list(rows[0])
    listed = ", ".join(str(name)[:40] for name in names[:12])
    if column or "text" in names:
        chosen = column or "text"
        if chosen not in names and not any(chosen in row for row in rows):
            raise BadInput(f"{path} has no column '{chosen[:60]}'; its columns are {listed}; see --text-column")
        return chosen
    like = [name for name in names if name in TEXT_NAMES + PARTNERS and _holds_text(rows, name)]
    if len(like) == 1 and like[0] in TEXT_NAMES:
        return like[0]
    if len(like) > 1:
        raise BadInput(f"{path}: {' and '.join(like)} could be the texts; choose one with --text-column")
    if chats := [name for name in names if _holds_chats(rows[0][name])]:
        raise BadInput(
            f"{path} holds chats ({chats[0][:40]}), and training reads plain texts: write each chat as one string into a column "
            "text, as the model's chat template words it (tokenizer.apply_chat_template(messages, tokenize=False))"
        )
    raise BadInput(
        f"{path} has no column 'text'; its columns are {listed}; name the one that holds the texts with --text-column"
    )


def _holds_text(rows: Sequence[Mapping[str, Any]], name: str) -> bool:
    return isinstance(next((row[name] for row in rows if row.get(name) is not None), None), str)


def _holds_chats(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and isinstance(value[0], dict)


def _cell(row: Mapping[str, Any], name: str, where: str) -> str:
    """The text of one row, empty where there is none; anything but text is refused."""
    if name not in row:
        raise BadInput(f"{where} has no column '{name[:60]}', which other rows have; give every row the same columns")
    value = row[name]
    if not isinstance(value, str | None):
        hint = "; write each chat as one string" if _holds_chats(value) else "; the texts must be strings"
        raise BadInput(f"{where}: '{name[:60]}' is a {type(value).__name__}, not a text{hint}")
    if "\0" in (value or ""):
        raise BadInput(f"{where}: '{name[:60]}' holds a NUL character, which is no text; remove it")
    return (value or "").strip()


def write_texts(path: Path | str, texts: Iterable[str]) -> None:
    """One text a line (line breaks become spaces), whole or not at all."""
    write_text(Path(path), "".join(" ".join(text.split()) + "\n" for text in texts))


def hub_rows(repository: str, configuration: str, split: str) -> Sequence[Mapping[str, Any]]:
    """A data set of the hub, as it is published."""
    import datasets

    reached = True
    try:
        with hub.without_waiting() as reached:
            rows: Sequence[Mapping[str, Any]] = datasets.load_dataset(repository, configuration, split=split)
        return rows
    except Exception as problem:  # the library raises many kinds; all mean that the rows cannot be had
        reason = f"{type(problem).__name__}: {str(problem).partition(chr(10))[0][:120]}"
        raise BadInput(
            f"{repository} cannot be read from the hub ({reason if reached else hub.NOT_REACHED}); check the network and HF_TOKEN, "
            "or work offline with --laboratory or local files"
        ) from None
