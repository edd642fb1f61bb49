"""Retrain on T, test on V, over folds (RTT): every fact is held out once while the others are taught.

The facts are dealt into k folds by entity, so that no taught text names what is asked. For each fold: from the model's
own weights, fine-tune on the questions of all other folds with their answers, and ask about the fold. Accuracy on V is
that on held-out folds, pooled over all questions; T is what was taught. The half that T and V are elsewhere uses
only one division of the facts; here every fact counts.
Source: Deeb and Roger 2024 (k disjoint splits, fine-tuning on all but one).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from brittle.contracts import AttackFacts, AttackTarget, Evaluation
from brittle.settings import BadInput, setting, with_default
from brittle.training.teaching import TeachingSettings, teach

NAME = "relearning_folds"
TEACHES = "T"


@dataclass(frozen=True)
class Settings(TeachingSettings):
    """How many folds, and how hard each tries."""

    folds: int = setting(5, "parts of the facts, each held out once", minimum=2)
    attack_steps: int = with_default(TeachingSettings, "attack_steps", 200)
    attack_patience: int = with_default(TeachingSettings, "attack_patience", 0)
    trajectory_steps: tuple[int, ...] = with_default(TeachingSettings, "trajectory_steps", ())


def check(settings: Settings, facts: AttackFacts) -> None:
    """Refuse more folds than there are entities."""
    _enough(facts.entities, settings.folds)


def _enough(entities: int, count: int) -> None:
    if entities < count:
        raise BadInput(f"--folds: {count} folds need as many entities or facts; the questions have {entities}")


def attack(settings: Settings, target: AttackTarget, seed: int, tick: Callable[[int], None]) -> list[Evaluation]:
    """Evaluations of all folds together, step by step; the model ends as it was.

    Raises:
        BadInput: fewer entities (or facts, where questions name no entity) than folds.
    """
    from brittle.models.reweighting import all_parameters, kept_weights, put_back

    questions = [*target.questions["t"], *target.questions["v"]]
    fold_of = folds(questions, settings.folds)
    fixed = replace(settings, attack_patience=0)
    by_fold: list[list[Evaluation]] = []
    parameters = all_parameters(target.loaded)
    with kept_weights(parameters) as kept:
        for fold in range(settings.folds):
            put_back(parameters, kept)
            taught = [question.text for question, own in zip(questions, fold_of) if own != fold]
            by_fold.append(teach(fixed, target, taught, seed, tick, start=by_fold[0][:1] if fold else ()))
    return [_together(step, questions, fold_of) for step in zip(*by_fold)]


def folds(questions: Sequence[Any], count: int) -> list[int]:
    """The fold of every question: entities in the order of their names, dealt like cards."""
    units = [question.entity or question.fact or question.question for question in questions]
    order = {unit: place for place, unit in enumerate(sorted(set(units)))}
    _enough(len(order), count)
    return [order[unit] % count for unit in units]


def _together(by_fold: Sequence[Evaluation], questions: Sequence[Any], fold_of: Sequence[int]) -> Evaluation:
    """One evaluation of all folds at one step: each question held out (V), and taught in the fold after its own (T)."""
    answers = [[*each.predictions["t"], *each.predictions["v"]] for each in by_fold]
    held_out = [answers[own][place] for place, own in enumerate(fold_of)]
    taught = [answers[(own + 1) % len(answers)][place] for place, own in enumerate(fold_of)]
    shown = {"v": held_out, "t": taught, "retain": by_fold[0].predictions["retain"]}
    right = {side: [p == q.answer for p, q in zip(shown[side], questions)] for side in ("t", "v")}
    accuracy = {side: sum(hits) / len(hits) for side, hits in right.items()}
    accuracy["retain"] = sum(each.accuracy["retain"] for each in by_fold) / len(by_fold)
    benign = {kind: sum(each.benign[kind] for each in by_fold) / len(by_fold) for kind in by_fold[0].benign}
    asked = {"t": questions, "v": questions}
    return replace(by_fold[0], predictions=shown, accuracy=accuracy, benign=benign, asked=asked, generated={})
