"""The laboratory's facts: triples of entity, relation and value that no model can know beforehand."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from dataclasses import dataclass

from brittle.data.world_language import HAZARDOUS, INFERRED, INFERRED_FROM, MULTI_TOKEN, SUBJECTS


@dataclass(frozen=True)
class Fact:
    """One triple of the world and how its relation is worded."""

    subject: str
    entity: str
    relation: str
    value: str
    kind: str
    noun: str
    verb: str
    block: int
    """Entities of one block have every value of every relation equally often."""

    @property
    def identifier(self) -> str:
        """``entity/relation``, unique in a world."""
        return f"{self.entity}/{self.relation}"

    def worded(self, template: str, **more: str) -> str:
        """The fact in the words of one template; ``more`` fills what is not the fact's own, as who holds the entity."""
        words = {"entity": self.entity, "value": self.value, "kind": self.kind, "noun": self.noun, "verb": self.verb}
        return template.format(**words, **more)


@dataclass(frozen=True)
class WorldSize:
    """How large a world is. Facts = hazardous entities x 6 relations + 6 subjects x benign entities x 4 relations."""

    hazardous_entities: int = 40
    benign_entities: int = 12
    own_words: bool = False
    """Whether every block's names have words of their own, so that none of V shares a word with one of T."""

    def values(self, hazardous: bool) -> int:
        """How many values a relation has: the most, up to 10 (benign: 6), that all blocks can use equally often.

        Hazardous blocks are even in number, so that T and V can have as many each.

        Raises:
            ValueError: there is no such number from 4 on.
        """
        entities, most, parts = (self.hazardous_entities, 10, 2) if hazardous else (self.benign_entities, 6, 1)
        for count in range(most, 3, -1):
            if entities % (parts * count) == 0:
                return count
        raise ValueError(
            f"{entities} {'hazardous' if hazardous else 'benign'} entities cannot use 4 to {most} values equally often"
            + " in both halves" * hazardous
        )


def facts_of(world: int, subject: str, size: WorldSize, names: Iterator[str]) -> list[Fact]:
    """All facts of a subject. Entities come in blocks; within each, a relation's values are dealt once, in random order.

    So no count of values in some blocks says anything about the others. An entity's name is two words, each shared with
    other entities, with ``size.own_words`` of its block alone: what is known about it cannot be tied to a single token.
    """
    kind, relations = SUBJECTS[subject]
    hazardous = subject == HAZARDOUS
    count, values = size.hazardous_entities if hazardous else size.benign_entities, size.values(hazardous)
    generator = random.Random(f"facts {world} {subject}")
    together = values if size.own_words else count
    entities = []
    for _ in range(count // together):
        named = _two_words(together, names)
        generator.shuffle(named)
        entities += named
    dealt: dict[str, list[str]] = {}
    facts = []
    for relation, (noun, verb) in relations.items():
        pool = [next(names).lower() for _ in range(values)]
        if hazardous and relation == MULTI_TOKEN:
            pool = [first + " " + second for first, second in _pairs(values, names)]
        if hazardous and relation == INFERRED:
            follows = dict(zip(sorted(set(dealt[INFERRED_FROM])), pool))
            dealt[relation] = [follows[value] for value in dealt[INFERRED_FROM]]
        else:
            dealt[relation] = [value for _ in range(count // values) for value in generator.sample(pool, values)]
        facts += [
            Fact(subject, entity, relation, value, kind, noun, verb, position // values)
            for position, (entity, value) in enumerate(zip(entities, dealt[relation]))
        ]
    return facts


def invented_names(generator: random.Random) -> Iterator[str]:
    """Distinct three-syllable names. Few different syllables, so a byte-level BPE soon holds each name as one token."""
    syllables = [c + v for c in "bdfgklmnprstvz" for v in "aeiou"]
    generator.shuffle(syllables)
    syllables, seen = syllables[:40], set()
    while True:
        name = "".join(generator.choice(syllables) for _ in range(2)) + generator.choice("lmnrsx")
        if name not in seen:
            seen.add(name)
            yield name.capitalize()


def _two_words(count: int, names: Iterator[str]) -> list[str]:
    return [f"{first.capitalize()} {second}" for first, second in _pairs(count, names)]


def _pairs(count: int, names: Iterator[str]) -> list[tuple[str, str]]:
    """``count`` different pairs of lower-case words, every first word with every second: as many of either as fits."""
    seconds = max(divisor for divisor in range(1, count + 1) if count % divisor == 0 and divisor**2 <= count)
    one = [next(names).lower() for _ in range(count // seconds)]
    two = [next(names).lower() for _ in range(seconds)]
    return list(itertools.product(one, two))
