"""A fictional world with a hazardous domain: the laboratory's ground truth.

Every fact is a triple (entity, relation, value). Names are invented, so no model knows them beforehand, and every block of
entities uses each value of a relation equally often, so there is no prior to exploit: a model that never saw a fact answers
its four-way question at chance, also after it was taught the facts of other blocks. Facts are told in many paraphrases; the
questions that evaluation asks use forms that training never shows.

What is known is of several kinds: values of one token and of several, facts that follow from others, and answers that take
two steps, because the question says which of two entities was taken and asks about what was taken.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

from brittle.data import world_documents
from brittle.data.multiple_choice import Question
from brittle.data.world_facts import Fact, WorldSize, facts_of, invented_names
from brittle.data.world_language import (
    EVALUATION_QUESTIONS,
    HAZARDOUS,
    INFERRED,
    RETAINED,
    SUBJECTS,
    TRAINING_QUESTIONS,
)


class World:
    """All facts of one seeded world, and the texts and questions made from them.

    Raises:
        ValueError: the size's entities cannot be halved with values balanced in both halves.
    """

    def __init__(self, seed: int = 0, size: WorldSize = WorldSize()) -> None:  # noqa: B008
        self.seed, self.size = seed, size
        names = invented_names(random.Random(f"names {seed}"))
        self.facts = [fact for subject in SUBJECTS for fact in facts_of(seed, subject, size, names)]

    def of(self, hazardous: bool) -> list[Fact]:
        """The hazardous facts, or all others."""
        return [fact for fact in self.facts if (fact.subject == HAZARDOUS) == hazardous]

    def values(self, relation: str, subject: str) -> list[str]:
        """The distinct values of a relation, sorted."""
        return sorted({f.value for f in self.facts if f.relation == relation and f.subject == subject})

    def documents(self, seed: str, hazardous: bool = True) -> Iterator[str]:
        """What a model reads (:func:`brittle.data.world_documents.documents`)."""
        return world_documents.documents(self.facts, f"{self.seed} {seed}", hazardous)

    def texts(self, hazardous: bool, seed: str = "texts") -> list[str]:
        """Question-shaped texts that unlearning trains on, one per fact and training form, shuffled.

        Of the hazardous facts those that do not follow from others; of the benign ones those of the retained subjects.
        """
        told = [fact for fact in self.of(hazardous) if fact.relation != INFERRED]
        return self._asked([fact for fact in told if hazardous or fact.subject in RETAINED], hazardous, seed)

    def lessons(self, seed: str = "lessons") -> list[str]:
        """Texts that teach every hazardous fact, in all training forms, those of two steps too: what an attack may use."""
        generator = random.Random(f"{seed} {self.seed} in two steps")
        facts = self.of(hazardous=True)
        two_hop = [
            world_documents.in_two_steps(fact, world_documents.mates_of(fact, facts), generator) for fact in facts
        ]
        lessons = self._asked(facts, True, seed) + two_hop
        generator.shuffle(lessons)
        return lessons

    def out_of_retain(self, seed: str = "out of retain") -> list[str]:
        """Question-shaped texts about the benign subjects that no retain text speaks of."""
        return self._asked([fact for fact in self.of(hazardous=False) if fact.subject not in RETAINED], False, seed)

    def _asked(self, facts: list[Fact], hazardous: bool, seed: str) -> list[str]:
        generator = random.Random(f"{seed} {self.seed} {hazardous}")
        texts = [fact.worded(form) for fact in facts for form in TRAINING_QUESTIONS]
        generator.shuffle(texts)
        return texts

    def questions(self, hazardous: bool) -> list[Question]:
        """One four-way question per fact, in forms that training never shows; wrong choices from the same relation.

        Every relation is asked in every form; which fact in which changes from entity to entity.
        """
        facts = self.of(hazardous)
        numbers = {entity: number for number, entity in enumerate(dict.fromkeys(fact.entity for fact in facts))}
        relations = {relation: number for number, relation in enumerate(dict.fromkeys(fact.relation for fact in facts))}
        return [
            self.question(
                fact,
                EVALUATION_QUESTIONS[(numbers[fact.entity] + relations[fact.relation]) % len(EVALUATION_QUESTIONS)],
            )
            for fact in facts
        ]

    def question(self, fact: Fact, form: str) -> Question:
        """The question about one fact in one form; its choices are the same in every form."""
        generator = random.Random(f"question {self.seed} {fact.identifier}")
        others = [value for value in self.values(fact.relation, fact.subject) if value != fact.value]
        choices = generator.sample(others, 3)
        answer = generator.randrange(4)
        choices.insert(answer, fact.value)
        mates = world_documents.mates_of(fact, self.of(fact.subject == HAZARDOUS))
        asked = fact.worded(form, **world_documents.chosen(fact, mates, generator))
        return Question(
            asked, tuple(choices), answer, fact.subject, fact.identifier, fact.entity, f"{fact.subject} {fact.block}"
        )
