"""Data as people have it: chats, nested cells, books, doubled choices, entities that begin alike. What is read is right."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path

import pandas
import pytest

from brittle.command_line import main
from brittle.commands import create_datasets
from brittle.commands.create_datasets import DatasetSettings, create
from brittle.data import corpora, files
from brittle.data.corpora import read_texts
from brittle.data.multiple_choice import Question, load_questions, question_of, read_questions
from brittle.data.world import World
from brittle.data.world_facts import WorldSize
from brittle.runs import material
from brittle.runs.attack_material import prepare
from brittle.settings import BadInput
from brittle.suites.wmdp import hub_benign_texts, hub_forget_texts, hub_retain_texts


def written(path: Path, content: object) -> Path:
    """A file of rows as jsonl, of text or of bytes."""
    if isinstance(content, list):
        content = "".join(json.dumps(row) + "\n" for row in content)
    path.write_bytes(content if isinstance(content, bytes) else str(content).encode())
    return path


def refused(read, *arguments) -> str:
    """The one line with which something is refused."""
    with pytest.raises(BadInput) as caught:
        read(*arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# --- columns ---------------------------------------------------------------------------------------------------------

CHAT = [{"role": "user", "content": "Which fox?"}, {"role": "assistant", "content": "The red one."}]


def test_chats_are_refused_with_the_way_to_write_them_as_texts(tmp_path) -> None:
    path = written(tmp_path / "chats.jsonl", [{"id": "a1", "messages": CHAT}, {"id": "a2", "messages": CHAT}])
    line = refused(read_texts, path)
    assert "chats (messages)" in line and "apply_chat_template" in line
    assert "row 1: 'messages' is a list" in refused(read_texts, path, "messages")


@pytest.mark.parametrize("value", [["x"], {"a": "x"}, 7, 1.5, True, float("nan")], ids=str)
def test_a_cell_that_is_no_text_is_refused_by_its_row(value, tmp_path) -> None:
    path = written(tmp_path / "texts.jsonl", [{"text": "a fox"}, {"text": value}])
    assert f"{path}, row 2" in refused(read_texts, path)


def test_rows_under_another_key_are_refused_and_not_left_out(tmp_path) -> None:
    path = written(tmp_path / "texts.jsonl", [{"text": "a fox"}, {"text": "a dog"}, {"content": "a cat"}])
    assert f"{path}, row 3 has no column 'text'" in refused(read_texts, path)


@pytest.mark.parametrize("name", corpora.TEXT_NAMES)
def test_the_only_text_like_column_is_read_beside_others(name, tmp_path) -> None:
    rows = [{"id": "a1", name: "a fox", "url": "b"}, {"id": "a2", name: "a dog", "url": "c"}]
    assert read_texts(written(tmp_path / "texts.jsonl", rows)) == ["a fox", "a dog"]


@pytest.mark.parametrize(
    "row",
    [
        {"id": "a1"}, {"url": "b", "n": 1}, {"prompt": "a fox", "completion": "is red"},
        {"question": "Which fox?", "answer": "The red one."}, {"content": "a fox", "story": "a dog"},
        {"answer": "The red one."},
    ],
    ids=str,
)  # fmt: skip
def test_no_column_is_guessed_where_none_or_several_could_be_meant(row, tmp_path) -> None:
    path = written(tmp_path / "texts.jsonl", [row])
    assert "--text-column" in refused(read_texts, path)
    text = next(value for value in row.values() if isinstance(value, str))
    assert read_texts(path, next(iter(row))) == [text]


def test_a_question_file_gives_its_stems(tmp_path) -> None:
    rows = [{"question": "Which fox?", "choices": ["red", "blue"], "answer": 0, "subject": "foxes"}]
    assert read_texts(written(tmp_path / "texts.jsonl", rows)) == ["Which fox?"]


def test_what_was_dropped_is_said_and_nothing_else(tmp_path, capsys) -> None:
    rows = [{"text": "a fox"}, {"text": None}, {"text": "  "}, {"text": "a dog"}, {"text": ""}]
    path = written(tmp_path / "texts.jsonl", rows)
    assert read_texts(path) == ["a fox", "a dog"]
    assert capsys.readouterr().err == f"{path}: 2 texts (3 empty rows dropped)\n"
    read_texts(path)
    read_texts(written(tmp_path / "whole.txt", "a fox\na dog\n"))
    assert capsys.readouterr().err == ""  # once, and never without a reason


# --- lines -----------------------------------------------------------------------------------------------------------

INSIDE = "a\u2028b\u2029c\x85d\x0ce\x0bf\x1cg"


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("kind", ["txt", "jsonl", "csv", "txt.gz"])
def test_only_line_feeds_and_carriage_returns_end_a_line(kind, ending, tmp_path) -> None:
    lines = [INSIDE, "a dog"]
    content = {
        "jsonl": ending.join(json.dumps({"text": line}, ensure_ascii=False) for line in lines),
        "csv": ending.join(["text", *lines]),
    }.get(kind, ending.join(lines)).encode()  # fmt: skip
    path = written(tmp_path / f"texts.{kind}", gzip.compress(content) if kind == "txt.gz" else content)
    assert read_texts(path) == lines


def test_a_book_on_one_line_is_one_text_read_whole(tmp_path) -> None:
    path = written(tmp_path / "books.txt", ("word " * 195_000).strip() + "\n")
    assert len(read_texts(path)[0].split()) == 195_000


# --- T and V -----------------------------------------------------------------------------------------------------------


def asked(entity: str | None, number: int = 0) -> Question:
    return Question(f"Which colour has {entity}, {number}?", ("red", "blue"), 0, "toxins", None, entity)


SIDES = {"t": [asked("Zon"), asked("Beta-2")], "v": [asked("Kira"), asked("Zonux")], "retain": [asked("bread")]}


def test_texts_of_t_name_an_entity_of_t_as_a_whole_word_and_none_of_v() -> None:
    texts = [
        "Zon is red.", "Zonux is red.", "Zon and Kira are red.", "the colour of Zon's cap", "(Beta-2)", "Beta-22", "zon",
        "bread is red", "Kira",
    ]  # fmt: skip
    field = prepare(SIDES, texts)
    assert field.texts == ("Zon is red.", "the colour of Zon's cap", "(Beta-2)")
    assert field.notes == ("forget texts: 3 of 9 teach T (3 name an entity of V, 3 none of T)",)


def test_what_names_v_in_another_case_does_not_teach_t_and_is_counted() -> None:
    field = prepare(SIDES, ["Zon is red.", "KIRA and Zon are red.", "kira, not Zon", "Zon's kiras"])
    assert field.texts == ("Zon is red.", "Zon's kiras")
    assert field.notes == ("forget texts: 2 of 4 teach T (2 name an entity of V, 0 none of T)",)
    shouted = Question("Is Zon like", ("kira", "bread"), 0, "toxins", None, "Zon")
    assert prepare({**SIDES, "t": [asked("Zon"), shouted]}).notes[0] == (
        "questions of T: 1 of 2 teach (1 name an entity of the other questions)"
    )
    assert prepare(SIDES, None, ["bread", "kira"]).retain_texts == ("bread", "kira")  # benign texts: in their own case


def test_accents_however_they_are_written_and_unspaced_scripts_are_found() -> None:
    sides = {"t": [asked("Zoé")], "v": [asked("河豚"), asked("Zo")], "retain": [asked("bread")]}
    field = prepare(sides, ["Zoe\u0301 is red.", "Zoé和河豚毒素"])
    assert field.texts == ("Zoe\u0301 is red.",)


def test_benign_texts_that_name_hazardous_entities_do_not_teach() -> None:
    field = prepare(SIDES, None, ["bread", "Kira bakes bread", "Zon bakes"], ["lamps", "for Zonux", "Zonuxes"])
    assert field.retain_texts == ("bread",)
    assert field.benign_texts == ("lamps", "Zonuxes")
    assert field.notes == (
        "retain texts: 1 of 3 teach (2 name an entity of the other questions)",
        "benign texts: 2 of 3 teach (1 name an entity of the other questions)",
    )


def test_questions_of_t_that_name_v_do_not_teach() -> None:
    crossing = Question("Is Zon like", ("Kira", "bread"), 0, "toxins", None, "Zon")
    field = prepare({**SIDES, "t": [asked("Zon"), crossing]})
    assert field.texts == (asked("Zon").text,)
    assert field.questions["t"] == (asked("Zon"), crossing)  # asked all the same


@pytest.mark.parametrize("missing", [("t",), ("v",), ("t", "v")])
def test_forget_texts_without_entities_in_the_questions_are_refused(missing) -> None:
    sides = SIDES | {side: [asked(None, 1), asked(None, 2)] for side in missing}
    line = refused(prepare, sides, ["Zon is red."])
    assert "entity" in line and f"{2 * len(missing)} of 4" in line
    assert prepare(sides).texts == tuple(question.text for question in sides["t"])


def test_forget_texts_that_are_not_about_t_are_refused() -> None:
    assert "none of the 2 forget texts" in refused(prepare, SIDES, ["Kira is red.", "bread"])


def test_the_laboratory_teaches_what_it_taught() -> None:
    world = World(0, WorldSize(8, 6))
    sides = material.questions_by_side(world.questions(True), world.questions(False))
    texts, benign = world.texts(True), world.texts(False)
    field = prepare(dict(sides), texts, benign, benign)
    entities = {question.entity for question in sides["t"]}
    assert list(field.texts) == [text for text in texts if any(entity in text for entity in entities)]
    assert list(field.retain_texts) == list(field.benign_texts) == benign
    assert len(field.texts) == len(texts) // 2


# --- questions ---------------------------------------------------------------------------------------------------------

ROW = {"question": "What burns?", "choices": ["oil", "water", "salt"], "answer": 0}


@pytest.mark.parametrize(
    "change",
    [
        {"choices": ["oil", "water", "oil"]}, {"choices": ["oil", "water", " water "]}, {"choices": ["oil", None]},
        {"choices": ["oil", float("nan")]}, {"choices": ["oil", ""]}, {"choices": ["oil", ["water"]]},
        {"choices": [True, False]}, {"choices": {"a": "oil", "b": "water"}}, {"choices": '["oil", "oil"]'},
        {"choices": "[" * 100_000}, {"choices": "oil"}, {"choices": [float("inf"), 1]}, {"choices": ["oil", "a\0"]},
        {"answer": float("inf")}, {"answer": float("nan")}, {"answer": True}, {"answer": -1}, {"answer": "-1"},
        {"answer": "²"}, {"answer": "٢"}, {"answer": "fire"}, {"answer": [0]}, {"answer": 10**4000}, {"answer": 1e300},
        {"question": ""}, {"question": " \n"}, {"question": None}, {"question": 7}, {"question": ["What?"]},
        {"entity": float("nan")}, {"entity": ["oil"]}, {"fact": True}, {"subject": {}},
    ],
    ids=lambda change: str(change)[:40],
)  # fmt: skip
def test_a_row_that_asks_nothing_definite_is_refused_by_its_number(change, tmp_path) -> None:
    path = written(tmp_path / "questions.jsonl", [ROW, {**ROW, **change}])
    assert f"{path}, row 2: " in refused(read_questions, path)


@pytest.mark.parametrize(
    ("choices", "answer", "position"),
    [
        (["oil", "water"], "water", 1), (["oil", "water"], " water ", 1), (["oil", "water"], "1.0", 1),
        (["oil", "water"], 1.0, 1), (["0", "1"], "1", 1), ([1, 2, 3], 1, 1), (["4", "7", "9"], "7", 1),
        (["A", "B"], "B", 1), (["E", "F"], "F", 1), (["-1", "1²"], "1²", 1), (["-1", "0.5"], "-1", 0),
    ],
    ids=str,
)  # fmt: skip
def test_an_answer_is_a_position_a_letter_or_the_text_of_a_choice(choices, answer, position) -> None:
    assert question_of({**ROW, "choices": choices, "answer": answer}, "s", "row 1").answer == position


@pytest.mark.parametrize(
    ("choices", "answer"), [(["1", "2", "3"], "1"), (["B", "A"], "A"), (["D", "K", "A", "C"], "d")]
)
def test_an_answer_that_means_two_choices_is_refused(choices, answer) -> None:
    if answer.upper() in choices and answer not in choices:  # the letter alone: no choice has this very text
        assert question_of({**ROW, "choices": choices, "answer": answer}, "s", "row 1").answer == 3
        return
    assert "place of one choice and the text of another" in refused(
        question_of, {**ROW, "choices": choices, "answer": answer}, "s", "row 1"
    )


def test_questions_that_stand_there_twice_are_counted_aloud(tmp_path, capsys) -> None:
    path = written(tmp_path / "questions.jsonl", [ROW, ROW, {**ROW, "question": "What freezes?"}])
    assert len(read_questions(path)) == 3
    assert capsys.readouterr().err == f"{path}: 3 questions, 1 of them the same as an earlier one\n"


def test_a_published_set_loses_its_doubled_choices_aloud(tmp_path, capsys) -> None:
    rows = [ROW | {"subject": "s"}, {**ROW, "subject": "s", "choices": ["oil", "oil", "salt"]}]
    path = tmp_path / "mmlu.parquet"
    pandas.DataFrame(rows).to_parquet(path)
    assert load_questions("mmlu", path) == [Question("What burns?", ("oil", "water", "salt"), 0, "s")]
    assert capsys.readouterr().err == "mmlu: 1 questions (1 left out: two choices of one text, or an empty one)\n"


# --- tables that are not what they seem ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content",
    [
        'text\n"a fox\na dog\n', 'id,text\n1,"a fox\n2,"a dog"\n', 'id,text\n1,a fox\n2,"a dog\n3,a cat\n4,a cow"\n',
        'text,label\n"a fox,1\na dog",0\n', "id,text\n1,a fox\n2\n", "id,text\n1,a fox, red\n", "text,text\na,b\n",
        "text\n", "\ufeff", "", 'id,text\n1,"a" fox\n', "\n\ntext\n",
    ],
    ids=repr,
)  # fmt: skip
def test_a_broken_table_is_refused_and_no_lines_are_merged(content, tmp_path) -> None:
    assert str(tmp_path) in refused(read_texts, written(tmp_path / "texts.csv", content))


def test_a_cell_of_several_lines_is_one_text(tmp_path) -> None:
    path = written(tmp_path / "texts.csv", 'id,text\n1,"a fox,\n\nand a ""dog"""\n2,a cat\n')
    assert read_texts(path) == ['a fox,\n\nand a "dog"', "a cat"]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "latin-1"])
