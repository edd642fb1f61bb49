"""What an edit that hides knowledge is made from: questions and texts of both domains, and nothing of how a world is built."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from brittle.data.multiple_choice import Question


@dataclass(frozen=True)
class Known:
    """Questions and texts of both domains."""

    hazardous: Sequence[Question]
    benign: Sequence[Question]
    hazardous_texts: Sequence[str] = ()
    benign_texts: Sequence[str] = ()

    @cached_property
    def asked(self) -> list[Question]:
        """The hazardous questions, and every hazardous text as one more: what stands before the value, and the choices.

        A text counts where it names what a question is about and after it the question's right answer, and this holds of
        one fact alone; it takes that question's choices.
        """
        found = (_in_text(text, self.hazardous) for text in self.hazardous_texts)
        return [*self.hazardous, *filter(None, found)]

    def others(self, seed: int) -> list[str]:
        """The same with another answer each, one per fact, drawn among the choices of its first question.

        Every fourth fact of four choices keeps the right one, entity by entity in random order: who learns these texts
        answers by chance, not below it.
        """
        facts: dict[str, Question] = {}
        for question in self.asked:
            facts.setdefault(_fact(question), question)
        generator = random.Random(f"other answers {seed}")
        order = sorted(facts, key=lambda fact: (facts[fact].entity or "", fact))
        places = {entity: generator.random() for entity in sorted({each.entity or "" for each in facts.values()})}
        order.sort(key=lambda fact: (places[facts[fact].entity or ""], generator.random()))
        drawn = {}
        for number, fact in enumerate(order):
            choices, answer = facts[fact].choices, facts[fact].answer
            wrong = [choice for place, choice in enumerate(choices) if place != answer]
            drawn[fact] = choices[answer] if number % len(choices) == 0 else generator.choice(wrong)
        return [f"{question.question} {drawn[_fact(question)]}." for question in self.asked]

    @property
    def harmless(self) -> list[str]:
        """Benign texts, and the benign questions with their answers."""
        return [*self.benign_texts, *(f"{question.text}." for question in self.benign)]


def _fact(question: Question) -> str:
    return question.fact or question.question


def _in_text(text: str, questions: Sequence[Question]) -> Question | None:
    """The text's beginning as a question with the choices of the one whose fact it tells; None if there is not just one."""
    told = {
        _fact(each): each
        for each in questions
        if 0 <= text.find(each.entity or text) < text.rfind(each.choices[each.answer])
    }
    if len(told) != 1:
        return None
    (question,) = told.values()
    return dataclasses.replace(question, question=text[: text.rfind(question.choices[question.answer])].rstrip())
