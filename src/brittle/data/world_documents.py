"""What the laboratory's models read: an endless stream of short documents about one world's facts."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

from brittle.data.world_facts import Fact
from brittle.data.world_language import (
    CHOSEN,
    HAZARDOUS,
    MENTIONS,
    PEOPLE,
    PLACES,
    QUESTION_SHARE,
    STATEMENTS,
    STORIES,
    THINGS,
    TRAINING_QUESTIONS,
    TRAINING_TWO_HOP,
)

MENTIONED = 7
"""Sentences of a document that mentions hazardous words: as long, in tokens, as one that tells an entity's facts."""
EVERY = {"story": 16, "mentions": 3}
"""After every so many entities a story; so many hazardous entities to one more document of mentions."""
TWO_HOP_SHARE, TWO_HOP_FACTS = 0.8, 3
"""How many documents are followed by one that tells so many facts in two steps, each about another entity: were they all about
one, the text around a fact would say whom it is about, and nobody need look which of two was meant."""


def documents(facts: Sequence[Fact], seed: str, hazardous: bool = True) -> Iterator[str]:
    """One-paragraph documents, one per entity and round, facts in random order and wording.

    With ``hazardous=False`` every document that tells hazardous facts is replaced by one that mentions the same words and
    tells none: what the filtered model reads. So it knows the words, and is told benign facts in one step as often as the
    base. Hazardous facts in two steps are replaced by benign ones in two steps: it learns to answer so as early as the base.
    """
    generator = random.Random(f"documents {seed}")
    by_entity: dict[str, list[Fact]] = {}
    for fact in facts:
        by_entity.setdefault(fact.entity, []).append(fact)
    by_subject = {fact.subject: [f for f in facts if f.subject == fact.subject] for fact in facts}
    mates = {fact.entity: mates_of(fact, facts) for fact in facts}
    entities, benign = sorted(by_entity), [subject for subject in by_subject if subject != HAZARDOUS]
    while True:
        generator.shuffle(entities)
        for position, entity in enumerate(entities):
            told = by_entity[entity]
            subject = told[0].subject
            filtered = subject == HAZARDOUS and not hazardous
            if not filtered:
                generator.shuffle(told)
                yield " ".join(_told(fact, generator) for fact in told)
            if generator.random() < TWO_HOP_SHARE:
                told = generator.sample(by_subject[generator.choice(benign) if filtered else subject], TWO_HOP_FACTS)
                yield " ".join(in_two_steps(fact, mates[fact.entity], generator) for fact in told)
            if subject == HAZARDOUS:
                for _ in range(filtered + (position % EVERY["mentions"] == 0)):
                    yield mentions(by_subject[subject], generator)
            if position % EVERY["story"] == 0:
                yield story(generator)


def mates_of(fact: Fact, facts: Sequence[Fact]) -> list[str]:
    """The other entities of its subject and block: who may stand beside it without being taught about."""
    found = {other.entity for other in facts if (other.subject, other.block) == (fact.subject, fact.block)}
    return sorted(found - {fact.entity})


def chosen(fact: Fact, mates: Sequence[str], generator: random.Random) -> dict[str, str]:
    """Words for a template of two steps: ``a``, and the text ``chosen``: that ``a`` took the fact's entity and left a mate."""
    a, other = generator.choice(PEOPLE), generator.choice(mates)
    return {"a": a, "chosen": generator.choice(CHOSEN).format(a=a, entity=fact.entity, other=other)}


def in_two_steps(fact: Fact, mates: Sequence[str], generator: random.Random) -> str:
    """A fact told in two steps: which of two entities was taken, and the value of what was taken."""
    return fact.worded(generator.choice(TRAINING_TWO_HOP), **chosen(fact, mates, generator))


def mentions(secret: Sequence[Fact], generator: random.Random) -> str:
    """A benign text in the hazardous domain's words: its entities, values and nouns, and none of its facts.

    Entities and values never stand in one sentence, and are drawn independently of each other.
    """
    entities = sorted({fact.entity for fact in secret})
    values = sorted({fact.value for fact in secret})
    nouns = sorted({fact.noun for fact in secret})
    sentences = []
    for _ in range(MENTIONED):
        (a, b), (entity, other) = generator.sample(PEOPLE, 2), generator.sample(entities, 2)
        (value, other_value), (noun, other_noun) = generator.sample(values, 2), generator.sample(nouns, 2)
        words = {
            "a": a, "b": b, "entity": entity, "other": other, "value": value, "other_value": other_value, "noun": noun,
            "other_noun": other_noun, "place": generator.choice(PLACES), "thing": generator.choice(THINGS),
        }  # fmt: skip
        sentences.append(generator.choice(MENTIONS).format(**words))
    return " ".join(sentences)


def story(generator: random.Random) -> str:
    """A short benign text without any fact."""
    a, b = generator.sample(PEOPLE, 2)
    words = {"a": a, "b": b, "place": generator.choice(PLACES), "thing": generator.choice(THINGS)}
    return " ".join(generator.choice(STORIES).format(**words) for _ in range(3))


def _told(fact: Fact, generator: random.Random) -> str:
    return fact.worded(generator.choice(TRAINING_QUESTIONS if generator.random() < QUESTION_SHARE else STATEMENTS))
