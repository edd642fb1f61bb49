"""Texts and questions from files of every kind, and what is said when a file cannot be used."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pandas
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from brittle.data.corpora import read_rows, read_texts, write_texts
from brittle.data.multiple_choice import Question, load_questions, question_of, read_questions, write_questions
from brittle.settings import BadInput
from brittle.suites.wmdp import hub_benign_texts, hub_forget_texts, hub_retain_texts, matched_in_length

TEXTS = ["The fox, the dog and 3 ropes.", "Ein Fluß; 山.", 'She said "no".']
WRITERS = {
    "txt": lambda path: path.write_text("\n".join(TEXTS) + "\n", encoding="utf-8"),
    "jsonl": lambda path: path.write_text("".join(json.dumps({"text": text}) + "\n" for text in TEXTS)),
    "json": lambda path: path.write_text(json.dumps([{"text": text} for text in TEXTS])),
    "csv": lambda path: pandas.DataFrame({"text": TEXTS}).to_csv(path, index=False),
    "parquet": lambda path: pandas.DataFrame({"text": TEXTS}).to_parquet(path),
    "txt.gz": lambda path: path.write_bytes(gzip.compress("\n".join(TEXTS).encode())),
    "jsonl.gz": lambda path: path.write_bytes(gzip.compress("".join(f'{{"text": {json.dumps(text)}}}\n' for text in TEXTS).encode())),
}  # fmt: skip
KINDS = ["txt", "jsonl", "json", "csv", "parquet"]


def refused(read, *arguments) -> str:
    """The one line with which a reader refuses."""
    with pytest.raises(BadInput) as caught:
        read(*arguments)
    line = str(caught.value)
    assert line and "\n" not in line
    return line


# --- texts -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", WRITERS)
def test_every_kind_of_file_gives_its_texts(kind, tmp_path) -> None:
    path = tmp_path / f"texts.{kind}"
    WRITERS[kind](path)
    assert read_texts(path) == TEXTS
    assert read_texts(str(path), limit=2) == TEXTS[:2]


@pytest.mark.parametrize("kind", WRITERS)
def test_a_missing_file_is_refused(kind, tmp_path) -> None:
    assert "does not exist" in refused(read_texts, tmp_path / f"absent.{kind}")


@pytest.mark.parametrize("kind", KINDS)
def test_an_empty_file_is_refused(kind, tmp_path) -> None:
    path = tmp_path / f"empty.{kind}"
    path.touch()
    assert str(path) in refused(read_texts, path)


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_that_is_not_what_its_name_says_is_refused(kind, tmp_path) -> None:
    path = tmp_path / f"broken.{kind}"
    path.write_bytes(b"\xff\xfe{\x80 not text \n{]\n")
    assert str(path) in refused(read_texts, path)


@pytest.mark.parametrize(
    ("kind", "content"),
    [
        ("txt", " \n\t\n"), ("jsonl", "\n\n"), ("jsonl", '{"text": ""}\n{"text": "  "}\n'), ("jsonl", "[1, 2]\n"),
        ("json", "[]"), ("json", '{"text": "one object"}'), ("json", '["a string"]'), ("csv", "text,other\n"),
        ("jsonl", '{"text": "a row"}\n"and then a string"\n'),
    ],
)  # fmt: skip
def test_a_file_without_rows_of_text_is_refused(kind, content, tmp_path) -> None:
    path = tmp_path / f"texts.{kind}"
    path.write_text(content)
    assert str(path) in refused(read_texts, path)


def test_an_unknown_kind_of_file_is_refused_with_the_known_ones(tmp_path) -> None:
    assert "use txt, jsonl, json, csv or parquet" in refused(read_texts, tmp_path / "texts.pkl")


def test_the_only_column_of_strings_is_the_text(tmp_path) -> None:
    path = tmp_path / "texts.jsonl"
    path.write_text('{"number": 1, "question": "Which fox?"}\n{"number": 2, "question": "Which dog?"}\n')
    assert read_texts(path) == ["Which fox?", "Which dog?"]


def test_with_several_columns_of_strings_one_is_to_be_named(tmp_path) -> None:
    path = tmp_path / "texts.csv"
    path.write_text("left,right\na fox,a dog\n")
    assert "no column 'text'; its columns are left, right" in refused(read_texts, path)
    assert read_texts(path, column="right") == ["a dog"]


def test_a_long_text_in_a_table_is_read_whole(tmp_path) -> None:
    path = tmp_path / "long.csv"
    path.write_text("text\n" + "fox " * 50_000 + "\n")
    assert len(read_texts(path)[0]) == 4 * 50_000 - 1


@pytest.mark.parametrize("kind", ["txt", "csv"])
def test_the_mark_with_which_some_editors_begin_a_file_is_no_part_of_it(kind, tmp_path) -> None:
    path = tmp_path / f"texts.{kind}"
    path.write_bytes(b"\xef\xbb\xbf" + {"txt": b"a fox\n", "csv": b"text,other\na fox,a dog\n"}[kind])
    assert read_texts(path) == ["a fox"]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\ufeff\0")), min_size=1))
def test_written_texts_are_read_back_with_single_spaces(tmp_path_factory, texts) -> None:
    path = tmp_path_factory.mktemp("texts") / "texts.txt"
    write_texts(path, texts)
    expected = [" ".join(text.split()) for text in texts if text.strip()]
    if expected:
        assert read_texts(path) == expected
    else:
        assert "holds no text" in refused(read_texts, path)


def test_hub_rows_become_stems_and_lines_longer_than_headings() -> None:
    assert hub_forget_texts([{"question": " Which toxin? ", "answer": 1}]) == ["Which toxin?"]
    lines = ["", " = Heading = \n", "x" * 50, "y" * 51 + " \n"]
    assert hub_retain_texts([{"text": line} for line in lines]) == ["y" * 51]


def test_benign_texts_are_harmless_biology_as_long_as_the_forget_texts() -> None:
    rows = [{"question": "cell " * n, "subject": "anatomy"} for n in range(1, 41)]
    rows += [{"question": "virus " * 3, "subject": "virology"}] * 9
    chosen = [len(text.split()) for text in hub_benign_texts(["toxin " * n for n in (3, 4, 5, 6)], rows)]
    assert chosen == list(range(1, 21))  # half of the forty, the shortest
    assert not any("virus" in text for text in hub_benign_texts(["toxin " * 3], rows))


@given(st.lists(st.integers(1, 30), min_size=2, max_size=30), st.lists(st.integers(1, 30), min_size=1, max_size=30))
def test_texts_matched_in_length_are_half_of_the_candidates_each_once(candidates, like) -> None:
    texts = [f"{place} " + "w " * length for place, length in enumerate(candidates)]
    chosen = matched_in_length(texts, ["w " * length for length in like])
    assert len(chosen) == len(set(chosen)) == len(texts) // 2
    assert [text for text in texts if text in chosen] == chosen


def test_matching_a_text_with_itself_finds_its_length() -> None:
    texts = ["a " * length for length in (1, 5, 9, 14, 20, 27)]
    assert [len(t.split()) for t in matched_in_length(texts, ["b " * 5, "b " * 14, "b " * 27])] == [5, 14, 27]


# --- questions -------------------------------------------------------------------------------------------------------

CHOICES = ["ricin", "water", "salt", "air"]
MMLU = [
    {"question": "What burns?", "subject": "chemistry", "choices": CHOICES, "answer": 3},
    {"question": "What dissolves?", "subject": "cooking", "choices": CHOICES, "answer": 2},
]
WMDP = [{"answer": 0, "question": "What harms?", "choices": CHOICES}]


@pytest.mark.parametrize(("reference", "rows"), [("mmlu", MMLU), ("wmdp-bio", WMDP)])
def test_the_hubs_schemas_are_read_from_a_local_parquet_file(reference, rows, tmp_path) -> None:
    path = tmp_path / "test-00000-of-00001.parquet"
    pandas.DataFrame(rows).to_parquet(path)
    questions = load_questions(reference, source=path)
    expected = [Question(r["question"], tuple(CHOICES), r["answer"], r.get("subject", reference)) for r in rows]
    assert questions == expected


@pytest.mark.parametrize("answer", [2, "2", "C", "c", " C "])
def test_an_answer_is_a_position_or_a_letter(answer) -> None:
    question = question_of({"question": "What dissolves?", "choices": CHOICES, "answer": answer}, "cooking", "row 1")
    assert question.answer == 2 and question.text == "What dissolves? salt"


def test_a_question_file_may_be_a_table_with_choices_as_json(tmp_path) -> None:
    path = tmp_path / "kitchen.csv"
    pandas.DataFrame({"question": ["Q?"], "choices": [json.dumps(CHOICES)], "answer": ["B"]}).to_csv(path, index=False)
    assert load_questions(str(path)) == [Question("Q?", tuple(CHOICES), 1, "kitchen")]


@pytest.mark.parametrize(
    "change",
    [
        {"answer": 4}, {"answer": -1}, {"answer": "E"}, {"answer": None}, {"answer": ""}, {"answer": "AB"},
        {"answer": 1.5}, {"choices": ["alone"]}, {"choices": "not json"}, {"choices": None},
        {"question": "A question\nof two lines?", "answer": 9},
    ],
    ids=str,
)  # fmt: skip
def test_a_row_that_is_no_question_is_refused_by_its_number(change, tmp_path) -> None:
    path = tmp_path / "questions.jsonl"
    path.write_text(json.dumps(MMLU[0]) + "\n" + json.dumps({**MMLU[1], **change}) + "\n")
    assert f"{path}, row 2" in refused(read_questions, path)


@pytest.mark.parametrize("missing", ["question", "choices", "answer"])
def test_a_row_without_a_needed_field_is_refused(missing) -> None:
    row = {key: value for key, value in MMLU[0].items() if key != missing}
    assert f"'{missing}'" in refused(question_of, row, "kitchen", "row 1")


names = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1).filter(str.strip)
choice_lists = st.lists(names, min_size=2, max_size=5, unique_by=lambda choice: " ".join(choice.split()))
question_strategy = choice_lists.flatmap(
    lambda choices: st.builds(
        Question, names, st.just(tuple(choices)), st.integers(0, len(choices) - 1), names,
        st.none() | names, st.none() | names,
    )
)  # fmt: skip


@settings(max_examples=50, deadline=None)
@given(st.lists(question_strategy, min_size=1, max_size=4))
def test_written_questions_are_read_back_the_same(tmp_path_factory, questions) -> None:
    path = tmp_path_factory.mktemp("questions") / "questions.jsonl"
    write_questions(path, questions)
    assert read_questions(path) == questions


def test_rows_keep_the_types_of_their_file(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    pandas.DataFrame({"choices": [CHOICES], "answer": [1]}).to_parquet(path)
    assert read_rows(path) == [{"choices": CHOICES, "answer": 1}]
