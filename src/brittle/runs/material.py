"""What models are shown and asked in a session, and which diagnostics read it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from brittle import discovery
from brittle.data.corpora import read_texts
from brittle.data.multiple_choice import Question, load_questions
from brittle.data.splits import split_by_entity
from brittle.evaluation import multiple_choice_accuracy as accuracy
from brittle.evaluation.question_forms import form_of
from brittle.records import fingerprint
from brittle.suites import laboratory

SPLIT_SEED = 0
"""T and V are the same halves everywhere, so that nothing that was chosen on T was chosen on V."""


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


def needs_of(names: Collection[str]) -> set[str]:
    """The kinds of observation that any of these diagnostics is shown, and ``texts`` if it reads any."""
    plugins = [discovery.find("diagnostics", name) for name in names]
    needs = [plugin.constants["NEEDS"] for plugin in plugins]
    kinds = {kind for each in needs for kind in ([each] if isinstance(each, str) else each)}
    return kinds | ({"texts"} if any(map(reads_texts, plugins)) else set())


def texts_of(
    own: laboratory.Laboratory | None,
    forget: str | None,
    retain: str | None,
    benign: str | None,
    column: str | None = None,
) -> dict[str, list[str]]:
    """Texts to show: the laboratory's own where none is named, else from files (those of create_datasets.py by default).

    ``benign`` only where there is a file.
    """
    if own and not (forget or retain or benign):
        return own.probes()
    named = {"forget": forget or "data/forget.txt", "retain": retain or "data/retain.txt"}
    if benign or Path("data/benign.txt").is_file():
        named["benign"] = benign or "data/benign.txt"
    return {split: read_texts(path, column) for split, path in named.items()}


def questions_of(
    own: laboratory.Laboratory | None, settings: Any, seed: int = 42, benign: bool = True
) -> tuple[dict[str, Sequence[Question]], dict[str, str]]:
    """Questions by side and how step 0 asks them: those that are named, else the laboratory's own, else wmdp-bio and mmlu.

    ``settings`` has ``forget_questions``, ``retain_questions``, ``num_questions`` (of the retain side) and
    ``question_format``. Without ``benign`` the retain side is empty, and nothing is loaded for it.
    """
    forget, retain = settings.forget_questions, settings.retain_questions
    asked = own.questions() if own else {}
    hazardous = load_questions(forget) if forget else asked.get("forget") or load_questions("wmdp-bio")
    others: Sequence[Question] = ()
    if benign:
        others = load_questions(retain) if retain else asked.get("retain") or load_questions("mmlu")
        others = accuracy.sample_uniformly(others, settings.num_questions, seed)
    names = {"t": forget or (None if own else "wmdp-bio"), "retain": retain or (None if own else "mmlu")}
    forms = {side: form_of(names[side], settings.question_format) for side in names}
    return questions_by_side(hazardous, others), forms | {"v": forms["t"]}


def questions_by_side(forget: Sequence[Question], retain: Sequence[Question]) -> dict[str, Sequence[Question]]:
    """Questions by side: ``t`` and ``v`` halve the hazardous ones by entity, ``retain`` is benign."""
    split = split_by_entity(forget, SPLIT_SEED)
    return {"t": split.t, "v": split.v, "retain": retain}


def questions_for(reference: str) -> dict[str, Sequence[Question]] | None:
    """The sides for a laboratory model or one made from it; None for others, whose questions the user names."""
    if (chosen := laboratory.behind(reference)) is None:
        return None
    questions = chosen.questions()
    return questions_by_side(questions["forget"], questions["retain"])
