"""Attack models alike and write what comes back: one job per model and seed, one table for all.

Every arm (base, filtered, retrained, unlearned) meets the same texts in the same order with the same seeds. Each
finished job is a record of its own, so a run that was killed goes on with the jobs that are missing.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from brittle import discovery
from brittle.contracts import MATCHED_T, AttackTarget, Evaluation, RecoveryPoint
from brittle.data.multiple_choice import Question
from brittle.models.references import Located
from brittle.records import Identity, digest_of_source, fingerprint, is_complete, write_text, writing
from brittle.settings import as_dictionary
from brittle.workflows import parallel

RETAIN_QUESTIONS = 144
"""Benign questions asked at every evaluation: enough to see damage (±4 %), few enough to ask often."""


@dataclass(frozen=True)
class Arm:
    """One model under attack and the part it plays."""

    located: Located
    role: str


@dataclass(frozen=True)
class Battlefield:
    """What every arm is attacked with and asked: texts about T, questions by side (``t``, ``v``, ``retain``)."""

    texts: tuple[str, ...]
    questions: dict[str, tuple[Question, ...]]

    @property
    def digest(self) -> str:
        """Content hash of texts and questions."""
        return fingerprint([self.texts, self.questions])


def battlefield(sides: dict[str, Sequence[Question]], texts: Sequence[str] | None = None) -> Battlefield:
    """Texts about T: of ``texts`` those that name an entity of T and none of V, or the T questions with their answers."""
    chosen = [question.text for question in sides["t"]]
    entities = {question.entity for question in sides["t"] if question.entity}
    if texts and entities:
        chosen = [text for text in texts if any(entity in text for entity in entities)]
    step = max(1, len(sides["retain"]) // RETAIN_QUESTIONS)
    kept = {side: tuple(questions) for side, questions in sides.items()} | {"retain": tuple(sides["retain"][::step])}
    return Battlefield(tuple(chosen), kept)


def attack(
    name: str,
    settings: Any,
    arms: Sequence[Arm],
    field: Battlefield,
    seeds: Sequence[int],
    outputs: Path,
    force: bool = False,
) -> Path:
    """Run the attack on every arm and seed that has no record yet; write ``recovery/recovery.csv`` and the answers."""
    module = discovery.find("attacks", name).load()
    runs = outputs / "recovery" / "runs"
    jobs, folders = [], []
    for arm in arms:
        for seed in seeds:
            inputs = {"model": arm.located.digest, "field": field.digest, "source": digest_of_source(module)}
            identity = Identity(
                "attack", inputs, as_dictionary(settings) | {"attack": name, "seed": seed, "role": arm.role}
            )
            folder = runs / f"{arm.located.name}__{name}__seed{seed}"
            folders.append(folder)
            if force or not is_complete(folder, identity):
                size = getattr(settings, "attack_steps", 1)
                jobs.append(parallel.Job(_attack_one, (name, settings, arm, field, seed, folder, identity), size))
    parallel.run(jobs, f"{name} attack: {len(arms)} models x {len(seeds)} seeds")
    _combine(folders, outputs / "recovery")
    return outputs / "recovery"


def _combine(folders: Sequence[Path], target: Path) -> None:
    """Join the tables of the runs, which stay beside them with a record each."""
    import pandas

    for table in ("recovery", "recovery_answers"):
        frame = pandas.concat([pandas.read_csv(folder / f"{table}.csv") for folder in folders], ignore_index=True)
        write_text(target / f"{table}.csv", frame.to_csv(index=False))


def _attack_one(
    name: str, settings: Any, arm: Arm, field: Battlefield, seed: int, folder: Path, identity: Identity,
    tick: Callable[[int], None],
) -> None:  # fmt: skip
    """One attack on one model, in a worker."""
    import torch

    from brittle.models.likelihood import prepare, score
    from brittle.models.loading import load

    loaded = load(arm.located, "auto" if torch.cuda.is_available() else "cpu", "fp32")
    prepared = {side: prepare(loaded.tokenizer, questions) for side, questions in field.questions.items()}

    def evaluate(step: int, examples_seen: int) -> Evaluation:
        predictions = {
            side: score(loaded, questions, normalise=False).predictions[-1].tolist()
            for side, questions in prepared.items()
        }
        accuracy = {side: _share_right(predictions[side], questions) for side, questions in field.questions.items()}
        return Evaluation(step, examples_seen, predictions, accuracy)

    module = discovery.find("attacks", name).load()
    target = AttackTarget(loaded, field.texts, evaluate)
    with writing(folder, identity) as draft:
        evaluations = module.attack(settings, target, seed, tick)
        draft.table("recovery", [dataclasses.asdict(_point(evaluation, arm, name, seed)) for evaluation in evaluations])
        learned = (evaluation for evaluation in evaluations if evaluation.accuracy["t"] >= MATCHED_T)
        draft.table("recovery_answers", _answers(next(learned, evaluations[-1]), arm, name, seed, field))


def _share_right(predictions: Sequence[int], questions: Sequence[Question]) -> float:
    return sum(choice == question.answer for choice, question in zip(predictions, questions)) / len(questions)


def _point(evaluation: Evaluation, arm: Arm, name: str, seed: int) -> RecoveryPoint:
    accuracy = [evaluation.accuracy[side] for side in ("t", "v", "retain")]
    return RecoveryPoint(arm.located.name, arm.role, name, seed, evaluation.step, evaluation.examples_seen, *accuracy)


def _answers(evaluation: Evaluation, arm: Arm, name: str, seed: int, field: Battlefield) -> list[dict[str, Any]]:
    """One row per question of T and V at the step where T is learned: what the permutation test needs."""
    return [
        {
            "model": arm.located.name, "attack": name, "seed": seed, "step": evaluation.step, "side": side,
            "fact": question.fact or question.question, "choice_predicted": predicted, "choice_correct": question.answer,
            "option": question.choices[predicted], "choices": json.dumps(question.choices),
        }
        for side in ("t", "v")
        for predicted, question in zip(evaluation.predictions[side], field.questions[side])
    ]  # fmt: skip
