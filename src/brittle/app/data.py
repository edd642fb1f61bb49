"""The page *Data*: what is understood of a file of texts or questions, as ``brittle check-data`` says it."""

from __future__ import annotations

import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import streamlit as st

from brittle.app import imports, shown
from brittle.runs.data_check import CheckSettings, check
from brittle.settings import resolve

READINGS = ("auto", "texts", "questions")
KINDS = ["jsonl", "json", "csv", "tsv", "parquet", "txt"]


def page() -> None:
    """A file by its path or from this browser, and what is understood of it."""
    shown.begin(
        "Data",
        "What Brittle understands of your file, before anything is trained or measured. Nothing is changed or kept.",
    )
    path = st.text_input(
        "Path of a file on this machine", key="file", bind="query-params", placeholder="data/questions.csv"
    )
    sent = st.file_uploader("Or a file from your browser", type=KINDS)
    given = _settings()
    if sent is not None:
        with tempfile.TemporaryDirectory() as folder:
            copied = Path(folder) / f"sent{Path(sent.name).suffix.lower()}"
            copied.write_bytes(sent.getvalue())
            _show(copied, given, sent.name)
    elif path.strip():
        _show(Path(path.strip()).expanduser(), given)


def _settings() -> dict[str, Any]:
    """How the file is to be read: what differs from the defaults."""
    with st.expander("How it is read"):
        reading = st.selectbox("Read it as", READINGS, key="reading", bind="query-params")
        column = st.text_input("Column of the texts", key="column", bind="query-params", placeholder="found by itself")
        first = st.selectbox(
            "Number of the first answer choice", ["found by itself", "0", "1"], key="first", bind="query-params"
        )
        model = st.text_input(
            "Model whose tokenizer measures lengths",
            key="model",
            bind="query-params",
            placeholder="none: in characters",
        )
    given: dict[str, Any] = {"reading": reading or "auto"}
    given |= {"text_column": column.strip()} if column.strip() else {}
    given |= {"answers_from": first} if first in ("0", "1") else {}
    return given | ({"model": model.strip()} if model.strip() else {})


def _show(file: Path, given: dict[str, Any], name: str = "") -> None:
    """The lines as the command prints them; of a file that was sent, by its own name."""
    lines = shown.attempt(partial(_lines, file, given))
    if lines is not None:
        st.code("\n".join([name or lines[0], *lines[1:]]), language=None, wrap_lines=True)


def _lines(file: Path, given: dict[str, Any]) -> list[str]:
    if "model" in given:
        imports.models()
    return check(file, resolve(CheckSettings, given))
