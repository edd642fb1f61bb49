"""Suites that OpenUnlearning's measures are taken on: TOFU and MUSE from small local files of the hub's schemas, the laboratory."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas
import pytest

from brittle.settings import BadInput
from brittle.suites import laboratory_measures, muse, tofu
from brittle.suites.laboratory import Laboratory


def lines(path: Path, rows: list[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def asked(number: int, **more: Any) -> dict[str, Any]:
    row = {"question": f"Who wrote book {number}?", "answer": f"Author {number} wrote it."}
    return row | {"perturbed_answer": [f"Author {number + k} wrote it." for k in (1, 2)]} | more


def write_tofu(folder: Path) -> None:
    reworded = {"paraphrased_answer": "It is by that author."}
    lines(folder / "forget10_perturbed.json", [asked(number, **reworded) for number in range(4)])  # as on the hub
    lines(folder / "retain_perturbed.jsonl", [asked(number, **reworded) for number in range(10, 14)])
    pandas.DataFrame([asked(number) for number in (20, 21)]).to_parquet(folder / "real_authors_perturbed.parquet")
    lines(folder / "world_facts_perturbed.jsonl", [asked(number) for number in (30, 31)])


def write_muse(folder: Path, retain: str = "retain") -> None:
    rows = [{"question": f"Where is {place}?", "answer": f"In the {place}."} for place in ("sea", "river", "fox")]
    for name in ("forget_qa", "forget_qa_icl", f"{retain}_qa", f"{retain}_qa_icl"):
        lines(folder / "knowmem" / f"{name}.jsonl", rows[: 2 if name.endswith("icl") else 3])
    (folder / "verbmem").mkdir()
    (folder / "verbmem" / "forget.json").write_text(json.dumps([{"id": 0, "prompt": "The quick", "gt": "brown fox"}]))
    for name in ("forget", "holdout"):
        lines(folder / "privleak" / f"{name}.jsonl", [{"text": f"a {name} text {number}"} for number in range(3)])


def test_tofu_from_a_folder(tmp_path: Path) -> None:
    write_tofu(tmp_path)
    found = tofu.measuring_set(str(tmp_path))
    assert len(found.forget) == 4 and list(found.kept) == ["retain", "real_authors", "world_facts"]
    first = found.forget[0]
    assert first.choices == (
        "Author 0 wrote it.", "It is by that author.", "Author 1 wrote it.", "Author 2 wrote it.",
    )  # fmt: skip
    assert (
        found.kept["real_authors"][0].choices[:2] == ("Author 20 wrote it.",) * 2
    )  # no other words: the answer itself
    assert [each.text for each in found.memorised] == [each.answer for each in found.forget]
    assert found.members == found.memorised and not found.held_out
    worded = found.worded(tofu.TEMPLATE)
    assert worded.members[0].prompt == "Question: Who wrote book 0?\nAnswer:" and worded.forget == found.forget
    lines(tmp_path / "holdout10.jsonl", [{"question": "Q?", "answer": "A."}])
    assert [each.text for each in tofu.measuring_set(str(tmp_path)).held_out] == ["A."]
    assert len(found.limited(2).forget) == 2 and len(found.limited(2).kept["retain"]) == 2


@pytest.mark.parametrize("retain", ["retain", "retain2"])
def test_muse_from_a_folder(tmp_path: Path, retain: str) -> None:
    write_muse(tmp_path, retain)
    found = muse.measuring_set(str(tmp_path))
    assert (len(found.forget), len(found.kept["retain"]), len(found.examples["forget"])) == (3, 3, 2)
    assert found.worded("Q: {question}").verbatim[0].prompt == "The quick"  # no question
    assert (found.verbatim[0].prompt, found.verbatim[0].text) == ("The quick", "brown fox")
    assert [each.text for each in found.held_out] == [f"a holdout text {number}" for number in range(3)]


def test_what_is_missing_is_said(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="holds no forget10_perturbed.jsonl"):
        tofu.measuring_set(str(tmp_path))
    with pytest.raises(BadInput, match="no split 'forget7'"):
        tofu.measuring_set(str(tmp_path), "forget7")
    with pytest.raises(BadInput, match="knowmem/forget_qa_icl"):
        muse.measuring_set(str(tmp_path))
    write_tofu(tmp_path)
    lines(tmp_path / "forget10_perturbed.json", [asked(0), {"question": "Q?", "answer": 3}])
    with pytest.raises(BadInput, match="TOFU forget10_perturbed, row 2: no text under answer"):
        tofu.measuring_set(str(tmp_path))
    lines(tmp_path / "forget10_perturbed.json", [asked(0), {"question": "Q?", "answer": "A"}])
    with pytest.raises(BadInput, match="row 2: no perturbed_answer"):
        tofu.measuring_set(str(tmp_path))


def test_a_json_file_of_one_object_a_line_or_of_all(tmp_path: Path) -> None:
    write_tofu(tmp_path)
    path = tmp_path / "forget10_perturbed.json"
    expected = tofu.measuring_set(str(tmp_path)).forget
    path.write_text(json.dumps([json.loads(line) for line in path.read_text().splitlines()]))
    assert tofu.measuring_set(str(tmp_path)).forget == expected
    path.write_text('{"question": "Q?"}\n{"question": \n')
    with pytest.raises(BadInput, match="cannot be read as JSON"):
        tofu.measuring_set(str(tmp_path))


def test_the_laboratory_as_a_measuring_set() -> None:
    chosen = Laboratory("tiny")
    found, world = laboratory_measures.measuring_set(chosen), chosen.world
    facts = {fact.identifier: fact for fact in world.of(hazardous=True)}
    assert len(found.forget) == len(facts)
    for each, question in zip(found.forget, chosen.questions()["forget"]):
        assert (
            each.answer == facts[question.fact].value and len(each.perturbed) == 3 and each.answer not in each.perturbed
        )
    assert list(found.kept) == ["retain", "plants", "machines"]
    assert all(text in world.texts(hazardous=True) for text in (f"{p.prompt} {p.text}." for p in found.memorised))
    assert len(found.members) == len(found.held_out) == len(found.verbatim) == laboratory_measures.PASSAGES
    told = {(fact.entity, fact.value) for fact in facts.values()}
    entities = {fact.entity for fact in facts.values()}

    def true_sentences(text: str) -> float:
        parts = [part for part in text.split(". ") if any(entity in part for entity in entities)]
        return sum(any(e in part and v in part for e, v in told) for part in parts) / len(parts)

    assert sum(true_sentences(each.text) for each in found.members) / 64 > 0.85
    assert sum(true_sentences(each.text) for each in found.held_out) / 64 < 0.05
    assert found == laboratory_measures.measuring_set(chosen)
