"""Benchmarks through lm-eval: our questions as a task score as our scorer does; the WMDP variants are valid task files."""

from __future__ import annotations

import json
import sys

import pytest
from tiny_loaded import tiny_loaded

from brittle.command_line import main
from brittle.data.multiple_choice import Question
from brittle.evaluation import multiple_choice_accuracy, published_benchmarks
from brittle.settings import BadInput

WORDS = ["fox", "amber resin", "the sea", "lazy dog", "river", "a quick brown fox"]
QUESTIONS = [
    Question(f"Which {first} is the {second}?", (first, second, "it may only hide it", "dog"), number % 4, "words")
    for number, (first, second) in enumerate((a, b) for a in WORDS for b in WORDS if a != b)
]


@pytest.fixture(scope="module")
def loaded():
    return tiny_loaded("gpt_neox")


def test_our_questions_as_a_task_score_as_our_scorer_does(loaded) -> None:
    expected = multiple_choice_accuracy.evaluate(loaded, QUESTIONS)["accuracy"]
    found = published_benchmarks.evaluate(loaded, [], {"words": QUESTIONS})
    assert 0 < expected < 1
    assert found["words"]["acc,none"] == pytest.approx(expected, abs=1e-12)


def test_the_wmdp_variants_are_tasks_that_lm_eval_reads(tmp_path) -> None:
    published_benchmarks.write_wmdp_variants(tmp_path)
    known = published_benchmarks.task_manager(None, True)
    assert known is published_benchmarks.task_manager(None, True)  # made once
    wanted = {"wmdp_bio_robust", "wmdp_bio_shortcut", "wmdp_bio_categorized_mcqa", "wmdp_bio_cloze_verified"}
    assert wanted <= set(known.all_tasks)
    group = json.loads((tmp_path / "wmdp_bio_categorized_mcqa.yaml").read_text())
    members = [json.loads((tmp_path / f"{name}.yaml").read_text()) for name in group["task"]]
    assert sorted(len(member["task"]) for member in members) == [6, 6]


def test_a_table_of_headlines() -> None:
    results = {"mmlu": {"acc,none": 0.254}, "wikitext": {"word_perplexity,none": 17.123}, "other": {"acc,none": 1.0}}
    text = published_benchmarks.summary_markdown("a-model", results)
    assert "| MMLU | 25.4 % |" in text
    assert "| WikiText word perplexity | 17.12 |" in text
    assert "other" not in text


def test_refusals_in_one_line(loaded, monkeypatch) -> None:
    with pytest.raises(BadInput, match="knows no task 'wmdp_chemistry_2'.*--include-path"):
        published_benchmarks.evaluate(loaded, ["wmdp_chemistry_2"])
    monkeypatch.setitem(sys.modules, "lm_eval", None)
    with pytest.raises(BadInput, match="uv sync --extra benchmarks"):
        published_benchmarks.evaluate(loaded, ["mmlu"])


def test_the_program_asks_a_laboratory_model_its_own_questions(tmp_path, capsys) -> None:
    """``experiment/eval.py`` on the tiny laboratory: the record, and a second run that finds it complete."""
    arguments = ["--model", "laboratory:base@tiny-0", "--outroot", str(tmp_path), "--device", "cpu"]
    for _ in range(2):
        with pytest.raises(SystemExit) as end:
            main("evaluate", arguments)
        assert end.value.code in (0, None)
    (folder,) = tmp_path.glob("*/benchmarks")
    results = json.loads((folder / "summary.json").read_text())["results"]
    assert {"laboratory_t", "laboratory_v", "laboratory_retain"} <= set(results)
    assert "laboratory t" in (folder / "high_level_summary.md").read_text()