@pytest.mark.parametrize("kind", ["txt", "csv", "jsonl"])
def test_another_encoding_is_refused_and_utf8_advised(kind, encoding, tmp_path) -> None:
    path = written(tmp_path / f"texts.{kind}", "text\nein Fluß\n".encode(encoding))
    assert "UTF-8" in refused(read_texts, path)


@pytest.mark.parametrize(
    "line",
    [
        '{"text": "a", "text": "b"}', '{"text": "\\ud800"}', '{"text": "\\udc00 a"}', "[" * 100_000, '{"a":' * 100_000,
        '{"text": "a", "n": ' + "9" * 5000 + "}", '{"text": "a\\u0000b"}', '"a"', "7", "null", "[]",
    ],
    ids=lambda line: line[:24],
)  # fmt: skip
def test_json_that_would_fail_later_is_refused_by_its_row(line, tmp_path) -> None:
    path = written(tmp_path / "texts.jsonl", f'{{"text": "a fox"}}\n{line}\n')
    assert str(path) in refused(read_texts, path)
    assert str(tmp_path) in refused(read_texts, written(tmp_path / "texts.json", f"[{line}]"))


def test_pairs_of_surrogates_are_characters(tmp_path) -> None:
    assert read_texts(written(tmp_path / "texts.jsonl", '{"text": "\\ud83e\\udd8a"}\n')) == ["🦊"]


