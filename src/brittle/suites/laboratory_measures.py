"""The laboratory as a source of OpenUnlearning's measures: its facts as questions with answers, its documents as texts trained on.

Questions are those of the evaluation, in forms that training never shows; the wrong choices are the perturbed answers. What must
stay are the subjects that retain texts speak of, and the other benign subjects one by one, so that model utility is a mean of nine
numbers as in TOFU. Memorisation is looked at in the texts that unlearning reads. Members are hazardous documents of the very
stream that the base read; held out are documents of the same wording about the same entities that tell other values: nobody
was taught them, and nothing but the facts tells them apart.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator, Sequence
from dataclasses import replace

from brittle.data.measuring_set import AnsweredQuestion, MeasuringSet, Passage
from brittle.data.multiple_choice import Question
from brittle.data.world_documents import documents
from brittle.data.world_facts import Fact
from brittle.data.world_language import ANSWER_MARKER, INFERRED, RETAINED, TRAINING_QUESTIONS
from brittle.suites.laboratory import Laboratory, role_of

PASSAGES = 64
"""Documents on either side of membership; as many are continued."""
ABOUT_ONE = 4
"""A document in which an entity's name stands so often is about it; others only mention hazardous words."""


def measuring_set(laboratory: Laboratory) -> MeasuringSet:
    """Everything of a laboratory that is measured."""
    world = laboratory.world
    asked = world.questions(hazardous=False)
    subjects = dict.fromkeys(question.subject for question in asked if question.subject not in RETAINED)
    kept = {"retain": [_answered(each) for each in asked if each.subject in RETAINED]}
    kept |= {name: [_answered(each) for each in asked if each.subject == name] for name in subjects}
    told = [fact for fact in world.of(hazardous=True) if fact.relation != INFERRED]
    stream = world.documents(f"training {role_of('base').data_seed}", hazardous=True)
    members = list(itertools.islice(_about_one(stream, world.of(hazardous=True)), PASSAGES))
    untrue = _with_other_values(world.of(hazardous=True), f"other values {world.seed}")
    held_out = list(itertools.islice(_about_one(documents(untrue, f"{world.seed} held out"), untrue), PASSAGES))
    return MeasuringSet(
        [_answered(each) for each in world.questions(hazardous=True)],
        kept,
        memorised=[_halves(fact.worded(TRAINING_QUESTIONS[0])) for fact in told],
        verbatim=[_first_half(text) for text in members],
        members=[Passage("", text) for text in members],
        held_out=[Passage("", text) for text in held_out],
    )


def _answered(question: Question) -> AnsweredQuestion:
    right = question.choices[question.answer]
    return AnsweredQuestion(question.question, right, perturbed=tuple(c for c in question.choices if c != right))


def _about_one(texts: Iterator[str], facts: Sequence[Fact]) -> Iterator[str]:
    """The documents that tell facts of one of the facts' entities."""
    entities = sorted({fact.entity for fact in facts})
    return (text for text in texts if any(text.count(entity) >= ABOUT_ONE for entity in entities))


def _with_other_values(facts: Sequence[Fact], seed: str) -> list[Fact]:
    """The facts with their relation's values passed round: every value as often as before, and none where it was."""
    generator = random.Random(seed)
    instead: dict[tuple[str, str], str] = {}
    for relation in dict.fromkeys(fact.relation for fact in facts):
        values = sorted({fact.value for fact in facts if fact.relation == relation})
        generator.shuffle(values)
        instead |= {(relation, value): other for value, other in zip(values, [*values[1:], values[0]])}
    return [replace(fact, value=instead[fact.relation, fact.value]) for fact in facts]


def _halves(text: str) -> Passage:
    """A question-shaped text: up to the mark of the answer, and the answer without the full stop, which everyone knows."""
    before, after = text.split(ANSWER_MARKER)
    return Passage(before + ANSWER_MARKER, after.strip().removesuffix("."))


def _first_half(text: str) -> Passage:
    words = text.split(" ")
    return Passage(" ".join(words[: len(words) // 2]), " ".join(words[len(words) // 2 :]))
