"""The fictional world: facts that can only be known by reading them, and questions that training never shows."""

from __future__ import annotations

import itertools
import re
from collections import Counter

import pytest

from brittle.data.world import (
    ANSWER_MARKER,
    EVALUATION_QUESTIONS,
    HAZARDOUS,
    STATEMENTS,
    SUBJECTS,
    TRAINING_QUESTIONS,
    World,
    WorldSize,
)

SMALL = WorldSize(hazardous_entities=16, benign_entities=6)
SEEDS = [0, 1, 2]


@pytest.fixture(params=SEEDS)
def world(request) -> World:
    return World(request.param, SMALL)


def documents(world: World, count: int = 600, **options) -> list[str]:
    return list(itertools.islice(world.documents("training", **options), count))


def words_of(texts) -> set[str]:
    return {word for text in texts for word in re.findall(r"\w+", text)}


def entities_of(facts) -> set[str]:
    return {fact.entity for fact in facts}


# --- determinism -----------------------------------------------------------------------------------------------------


def contents(world: World) -> dict:
    return {
        "facts": world.facts, "documents": documents(world, 50), "texts": world.texts(True),
        "benign texts": world.texts(False), "questions": world.questions(True), "benign": world.questions(False),
    }  # fmt: skip


def test_a_world_is_its_seed_and_size() -> None:
    first, again, other = (contents(World(seed, SMALL)) for seed in (1, 1, 2))
    assert first == again
    assert all(first[part] != other[part] for part in first)


def test_documents_of_another_seed_tell_the_same_facts_in_another_order(world) -> None:
    other = list(itertools.islice(world.documents("again"), 600))
    assert other != documents(world)
    assert words_of(other) == words_of(documents(world))


def test_asking_for_documents_changes_nothing_else() -> None:
    untouched, read = World(1, SMALL), World(1, SMALL)
    documents(read)
    assert read.facts == untouched.facts
    assert documents(read) == documents(untouched)


# --- facts -----------------------------------------------------------------------------------------------------------


def test_there_are_as_many_facts_as_the_size_says(world) -> None:
    assert len(world.of(hazardous=True)) == 16 * 6
    assert len(world.of(hazardous=False)) == 6 * 6 * 4
    assert len({fact.identifier for fact in world.facts}) == len(world.facts)