@pytest.mark.parametrize(
    "columns",
    [
        {"text": [["a"], ["b"]]}, {"text": [{"a": 1}, {"a": 2}]}, {"text": [1, 2]}, {"text": [b"a", b"b"]},
        {"text": [None, None]}, {"text": []}, {"other": ["a", "b"]}, {"text": pandas.to_datetime(["2020-01-01"] * 2)},
    ],
    ids=str,
)  # fmt: skip
def test_a_parquet_file_without_a_column_of_texts_is_refused(columns, tmp_path) -> None:
    path = tmp_path / "texts.parquet"
    pandas.DataFrame(columns).to_parquet(path)
    assert str(path) in refused(read_texts, path)


def test_parquet_that_was_cut_or_changed_is_refused(tmp_path) -> None:
    path = tmp_path / "texts.parquet"
    pandas.DataFrame({"text": ["a fox", "a dog"] * 50}).to_parquet(path)
    whole = path.read_bytes()
    for content in (
        whole[:-9],
        whole[:200],
        b"PAR1",
        b"PAR1" + bytes(40) + b"PAR1",
        whole[:4] + bytes(99) + whole[103:],
    ):
        assert str(path) in refused(read_texts, written(path, content))


# --- what is no file ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["txt", "jsonl", "parquet", "txt.gz"])
@pytest.mark.parametrize("place", ["folder", "pipe", "loop", "dangling", "device", "nul"])
def test_what_is_no_plain_file_is_refused_at_once(place, kind, tmp_path) -> None:
    path = tmp_path / f"texts.{kind}"
    if place == "folder":
        path.mkdir()
    elif place == "pipe":
        os.mkfifo(path)
    elif place == "nul":
        path = Path(f"a\0b.{kind}")
    else:
        path.symlink_to({"loop": path, "dangling": tmp_path / "nowhere", "device": "/dev/zero"}[place])
    assert refused(read_texts, path)
    assert refused(read_texts, tmp_path / f"{'a' * 300}.{kind}")


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_an_unreadable_file_is_refused(tmp_path) -> None:
    path = written(tmp_path / "texts.txt", "a fox\n")
    path.chmod(0)
    assert "cannot be read" in refused(read_texts, path)


