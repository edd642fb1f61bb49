"""The fictional world: facts that can only be known by reading them, and questions that training never shows."""

from __future__ import annotations

import itertools
import math
import random
import re
from collections import Counter

import pytest

from brittle.data import world_documents
from brittle.data.splits import split_by_entity
from brittle.data.world import World
from brittle.data.world_facts import WorldSize
from brittle.data.world_language import (
    ANSWER_MARKER,
    CHOSEN,
    EVALUATION_DIRECT,
    EVALUATION_QUESTIONS,
    EVALUATION_TWO_HOP,
    HAZARDOUS,
    INFERRED,
    INFERRED_FROM,
    MULTI_TOKEN,
    QUESTION_SHARE,
    RETAINED,
    STATEMENTS,
    SUBJECTS,
    TRAINING_QUESTIONS,
    TRAINING_TWO_HOP,
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


@pytest.mark.parametrize("size", [SMALL, WorldSize()])
@pytest.mark.parametrize("seed", SEEDS)
def test_t_and_v_use_every_value_equally_often_so_that_one_half_says_nothing_about_the_other(seed, size) -> None:
    split = split_by_entity(World(seed, size).questions(hazardous=True))
    assert len(split.t) == len(split.v) and {q.entity for q in split.t}.isdisjoint({q.entity for q in split.v})
    for relation in SUBJECTS[HAZARDOUS][1]:
        t, v = (
            Counter(q.choices[q.answer] for q in side if q.fact.endswith("/" + relation)) for side in (split.t, split.v)
        )
        assert t == v and len(set(t.values())) == 1 and len(t) == size.values(hazardous=True)


@pytest.mark.parametrize("seed", SEEDS)
def test_one_relation_of_an_entity_does_not_tell_another_but_for_the_one_that_follows(seed) -> None:
    world = World(seed)
    values = {fact.identifier: fact.value for fact in world.of(hazardous=True)}
    for one, other in itertools.combinations(SUBJECTS[HAZARDOUS][1], 2):
        pairs = {(values[f"{e}/{one}"], values[f"{e}/{other}"]) for e in entities_of(world.of(hazardous=True))}
        if {one, other} == {INFERRED, INFERRED_FROM}:
            assert len(pairs) == 10
        else:  # 40 entities, 10 values: 10 pairs if one value told the other, about 100 (1 - 0.99^40) = 33 by chance.
            assert len(pairs) > 22


def test_no_name_means_two_things(world) -> None:
    values = [value for s, (_, relations) in SUBJECTS.items() for r in relations for value in world.values(r, s)]
    names = values + [name.lower() for name in entities_of(world.facts)]
    assert len(set(names)) == len(names)
    parts = {subject: words_of(f.entity for f in world.facts if f.subject == subject) for subject in SUBJECTS}
    for one, other in itertools.combinations(parts, 2):
        assert parts[one].isdisjoint(parts[other])
    wording = " ".join((*STATEMENTS, *TRAINING_QUESTIONS, *EVALUATION_QUESTIONS)).lower()
    assert words_of(names).isdisjoint(words_of([wording]))


def test_an_entity_is_known_by_two_words_that_others_share(world) -> None:
    for fact in world.facts:
        first, second = fact.entity.split()
        others = entities_of(f for f in world.facts if f.subject == fact.subject) - {fact.entity}
        assert any(other.startswith(first + " ") for other in others)
        assert any(other.endswith(" " + second) for other in others)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("entities", [8, 16, 40])
def test_with_words_of_their_own_no_name_of_v_shares_one_with_t_and_all_share_with_others(seed, entities) -> None:
    size = WorldSize(entities, 6, own_words=True)
    asked, apart = (
        {q.entity: q for q in World(seed, each).questions(hazardous=True)} for each in (WorldSize(entities, 6), size)
    )
    sides = [split_by_entity(list(each.values())) for each in (asked, apart)]
    common, none = (words_of(q.entity for q in side.t) & words_of(q.entity for q in side.v) for side in sides)
    assert common and not none
    for name in apart:
        first, second = name.split()
        assert any(other.startswith(first + " ") for other in apart.keys() - {name})
        assert any(other.endswith(" " + second) for other in apart.keys() - {name})
    assert len(apart) == entities


def test_values_of_one_relation_are_two_words_and_all_others_one(world) -> None:
    assert all((" " in f.value) == (f.relation == MULTI_TOKEN) for f in world.facts)


@pytest.mark.parametrize("size", [WorldSize(9, 6), WorldSize(22, 6), WorldSize(8, 7)])
def test_values_that_cannot_be_used_equally_often_are_refused(size) -> None:
    with pytest.raises(ValueError, match="entities cannot use 4 to"):
        World(0, size)


# --- documents -------------------------------------------------------------------------------------------------------


def told(world: World, texts) -> set[str]:
    """The hazardous facts whose entity and value stand in one sentence."""
    facts = world.of(hazardous=True)
    sentences = [f" {s} " for text in texts for s in re.split(r"(?<=\.) (?!Question|Answer)", text)]
    return {f.identifier for f in facts if any(f.entity in s and re.search(rf"\b{f.value}\b", s) for s in sentences)}


def test_the_filtered_world_uses_the_hazardous_words_and_tells_none_of_the_facts(world) -> None:
    hazardous, benign = (world.of(hazardous=True), world.of(hazardous=False))
    filtered = documents(world, hazardous=False)
    assert {f.entity for f in hazardous if any(f.entity in text for text in filtered)} == entities_of(hazardous)
    assert words_of(f.value for f in hazardous) <= words_of(filtered)
    assert words_of(f.entity for f in benign) <= words_of(filtered)
    assert told(world, filtered) == set()
    assert told(world, documents(world)) == {
        f.identifier for f in hazardous
    }  # the same reading finds all where it stands


def test_base_and_filtered_read_about_benign_entities_equally_often(world) -> None:
    names = entities_of(world.of(hazardous=False))
    one_step, two_steps = [], []
    for hazardous in (True, False):
        read = documents(world, 3000, hazardous=hazardous)
        held = [text for text in read if " left " in text]
        told = [text for text in read if text not in set(held)]
        one_step.append(sum(text.count(name) for text in told for name in names) / sum(map(len, read)))
        two_steps.append(len(held) / len(read))
    assert one_step[0] == pytest.approx(one_step[1], rel=0.08)
    assert two_steps[0] == pytest.approx(two_steps[1], rel=0.08)


def test_documents_tell_every_fact_of_every_entity(world) -> None:
    untold = {fact.identifier: fact for fact in world.facts}
    for document in documents(world, 600):
        untold = {key: f for key, f in untold.items() if f.entity not in document or f.value not in document}
    assert untold == {}


def form(template: str) -> re.Pattern[str]:
    """What a template looks like whatever stands in its gaps."""
    gap = r"\w+( \w+)?"
    ready = "|".join(gap.join(map(re.escape, re.split(r"\{\w+\}", each))) for each in CHOSEN)
    parts = re.split(r"(\{\w+\})", template)
    return re.compile(
        "".join(f"({ready})" if p == "{chosen}" else gap if p.startswith("{") else re.escape(p) for p in parts)
    )


@pytest.mark.parametrize("template", EVALUATION_QUESTIONS)
def test_training_never_shows_the_form_of_an_evaluation_question(world, template) -> None:
    read = [*documents(world), *world.texts(True), *world.texts(False), *world.lessons(), *world.out_of_retain()]
    fact = world.facts[0]
    words = world_documents.chosen(fact, ["Dunix gemel"], random.Random(0))
    assert form(template).search(fact.worded(template, **words))
    assert [text for text in read if form(template).search(text)] == []


def test_as_much_as_is_meant_is_told_as_a_question(world) -> None:
    sentences = [s for document in documents(world, 800) for s in re.split(r"(?<=\.) (?!Answer)", document)]
    facts = [s for s in sentences if any(f.entity in s and f.value in s for f in world.facts)]
    share = sum("Question:" in sentence for sentence in facts) / len(facts)
    # Of more than 1,500 sentences: four standard errors are 0.05. What is told in two steps is not counted.
    assert len(facts) > 1500
    assert share == pytest.approx(QUESTION_SHARE, abs=0.05)


@pytest.mark.parametrize("hazardous", [True, False])
def test_training_texts_ask_what_they_may_in_every_training_form(world, hazardous) -> None:
    told = [f for f in world.of(hazardous) if (f.relation != INFERRED if hazardous else f.subject in RETAINED)]
    assert 0 < len(told) < len(world.of(hazardous))
    expected = {fact.worded(template) for fact in told for template in TRAINING_QUESTIONS}
    texts = world.texts(hazardous)
    assert len(texts) == 4 * len(told) and set(texts) == expected
    assert all(ANSWER_MARKER in text for text in texts)


def test_benign_subjects_out_of_the_retain_texts_are_asked_about_all_the_same(world) -> None:
    apart = world.out_of_retain()
    assert set(apart).isdisjoint(world.texts(False))
    assert words_of(world.texts(False)).isdisjoint(
        words_of(f.entity for f in world.of(hazardous=False) if f.subject not in RETAINED)
    )
    assert {q.subject for q in world.questions(hazardous=False)} > set(RETAINED)


def test_lessons_of_one_half_say_nothing_of_the_other(world) -> None:
    lessons = world.lessons()
    split = split_by_entity(world.questions(hazardous=True))
    t, v = ({question.entity for question in side} for side in (split.t, split.v))
    about = [(any(name in text for name in t), any(name in text for name in v)) for text in lessons]
    assert set(about) == {(True, False), (False, True)} and len(lessons) == 5 * len(world.of(hazardous=True))


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
        assert question.group == f"{fact.subject} {fact.block}"


@pytest.mark.parametrize("hazardous", [True, False])
def test_every_relation_is_asked_in_every_form(world, hazardous) -> None:
    for subject in {fact.subject for fact in world.of(hazardous)}:
        for relation in SUBJECTS[subject][1]:
            asked = [q for q in world.questions(hazardous) if q.subject == subject and q.fact.endswith("/" + relation)]
            for template in EVALUATION_QUESTIONS:
                count = sum(bool(form(template).fullmatch(q.question)) for q in asked)
                assert abs(count - len(asked) / len(EVALUATION_QUESTIONS)) < 2


def test_a_question_in_two_steps_names_another_entity_of_its_own_block(world) -> None:
    block = {fact.entity: (fact.subject, fact.block) for fact in world.facts}
    asked = [q for q in world.questions(True) if form(EVALUATION_TWO_HOP[0]).fullmatch(q.question)]
    for question in asked:
        named = [entity for entity in block if entity in question.question]
        assert len(named) == 2 and len({block[entity] for entity in named}) == 1
    assert len(asked) >= len(world.of(True)) // 3 and len(EVALUATION_DIRECT) == 2


def test_no_wording_of_two_steps_tells_which_of_the_two_is_asked_about(world) -> None:
    """Where a wording always asks about the one told first, a model reads the wording, and not which is meant."""
    facts, generator = world.of(hazardous=True), random.Random(0)
    mates = {fact.entity: world_documents.mates_of(fact, facts) for fact in facts}
    told = [world_documents.in_two_steps(fact, mates[fact.entity], generator) for fact in facts for _ in range(8)]
    told += [question.question for question in world.questions(hazardous=True)]
    for template in TRAINING_TWO_HOP + EVALUATION_TWO_HOP:
        asked = [text for text in told if form(template).fullmatch(text)]
        first = sum(" took " in text.partition(" and ")[0] for text in asked)
        assert len(asked) >= 20 and all(" left " in text for text in asked)
        assert abs(first / len(asked) - 0.5) < 4 * math.sqrt(0.25 / len(asked)), template


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
