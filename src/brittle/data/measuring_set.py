"""What OpenUnlearning's measures are taken on: questions with answers in words, passages to continue, texts trained on or not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from brittle.settings import BadInput


@dataclass(frozen=True)
class AnsweredQuestion:
    """A question whose answer is a text."""

    question: str
    answer: str
    paraphrased: str = ""
    """The answer in other words; where there are none, the answer itself stands for it."""
    perturbed: tuple[str, ...] = ()
    """Wrong answers in the same words."""

    @property
    def choices(self) -> tuple[str, ...]:
        """The answer, the answer in other words, then the wrong ones."""
        return (self.answer, self.paraphrased or self.answer, *self.perturbed)


@dataclass(frozen=True)
class Passage:
    """A text that counts, behind a prompt that does not (perhaps none)."""

    prompt: str
    text: str
    asked: bool = False
    """Whether the prompt is a question, which is worded as the others are."""


@dataclass(frozen=True)
class MeasuringSet:
    """Everything that a suite measures; what is empty is not measured."""

    forget: Sequence[AnsweredQuestion] = ()
    kept: Mapping[str, Sequence[AnsweredQuestion]] = field(default_factory=dict)
    """Questions that must stay, by name: in TOFU retain, real_authors and world_facts."""
    examples: Mapping[str, Sequence[AnsweredQuestion]] = field(default_factory=dict)
    """Answered questions that stand before each question of that name (``forget`` or one of ``kept``) when it is answered freely."""
    memorised: Sequence[Passage] = ()
    """Passages whose tokens are looked at one by one: extraction strength, exact memorisation."""
    verbatim: Sequence[Passage] = ()
    """Passages that are continued greedily."""
    members: Sequence[Passage] = ()
    """What the model was trained on before it unlearned."""
    held_out: Sequence[Passage] = ()
    """The like of it that no model was trained on."""

    def limited(self, most: int | None) -> MeasuringSet:
        """The first ``most`` of everything; all, if None."""
        return replace(
            self, forget=self.forget[:most], kept={name: part[:most] for name, part in self.kept.items()},
            memorised=self.memorised[:most], verbatim=self.verbatim[:most], members=self.members[:most],
            held_out=self.held_out[:most],
        )  # fmt: skip

    def worded(self, template: str) -> MeasuringSet:
        """With those prompts in the template's words that are questions (the questions themselves stay as they are)."""

        def in_words(passages: Sequence[Passage]) -> list[Passage]:
            return [replace(p, prompt=template.format(question=p.prompt)) if p.asked else p for p in passages]

        return replace(
            self, memorised=in_words(self.memorised), verbatim=in_words(self.verbatim), members=in_words(self.members),
            held_out=in_words(self.held_out),
        )  # fmt: skip


def text_in(row: Mapping[str, Any], names: Sequence[str], place: str) -> str:
    """The text under the first of the names that a row has, without surrounding space.

    Raises:
        BadInput: there is none, it is no text, or it is empty.
    """
    value = next((row[name] for name in names if row.get(name) is not None), None)
    if not isinstance(value, str) or not value.strip():
        raise BadInput(f"{place}: no text under {' or '.join(names)}; its columns are {', '.join(map(str, row))[:120]}")
    return value.strip()


def texts_in(row: Mapping[str, Any], name: str, place: str) -> tuple[str, ...]:
    """The list of texts under a name; empty where a row has none."""
    value = row.get(name)
    parts = [value] if isinstance(value, str) else [] if value is None else list(value)
    return tuple(text_in({name: part}, (name,), place) for part in parts)