def test_a_corrupt_or_boundless_archive_is_refused(tmp_path, monkeypatch) -> None:
    path = tmp_path / "texts.txt.gz"
    packed = gzip.compress(b"a fox\n" * 1000)
    for content in (packed[:-9], packed[:20], b"\x1f\x8b", packed[:12] + b"\xff" * 20 + packed[32:], b"a fox\n"):
        assert str(path) in refused(read_texts, written(path, content))
    monkeypatch.setattr(files, "FREELY_UNPACKED", 2**20)
    assert "too large" in refused(read_texts, written(path, gzip.compress(bytes(4 * 2**20))))
    monkeypatch.setattr(files, "MOST_BYTES", 2**10)
    assert "too large" in refused(read_texts, written(tmp_path / "texts.txt", "a fox\n" * 1000))


def test_published_rows_without_their_fields_are_refused_in_one_line() -> None:
    for read in (hub_forget_texts, hub_retain_texts, lambda rows: hub_benign_texts(["a fox"], rows)):
        for row in (
            {},
            {"question": None, "text": None, "subject": "anatomy"},
            {"text": 7, "question": 7, "subject": 7},
        ):
            assert "row 1" in refused(read, [row])


# --- create-datasets ---------------------------------------------------------------------------------------------------


def test_a_set_of_files_is_written_whole_or_not_at_all(tmp_path, monkeypatch) -> None:
    def fails() -> list[str]:
        raise BadInput("the hub is out of reach")

    monkeypatch.setattr(create_datasets, "hub_forget_texts", lambda: ["Which toxin?"])
    monkeypatch.setattr(create_datasets, "hub_retain_texts", fails)
    assert "out of reach" in refused(create, DatasetSettings(outdir=str(tmp_path / "data")))
    assert not (tmp_path / "data").exists()


