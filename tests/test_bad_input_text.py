"""Any bytes at all as texts or questions: strings that can be written, or one line that says why not. Nothing else."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import strange_files
from hypothesis import given, settings
from hypothesis import strategies as st

from brittle.data.corpora import read_texts
from brittle.data.multiple_choice import Question, read_questions
from brittle.settings import BadInput

KINDS = ("txt", "jsonl", "json", "csv", "parquet", "txt.gz", "jsonl.gz", "csv.gz")
MANY = settings(max_examples=150, deadline=None)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("files")


def line_of(read: Callable[[Path], Any], path: Path) -> str | None:
    """The line with which a reader refuses, or None where it read strings that can be written."""
    try:
        found = read(path)
    except BadInput as problem:
        line = str(problem)
        assert line and len(line.splitlines()) == 1 and len(line) < 1000
        return line
    assert found
    for each in found:
        if isinstance(each, Question):
            assert 0 <= each.answer < len(each.choices) == len(set(each.choices))
            json.dumps(vars(each), ensure_ascii=False).encode()
        else:
            assert each.strip() and "\0" not in each
            each.encode()
    return None


@pytest.mark.parametrize("name", strange_files.TEXTS)
def test_strange_texts_are_refused(name, folder) -> None:
    path = folder / name
    path.write_bytes(strange_files.TEXTS[name])
    assert str(path) in (line_of(read_texts, path) or "read")


@pytest.mark.parametrize("name", strange_files.QUESTIONS)
def test_strange_questions_are_refused(name, folder) -> None:
    path = folder / name
    path.write_bytes(strange_files.QUESTIONS[name])
    assert str(path) in (line_of(read_questions, path) or "read")


def test_there_are_many_strange_files_and_their_bytes_are_the_same_every_time() -> None:
    assert len(strange_files.TEXTS) >= 150 and len(strange_files.QUESTIONS) >= 150
    assert strange_files._files() == (strange_files.TEXTS, strange_files.QUESTIONS)


def either(path: Path, content: bytes) -> None:
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    line_of(read_texts, path)
    line_of(read_questions, path)


@MANY
@given(content=st.binary(max_size=200), kind=st.sampled_from(KINDS), packed=st.booleans())
def test_any_bytes(folder, content, kind, packed) -> None:
    path = folder / f"bytes.{kind}"
    either(path, content)
    if path.suffix == ".gz" and not packed:
        path.write_bytes(content)
        line_of(read_texts, path)


@MANY
@given(content=st.text(st.characters(exclude_categories=["Cs"])), kind=st.sampled_from(KINDS))
def test_any_text(folder, content, kind) -> None:
    either(folder / f"text.{kind}", content.encode())


@MANY
@given(content=st.text('ab1,;"\n\r\\[]{}: \u2028\0'), kind=st.sampled_from(("csv", "jsonl", "json")))
def test_any_mixture_of_what_separates(folder, content, kind) -> None:
    either(folder / f"marks.{kind}", f"text,id\n{content}".encode() if kind == "csv" else content.encode())


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda part: st.lists(part, max_size=4) | st.dictionaries(st.text(max_size=5), part, max_size=3),
    max_leaves=8,
)
keys = st.sampled_from(("text", "content", "question", "choices", "answer", "subject", "entity", "fact", "messages"))


@MANY
@given(rows=st.lists(st.dictionaries(keys, values, max_size=6), max_size=4), kind=st.sampled_from(("jsonl", "json")))
def test_any_rows(folder, rows, kind) -> None:
    content = json.dumps(rows) if kind == "json" else "\n".join(map(json.dumps, rows))
    either(folder / f"rows.{kind}", content.encode())


words = st.text(st.characters(), min_size=1, max_size=6) | st.sampled_from(("0", "1", "A", "B", "²", "\ud800"))


@MANY
@given(
    question=words,
    choices=st.lists(words | st.integers() | st.floats(), min_size=2, max_size=4),
    answer=words | st.integers(-2, 5) | st.floats(),
)
def test_any_question(folder, question, choices, answer) -> None:
    row = {"question": question, "choices": choices, "answer": answer}
    either(folder / "question.jsonl", json.dumps(row).encode())
