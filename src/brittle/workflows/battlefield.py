"""Who is attacked, with which texts, and what they are asked: the same for every arm."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from brittle.data.multiple_choice import Question
from brittle.models.references import Located
from brittle.records import fingerprint

RETAIN_QUESTIONS = 144
"""Benign questions asked at every evaluation: enough to see damage (±4 %), few enough to ask often."""


@dataclass(frozen=True)
class Arm:
    """One model under attack and the part it plays."""

    located: Located
    role: str


@dataclass(frozen=True)
class Battlefield:
    """What every arm is attacked with and asked: texts about T and benign ones, questions by side (``t``, ``v``, ``retain``)."""

    texts: tuple[str, ...]
    questions: dict[str, tuple[Question, ...]]
    retain_texts: tuple[str, ...] = ()
    benign_texts: tuple[str, ...] = ()

    @property
    def digest(self) -> str:
        """Content hash of texts and questions."""
        return fingerprint([self.texts, self.questions, self.retain_texts, self.benign_texts])


def prepare(
    sides: dict[str, Sequence[Question]],
    texts: Sequence[str] | None = None,
    retain: Sequence[str] | None = None,
    benign: Sequence[str] | None = None,
) -> Battlefield:
    """Texts about T: of ``texts`` those that name an entity of T and none of V, or the T questions with their answers.

    Without texts of their own, benign attacks teach the benign questions with their answers.
    """
    chosen = [question.text for question in sides["t"]]
    entities = {question.entity for question in sides["t"] if question.entity}
    if texts and entities:
        chosen = [text for text in texts if any(entity in text for entity in entities)]
    step = max(1, len(sides["retain"]) // RETAIN_QUESTIONS)
    kept = {side: tuple(questions) for side, questions in sides.items()} | {"retain": tuple(sides["retain"][::step])}
    answered = [question.text for question in sides["retain"]]
    return Battlefield(tuple(chosen), kept, tuple(retain or answered), tuple(benign or answered))
