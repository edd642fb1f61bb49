"""What models are shown and asked in a session."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from brittle import progress
from brittle.data.corpora import read_texts
from brittle.data.files import DOCUMENTED_TEXTS
from brittle.data.multiple_choice import HUB_QUESTIONS, Question, load_questions
from brittle.data.overlap import check_apart, check_files_apart
from brittle.data.splits import split_by_entity
from brittle.evaluation import multiple_choice_accuracy as accuracy
from brittle.evaluation.question_forms import BARE, form_of, template_of, worded
from brittle.records import fingerprint
from brittle.runs.unlearning_plan import split_for_evaluation
from brittle.settings import BadInput
from brittle.suites import laboratory
from brittle.training.hyperparameters import TrainingSettings

MOST_HELD_OUT = 200
"""Held-out texts that a benign likelihood is taken over, of each kind."""
SPLIT_SEED = 0
"""T and V are the same halves everywhere, so that nothing that was chosen on T was chosen on V."""


@dataclass(frozen=True)
class Material:
    """What models are shown: texts by split (``forget``, ``retain``, ``benign``) and questions by side.

    ``forms`` says by side how step 0 asks (:mod:`brittle.evaluation.question_forms`); continuation where it does not.
    ``template`` words what is asked as continuation, in step 0 and everywhere else. ``own`` is the laboratory behind the models.
    """

    texts: Mapping[str, Sequence[str]]
    questions: Mapping[str, Sequence[Question]]
    forms: Mapping[str, str] = field(default_factory=dict)
    template: str = BARE
    own: laboratory.Laboratory | None = None

    @cached_property
    def held_out(self) -> dict[str, list[str]]:
        """Benign texts by kind that no training reads; none where nothing is known of such.

        Of a laboratory its own; else the ``retain`` texts that unlearning holds out where nobody chooses (a tenth, ``--eval-split``).
        """
        if self.own:
            return self.own.held_out_texts()
        kept, apart = divided(self.texts.get("retain", ()))
        return {"retain texts": apart[:MOST_HELD_OUT]} if kept and apart else {}

    @cached_property
    def retained(self) -> list[str]:
        """The benign texts that unlearning reads: what stands in them is in sample."""
        return self.own.texts()["retain"] if self.own else divided(self.texts.get("retain", ()))[0]

    @cached_property
    def shown(self) -> str:
        """The fingerprint of the texts."""
        return fingerprint({split: list(part) for split, part in self.texts.items()})

    @cached_property
    def asked(self) -> str:
        """The fingerprint of the questions, in the template's words."""
        return fingerprint({side: list(questions) for side, questions in self.worded.items()})

    @cached_property
    def worded(self) -> dict[str, Sequence[Question]]:
        """The questions by side in the template's words."""
        return {side: worded(questions, self.template) for side, questions in self.questions.items()}

    @property
    def under_attack(self) -> dict[str, Sequence[Question]]:
        """The questions by side as attacked models are asked: of a laboratory's own benign facts, each in all of its forms.

        One form alone, or every second question, would show what an attack does to that form.
        """
        every = self.own.questions_in_all_forms() if self.own else []
        asked, known = self.questions.get("retain", ()), set(every)
        if not asked or not all(question in known for question in asked):
            return self.worded
        facts = {question.fact for question in asked}
        return self.worded | {"retain": worded([each for each in every if each.fact in facts], self.template)}

    def in_step_0(self, side: str) -> Sequence[Question]:
        """A side's questions for its form: bare where they are asked by letters, else in the template's words."""
        return (self.questions if self.forms.get(side) == "letters" else self.worded)[side]

    @property
    def hazardous(self) -> list[Question]:
        """The questions about the hazardous domain in the template's words, T before V."""
        return [question for side in ("t", "v") for question in self.worded[side]]


