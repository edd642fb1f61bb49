"""``benchmarks/savings.py``: what is exchanged, what is asked, and how often V's namesakes in T give its answer away."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

from brittle.data.world_facts import Fact
from brittle.suites.laboratory import Laboratory

FILE = Path(__file__).parents[1] / "benchmarks" / "savings.py"


@pytest.fixture(scope="module")
def savings() -> Any:
    found = importlib.util.spec_from_file_location("savings", FILE)
    assert found and found.loader
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


def fact(entity: str, value: str) -> Fact:
    return Fact("toxins", entity, "source", value, "toxin", "source", "has", 0)


def test_exchanged_answers_are_all_wrong_and_as_frequent(savings: Any) -> None:
    questions, v, t = savings.facts_of_v(Laboratory("tiny", 0))
    other = savings.exchanged(v, 0)
    own = {each.identifier: each.value for each in v}
    assert len(other) == len(v) == len(t) == len(questions)
    assert all(each.value != own[each.identifier] for each in other)
    for relation in {each.relation for each in v}:
        before, after = (sorted(f.value for f in facts if f.relation == relation) for facts in (v, other))
        assert before == after
    assert [each.value for each in savings.exchanged(v, 1)] != [each.value for each in other]


def test_questions_ask_for_what_was_taught(savings: Any) -> None:
    questions, v, _ = savings.facts_of_v(Laboratory("tiny", 0))
    assert savings.asked_with(questions, v) == questions
    other = savings.exchanged(v, 0)
    asked = savings.asked_with(questions, other)
    values = {each.identifier: each.value for each in other}
    assert asked and all(each.choices[each.answer] == values[each.fact] for each in asked)


def test_values_that_cannot_be_exchanged_are_refused(savings: Any) -> None:
    with pytest.raises(ValueError, match="'source' cannot be exchanged"):
        savings.exchanged([fact("Arn bel", "oak"), fact("Arn cor", "oak"), fact("Dun bel", "elm")], 0)


def test_namesakes_share_the_first_word(savings: Any) -> None:
    v = [fact("Arn bel", "oak"), fact("Dun bel", "elm"), fact("Eld bel", "ash")]
    t = [fact("Arn cor", "oak"), fact("Arn fen", "elm"), fact("Dun cor", "ash"), fact("Gar bel", "ash")]
    assert savings.namesakes_right(v, t) == (0.25, 2)
