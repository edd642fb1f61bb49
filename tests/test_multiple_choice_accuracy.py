"""Step 0: accuracy by subject, its intervals, and how questions are drawn."""

from __future__ import annotations

from collections import Counter

import pytest
from tiny_loaded import QUESTIONS, Asked, tiny_loaded

from brittle.evaluation.multiple_choice_accuracy import (
    accuracy_by_subject,
    accuracy_with_interval,
    evaluate,
    sample_uniformly,
    summary_markdown,
)
from brittle.models.likelihood import score
from brittle.settings import BadInput


def test_wilson_interval_of_known_counts():
    """Newcombe 1998, table I: 81 of 263 gives 0.2553 to 0.3662; 0 of 20 gives 0 to 0.1611."""
    found = accuracy_with_interval(81, 263)
    assert (found["interval_low"], found["interval_high"]) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    found = accuracy_with_interval(0, 20)
    assert (found["interval_low"], found["interval_high"]) == pytest.approx((0, 0.1611), abs=5e-5)
    assert found["accuracy"] == 0


def test_accuracy_overall_and_by_subject():
    loaded = tiny_loaded()
    scores = score(loaded, QUESTIONS)
    summary = evaluate(loaded, QUESTIONS)
    assert summary["model"] == loaded.name
    assert summary["questions"] == 5
    assert summary["correct"] == scores.correct[-1].sum()
    assert summary["chance"] == pytest.approx((4 / 4 + 1 / 3) / 5)
    assert list(summary["subjects"]) == ["foxes", "models", "rivers"]
    assert summary["subjects"] == accuracy_by_subject(scores.correct[-1].tolist(), QUESTIONS)
    foxes = [bool(correct) for asked, correct in zip(QUESTIONS, scores.correct[-1]) if asked.subject == "foxes"]
    assert (summary["subjects"]["foxes"]["correct"], summary["subjects"]["foxes"]["questions"]) == (sum(foxes), 2)
    assert sum(part["questions"] for part in summary["subjects"].values()) == 5


def test_the_summary_in_words():
    part = {"accuracy": 0.5, "correct": 2, "questions": 4, "interval_low": 0.15, "interval_high": 0.85}
    text = summary_markdown(
        {"model": "a_model", "format": "letters", "chance": 0.25, "subjects": {"law": part}, **part}
    )
    assert text.startswith("# MMLU: a_model\n")
    assert "Accuracy 50.0 % (15.0 to 85.0) on 4 questions; chance is 25.0 %." in text
    assert "| law | 50.0 % (15.0 to 85.0) | 4 |" in text


def questions(**counts):
    return [Asked(f"{subject} {i}", ("a", "b"), 0, subject) for subject, count in counts.items() for i in range(count)]


def test_questions_are_drawn_evenly_over_subjects():
    pool = questions(**{f"s{index}": 30 for index in range(57)})
    drawn = sample_uniformly(pool)
    counts = Counter(asked.subject for asked in drawn)
    assert len(drawn) == len(set(drawn)) == 1000
    assert len(counts) == 57
    assert set(counts.values()) == {17, 18}
    positions = [pool.index(asked) for asked in drawn]
    assert positions == sorted(positions)


def test_a_small_subject_gives_all_it_has_and_the_others_the_rest():
    drawn = sample_uniformly(questions(small=3, large=50, other=50), 43)
    assert Counter(asked.subject for asked in drawn) == {"small": 3, "large": 20, "other": 20}
    pool = questions(small=3, large=5)
    assert sample_uniformly(pool, 100) == pool
    with pytest.raises(BadInput, match="at least 1"):
        sample_uniformly(pool, 0)


def test_the_seed_and_nothing_else_decides_the_draw():
    pool = questions(a=40, b=40)
    assert sample_uniformly(pool, 10, seed=1) == sample_uniformly(pool, 10, seed=1)
    assert sample_uniformly(pool, 10, seed=1) != sample_uniformly(pool, 10, seed=2)