def divided(texts: Sequence[str]) -> tuple[list[str], list[str]]:
    """Retain texts as an unlearning divides them where nobody chooses: those it reads, and those it holds out."""
    usual = TrainingSettings()
    return split_for_evaluation(texts, usual.eval_split, usual.seed) if texts else ([], [])


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
    usual = DOCUMENTED_TEXTS
    named = {"forget": forget or usual["forget"], "retain": retain or usual["retain"]}
    if benign or Path(usual["benign"]).is_file():
        named["benign"] = benign or usual["benign"]
    found = {split: read_texts(path, column) for split, path in named.items()}
    check_files_apart(found, named)
    return found


def questions_of(
    own: laboratory.Laboratory | None, settings: Any, seed: int = 42, benign: bool = True
) -> tuple[dict[str, Sequence[Question]], dict[str, str], str]:
    """Questions by side, how step 0 asks them, and their template: those that are named, else the laboratory's own, else
    wmdp-bio and mmlu, unless the texts are the user's own.

    ``settings`` has ``forget_questions``, ``retain_questions``, ``num_questions`` (of the retain side) and
    ``question_format``, and may have ``forget_text``, ``question_template`` and ``answers_from``. Without ``benign`` the
    retain side is empty, and nothing is loaded for it.

    Raises:
        BadInput: forget texts of the user's own are named and the questions that are needed are not.
    """
    forget, retain = settings.forget_questions, settings.retain_questions
    template = template_of(getattr(settings, "question_template", BARE))
    if not own:
        _refuse_questions_of_others(settings, benign)
    counted = getattr(settings, "answers_from", None)
    load = partial(load_questions, answers_from=counted) if counted is not None else load_questions
    asked = own.questions() if own else {}
    hazardous = load(forget) if forget else asked.get("forget") or load("wmdp-bio")
    others: Sequence[Question] = ()
    if benign:
        others = load(retain) if retain else asked.get("retain") or load("mmlu")
        if {forget, retain} - {None, *HUB_QUESTIONS}:
            usual = ("its hazardous questions", "its benign questions") if own else ("wmdp-bio", "mmlu")
            check_apart({forget or usual[0]: hazardous}, {retain or usual[1]: others})
        others = accuracy.sample_uniformly(others, settings.num_questions, seed)
    names = {"t": forget or (None if own else "wmdp-bio"), "retain": retain or (None if own else "mmlu")}
    forms = {side: form_of(names[side], settings.question_format) for side in names}
    return questions_by_side(hazardous, others), forms | {"v": forms["t"]}, template


def _refuse_questions_of_others(settings: Any, benign: bool) -> None:
    """Texts of the user's own say nothing about which questions ask about them; the hub's ask about something else."""
    texts = getattr(settings, "forget_text", None)
    needed = {"wmdp-bio": "forget_questions", **({"mmlu": "retain_questions"} if benign else {})}
    missing = {name: flag for name, flag in needed.items() if not getattr(settings, flag)}
    if not texts or Path(texts) == Path(DOCUMENTED_TEXTS["forget"]) or not missing:
        return
    flags = " and ".join(f"--{flag.replace('_', '-')}" for flag in missing.values())
    raise BadInput(
        f"--forget-text {texts} is a file of your own, and nothing says which questions ask about it; name {flags}: a file of "
        f"questions each, or by name {' and '.join(missing)}"
    )


def questions_by_side(forget: Sequence[Question], retain: Sequence[Question]) -> dict[str, Sequence[Question]]:
    """Questions by side: ``t`` and ``v`` halve the hazardous ones by entity, ``retain`` is benign."""
    split = split_by_entity(forget, SPLIT_SEED)
    if split.joined:
        progress.say(
            f"note: {split.joined} of {len(forget)} forget questions are near-duplicates of one another and stay on one side, T or V",
            once=True,
        )
    return {"t": split.t, "v": split.v, "retain": retain}


def questions_for(reference: str) -> dict[str, Sequence[Question]] | None:
    """The sides for a laboratory model or one made from it; None for others, whose questions the user names."""
    if (chosen := laboratory.behind(reference)) is None:
        return None
    questions = chosen.questions()
    return questions_by_side(questions["forget"], questions["retain"])