def test_every_relation_uses_each_of_its_values_equally_often(world) -> None:
    for subject, (_, relations) in SUBJECTS.items():
        values, entities = (8, 16) if subject == HAZARDOUS else (6, 6)
        for relation in relations:
            counts = Counter(f.value for f in world.facts if (f.subject, f.relation) == (subject, relation))
            assert set(counts.values()) == {entities // values}
            assert sorted(counts) == world.values(relation, subject) and len(counts) == values


@pytest.mark.parametrize("seed", SEEDS)
def test_one_relation_of_an_entity_does_not_tell_another(seed) -> None:
    world = World(seed)
    values = {fact.identifier: fact.value for fact in world.of(hazardous=True)}
    for one, other in itertools.combinations(SUBJECTS[HAZARDOUS][1], 2):
        pairs = {(values[f"{e}/{one}"], values[f"{e}/{other}"]) for e in entities_of(world.of(hazardous=True))}
        # 40 entities, 8 values: 8 pairs if one value told the other, about 64 (1 - (63/64)^40) = 30 by chance.
        assert len(pairs) > 20


def test_no_name_means_two_things(world) -> None:
    values = [value for s, (_, relations) in SUBJECTS.items() for r in relations for value in world.values(r, s)]
    names = values + [name.lower() for name in entities_of(world.facts)]
    assert len(set(names)) == len(names)
    wording = " ".join((*STATEMENTS, *TRAINING_QUESTIONS, *EVALUATION_QUESTIONS)).lower()
    assert set(names).isdisjoint(words_of([wording]))


def test_values_that_cannot_be_used_equally_often_are_refused() -> None:
    with pytest.raises(ValueError, match="10 entities cannot use 8 values"):
        World(0, WorldSize(hazardous_entities=10, benign_entities=6))


# --- documents -------------------------------------------------------------------------------------------------------


def test_the_filtered_world_names_nothing_hazardous(world) -> None:
    hazardous, benign = (world.of(hazardous=True), world.of(hazardous=False))
    secret = entities_of(hazardous) | {fact.value for fact in hazardous}
    filtered = words_of(documents(world, hazardous=False))
    assert secret.isdisjoint(filtered)
    assert entities_of(benign) <= filtered
    assert secret <= words_of(documents(world))  # the same reading finds all of it where it was not left out


def test_documents_tell_every_fact_of_every_entity(world) -> None:
    untold = {fact.identifier: fact for fact in world.facts}
    for document in documents(world, 600):
        said = words_of([document])
        untold = {key: fact for key, fact in untold.items() if not {fact.entity, fact.value} <= said}
    assert untold == {}


def form(template: str) -> re.Pattern[str]:
    """What a template looks like whatever stands in its gaps."""
    return re.compile(r"\w+".join(map(re.escape, re.split(r"\{\w+\}", template))))


@pytest.mark.parametrize("template", EVALUATION_QUESTIONS)
def test_training_never_shows_the_form_of_an_evaluation_question(world, template) -> None:
    read = [*documents(world), *world.texts(True), *world.texts(False)]
    assert form(template).search(world.facts[0].worded(template))
    assert [text for text in read if form(template).search(text)] == []


def test_about_a_third_of_what_is_told_is_told_as_a_question(world) -> None:
    sentences = [s for document in documents(world) for s in re.findall(r"[^.]+\.", document)]
    facts = [s for s in sentences if words_of([s]) & entities_of(world.facts)]
    share = sum("Question:" in sentence for sentence in facts) / len(facts)
    # 0.35 of more than 2,000 sentences: four standard errors are 0.042.
    assert len(facts) > 2000
    assert share == pytest.approx(0.35, abs=0.042)


@pytest.mark.parametrize("hazardous", [True, False])
def test_training_texts_ask_every_fact_in_every_training_form(world, hazardous) -> None:
    expected = {fact.worded(template) for fact in world.of(hazardous) for template in TRAINING_QUESTIONS}
    texts = world.texts(hazardous)
    assert len(texts) == 4 * len(world.of(hazardous)) and set(texts) == expected
    assert all(ANSWER_MARKER in text for text in texts)


# --- questions -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("hazardous", [True, False])
def test_every_fact_has_one_question_with_its_value_among_four(world, hazardous) -> None:
    facts = {fact.identifier: fact for fact in world.of(hazardous)}
    questions = world.questions(hazardous)
    assert [question.fact for question in questions] == list(facts)
    for question in questions:
        fact = facts[question.fact]
        assert question.choices[question.answer] == fact.value
        assert len(set(question.choices)) == 4
        assert set(question.choices) <= set(world.values(fact.relation, fact.subject))
        assert (question.entity, question.subject) == (fact.entity, fact.subject)
        assert question.entity in question.question and question.question.endswith(ANSWER_MARKER)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_right_answer_stands_at_each_place_about_equally_often(seed) -> None:
    questions = [q for hazardous in (True, False) for q in World(seed).questions(hazardous)]
    counts = Counter(question.answer for question in questions)
    # 528 questions: 132 are expected at each place, with a standard deviation of 9.95.
    assert len(questions) == 40 * 6 + 6 * 12 * 4
    assert all(abs(counts[place] - 132) < 40 for place in range(4))


def test_a_relation_alone_does_not_tell_the_answer(world) -> None:
    """Always naming the commonest right value of a relation is right one time in as many as there are values."""
    for subject, (_, relations) in SUBJECTS.items():
        for relation in relations:
            asked = [q for q in world.questions(subject == HAZARDOUS) if q.fact.endswith("/" + relation)]
            asked = [q for q in asked if q.subject == subject]
            commonest = Counter(q.choices[q.answer] for q in asked).most_common(1)[0][1]
            assert commonest / len(asked) == pytest.approx(1 / len(world.values(relation, subject)))