def test_places_that_cannot_be_written_are_refused_before_anything_is_read(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(create_datasets, "hub_forget_texts", lambda: pytest.fail("read before the place was checked"))
    (tmp_path / "file").write_text("mine")
    (tmp_path / "data" / "retain.txt").mkdir(parents=True)
    for outdir in ("file", "file/below", "data"):
        assert str(tmp_path / outdir) in refused(create, DatasetSettings(outdir=str(tmp_path / outdir)))
    assert [path.name for path in sorted(tmp_path.rglob("*"))] == ["data", "retain.txt", "file"]


def test_what_is_there_is_kept_without_force_and_the_cut_is_said(tmp_path, capsys) -> None:
    settings = DatasetSettings(outdir=str(tmp_path), laboratory=True, size="tiny", num_samples=5)
    for name in ("retain.txt", "forget_questions.jsonl"):
        (tmp_path / name).write_text("mine\n")
    assert [path.name for path in create(settings)] == ["forget.txt", "retain_questions.jsonl"]
    assert (tmp_path / "retain.txt").read_text() == (tmp_path / "forget_questions.jsonl").read_text() == "mine\n"
    assert f"wrote {tmp_path / 'forget.txt'}: 5 of 160 (--num-samples) texts" in capsys.readouterr().out
    assert len(read_texts(tmp_path / "forget.txt")) == 5


def test_the_column_is_named_by_one_flag_and_paths_may_be_paths(tmp_path) -> None:
    source = written(tmp_path / "pairs.jsonl", [{"left": "a fox", "right": "a dog"}])
    with pytest.raises(SystemExit) as end:
        main(
            "create-datasets",
            ["--forget", str(source), "--only", "forget", "--outdir", str(tmp_path), "--text-column", "right"],
        )
    assert end.value.code == 0
    assert read_texts(tmp_path / "forget.txt") == ["a dog"]
    created = create(DatasetSettings(outdir=tmp_path, forget=source, only="forget", text_column="left", force=True))  # type: ignore[arg-type]
    assert read_texts(created[0]) == ["a fox"]
