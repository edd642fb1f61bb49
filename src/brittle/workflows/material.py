"""What models are shown and asked in a session, and which diagnostics read it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from brittle import discovery
from brittle.data.multiple_choice import Question
from brittle.records import fingerprint


@dataclass(frozen=True)
class Material:
    """What models are shown: texts by split (``forget``, ``retain``, ``benign``) and questions by side.

    ``forms`` says by side how step 0 asks (:mod:`brittle.evaluation.question_forms`); continuation where it does not.
    """

    texts: Mapping[str, Sequence[str]]
    questions: Mapping[str, Sequence[Question]]
    forms: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def shown(self) -> str:
        """The fingerprint of the texts."""
        return fingerprint({split: list(part) for split, part in self.texts.items()})

    @cached_property
    def asked(self) -> str:
        """The fingerprint of the questions."""
        return fingerprint({side: list(questions) for side, questions in self.questions.items()})

    @property
    def hazardous(self) -> list[Question]:
        """The questions about the hazardous domain, T before V."""
        return [question for side in ("t", "v") for question in self.questions[side]]


def reads_texts(plugin: discovery.Plugin) -> bool:
    """Whether a diagnostic is shown texts; a learned lens learns from them."""
    needs = plugin.constants["NEEDS"]
    return bool({"activations", "sensitivity"} & {needs, *needs}) or plugin.variant.get("lens") in ("tuned", "linear")
