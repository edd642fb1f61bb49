"""``brittle check-data`` says what was understood of a file, and refuses what cannot be used in one line."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pandas
import pytest
from tiny_models import TEXTS, tiny_model_folder, tiny_tokenizer

from brittle.command_line import main
from brittle.commands.check_data import CheckSettings, check
from brittle.data.multiple_choice import Question, write_questions
from brittle.data.understood import shares, understand
from brittle.settings import BadInput

QUESTIONS = [
    Question(f"Which toxin is {entity}, {number}?", ("the sea", "river", "a")[: 2 + number % 2], number % 2, "toxins", None, entity)
    for entity in ("Zon", "Kira", "Bo", "Mo")
    for number in range(3)
]  # fmt: skip


def told(file: Path, **settings) -> dict[str, str]:
    """What was printed, by the word at the beginning of a line; lines without one go on with the line before."""
    found: dict[str, str] = {}
    name = ""
    for line in check(file, CheckSettings(**settings))[1:]:
        name = line[:12].strip() if line[:1] != " " else name
        found[name] = (found[name] + "\n" if name in found else "") + line[
            12 if line[:12].strip() in ("", name) else 0 :
        ]
    return found


def asked(folder: Path) -> Path:
    write_questions(folder / "asked.jsonl", QUESTIONS)
    return folder / "asked.jsonl"


def test_a_file_of_questions_is_told_as_it_was_read(tmp_path) -> None:
    found = told(asked(tmp_path))
    assert found["format"] == "jsonl; 12 rows read, 0 empty rows dropped"
    assert found["columns"] == "question, choices, answer, subject, fact, entity, group"
    assert found["read as"] == "questions; choices from the list 'choices'; answers as positions from 0"
    assert found["choices"] == "2 choices in 8, 3 choices in 4; guessing is right in 44.4 %"
    assert found["answers"] == "choice 1: 8, choice 2: 4, choice 3: 0"
    assert found["duplicates"] == "none" and "note" not in found
    assert found["example"].splitlines()[:2] == [
        "row 1, asked as continuation; * is the right choice",
        "  | Which toxin is Zon, 0?",
    ]
    assert found["example"].splitlines()[2:] == ["  * the sea", "    river"]


def test_t_and_v_fall_by_entity_and_what_lacks_one_is_said(tmp_path) -> None:
    lines = told(asked(tmp_path))["T and V"].splitlines()
    assert lines[0] == "as forget questions 6 in T and 6 in V, split by entity"
    names = {name for line in lines[1:] for name in line.partition(": ")[2].split(", ")}
    assert [line[:17] for line in lines[1:]] == ["entities of T (2)", "entities of V (2)"] and names == {
        "Zon",
        "Kira",
        "Bo",
        "Mo",
    }
    path = tmp_path / "nameless.jsonl"
    write_questions(path, [Question(q.question, q.choices, q.answer, q.subject) for q in QUESTIONS])
    assert told(path)["T and V"].startswith(
        "as forget questions 6 in T and 6 in V, split by question\n12 questions have no entity"
    )
    write_questions(path, QUESTIONS[:3])
    assert "as forget questions refused: 3 questions cannot be split" in told(path)["T and V"]


def test_how_many_texts_teach_t_is_told_beside_the_questions(tmp_path) -> None:
    (tmp_path / "forget.txt").write_text(
        "".join(f"{name} is red.\n" for name in ("Zon", "Kira", "Bo", "Mo", "No")), encoding="utf-8"
    )
    found = told(tmp_path / "forget.txt", forget_questions=str(asked(tmp_path)))
    assert found["T and V"] == "2 of 5 teach T (2 name an entity of V, 1 none of T)"
    with pytest.raises(BadInput, match="--forget-questions is read beside a file of texts"):
        told(asked(tmp_path), forget_questions="asked.jsonl")


def test_dropped_rows_and_rows_that_stand_there_twice_are_counted(tmp_path) -> None:
    rows = [{"id": 1, "text": text} for text in ("a fox", "", "a dog", None, "a  fox", "a dog ")]
    path = tmp_path / "texts.json"
    path.write_text(json.dumps(rows), encoding="utf-8")
    found = told(path)
    assert found["format"] == "json; 6 rows read, 2 empty rows dropped"
    assert (found["columns"], found["read as"]) == ("id, text", "texts; from text")
    assert found["duplicates"] == "2 stand in an earlier row, too (rows 5, 6)"
    assert found["length"] == "characters: 10 % up to 5, 50 % up to 5, 90 % up to 6, longest 6"
    assert found["example"] == "a fox"
    write_questions(tmp_path / "twice.jsonl", [*QUESTIONS, QUESTIONS[4]])
    assert told(tmp_path / "twice.jsonl")["duplicates"] == "1 stand in an earlier row, too (rows 13)"


def test_with_a_model_all_is_told_in_its_tokens(tmp_path) -> None:
    folder, tokenizer = tiny_model_folder(tmp_path / "model"), tiny_tokenizer()
    found = told(asked(tmp_path), model=str(folder), max_length=20)
    lines = found["example"].splitlines()
    context, right, wrong = ("".join(re.findall(r"'([^']*)'", line)) for line in lines[1:])
    assert (context, right, wrong) == (QUESTIONS[0].question, " the sea", " river")
    assert lines[0].startswith("row 1") and lines[2].startswith("  * '") and lines[3].startswith("    '")
    longest = [max(len(tokenizer(f"{q.question} {c}")["input_ids"]) for c in q.choices) for q in QUESTIONS]
    assert (
        f"longest {max(longest)}; {sum(n > 20 for n in longest)} of 12 (" in found["length"]
        and "--max-length 20" in found["length"]
    )
    (tmp_path / "texts.txt").write_text("\n".join(TEXTS) + "\n", encoding="utf-8")
    lengths = [len(tokenizer(text)["input_ids"]) for text in TEXTS]
    beyond, cut = sum(n > 20 for n in lengths), sum(max(0, n - 20) for n in lengths)
    assert told(tmp_path / "texts.txt", model=str(folder), max_length=20)["length"].endswith(
        f"longest {max(lengths)}; {beyond} of {len(TEXTS)} ({100 * beyond / len(TEXTS):.1f} %) are longer than --max-length 20, "
        f"{100 * cut / sum(lengths):.1f} % of the tokens lie beyond"
    )


def test_a_file_that_may_count_from_one_is_told_apart(tmp_path) -> None:
    rows = [{"question": f"Which, {n}?", "choices": ["a", "b", "c", "d"], "answer": 1 + n % 3} for n in range(9)]
    path = tmp_path / "q.parquet"
    pandas.DataFrame(rows).to_parquet(path)
    found = told(path)
    assert (
        "--answers-from 1" in found["note"] and found["answers"] == "choice 1: 0, choice 2: 3, choice 3: 3, choice 4: 3"
    )
    found = told(path, answers_from=1)
    assert "note" not in found and found["answers"] == "choice 1: 3, choice 2: 3, choice 3: 3, choice 4: 0"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "it needs FILE"), (("missing.jsonl",), "does not exist"), (("texts.txt", "--as", "questions"), "a txt file"),
        (("texts.txt", "--max-length", "9"), "--model only"), (("texts.txt", "--as", "pictures"), "--as"),
        (("asked.jsonl", "--question-template", "Question:"), "{question}"), (("asked.jsonl", "--answers-from", "2"), "--answers-from"),
        (("asked.jsonl", "--model", "no/such model"), "model"), (("empty.jsonl",), "holds no text"),
    ],
    ids=str,
)  # fmt: skip
def test_what_cannot_be_checked_is_one_line(arguments, words, tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    asked(tmp_path)
    (tmp_path / "texts.txt").write_text("a fox\n", encoding="utf-8")
    (tmp_path / "empty.jsonl").write_text('{"text": ""}\n', encoding="utf-8")
    with pytest.raises(SystemExit) as end:
        main("check-data", list(arguments))
    said = capsys.readouterr()
    assert (end.value.code, said.out, said.err.count("\n")) == (2, "", 1) and words in said.err


def test_a_question_file_is_read_as_texts_where_that_is_wanted(tmp_path) -> None:
    assert understand(asked(tmp_path), "texts", "question").texts == tuple(q.question for q in QUESTIONS)
    assert understand(asked(tmp_path), "auto", "question,subject").texts[0] == "Which toxin is Zon, 0? toxins"
    assert told(asked(tmp_path), reading="texts")["read as"] == "texts; from question"


def test_shares_are_of_lengths_in_order() -> None:
    assert shares([5, 1, 4, 2, 3, 6, 7, 8, 9, 10]) == [(0.1, 1), (0.5, 5), (0.9, 9), (1.0, 10)]
    assert shares([7]) == [(0.1, 7), (0.5, 7), (0.9, 7), (1.0, 7)]


def test_a_hub_models_tokenizer_is_had_without_its_weights(tmp_path, monkeypatch) -> None:
    import huggingface_hub
    from tiny_models import tiny_model_folder

    folder, wanted = tiny_model_folder(tmp_path / "model"), []

    def hub(identifier: str, revision: str | None = None, allow_patterns=()) -> str:
        wanted.append((identifier, revision, list(allow_patterns)))
        return str(folder)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", hub)
    (folder / "model.safetensors").unlink()
    assert "tokens" in told(asked(tmp_path), model="someone/model@v1")["length"]
    ((identifier, revision, patterns),) = wanted
    assert (identifier, revision) == ("someone/model", "v1")
    assert "tokenizer.json" in patterns and not any(
        "safetensors" in pattern and "index" not in pattern for pattern in patterns
    )
    assert "tokens" in told(asked(tmp_path), model=str(folder))["length"]  # a folder needs no weights for that either
