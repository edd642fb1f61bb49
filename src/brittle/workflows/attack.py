"""Attack models alike and write what comes back: one job per model and seed, one table for all.

Every arm (base, filtered, retrained, unlearned) meets the same texts in the same order with the same seeds. Each
finished job is a record of its own, so a run that was killed goes on with the jobs that are missing.
"""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from brittle import discovery
from brittle.contracts import MATCHED_T, AttackTarget, Evaluation, RecoveryPoint
from brittle.data.multiple_choice import Question
from brittle.models.references import Located
from brittle.records import (
    Identity,
    digest_of_source,
    fingerprint,
    is_complete,
    read_record,
    write_json,
    write_text,
    writing,
)
from brittle.settings import BadInput, as_dictionary
from brittle.workflows import parallel

SIDES = ("t", "v", "retain")
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


def describe(outputs: Path, arms: Sequence[Arm], pairs: Sequence[tuple[Located, Located]] | None = None) -> None:
    """Write ``comparison.json``: which models play which part, for whoever reads the folder later.

    Without ``pairs`` the models join those that stand there already.
    """
    models = []
    for arm in arms:
        entry: dict[str, Any] = {"name": arm.located.name, "role": arm.role, "reference": arm.located.text}
        record = read_record(arm.located.folder) or {}
        if record.get("kind") == "unlearned model":
            entry |= {
                "method": record["settings"]["method"],
                "settings": record["settings"],
                "reference": arm.located.name,
            }
        models.append(entry)
    path = outputs / "comparison.json"
    there = json.loads(path.read_text()) if pairs is None and path.is_file() else {"models": [], "comparisons": []}
    known = {entry["name"] for entry in there["models"]}
    there["models"] += [entry for entry in models if entry["name"] not in known]
    there["comparisons"] += [{"folder": f"{a.name}__to__{b.name}", "a": a.name, "b": b.name} for a, b in pairs or ()]
    write_json(path, there)


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
    base: Located | None = None,
) -> Path:
    """Run the attack on every arm and seed that has no record yet; write ``recovery/recovery.csv`` and the answers.

    Rows of other attacks and of other models that stand in these tables stay. ``base``: for an attack that needs it.

    Raises:
        BadInput: the attack needs a base, and there is none.
    """
    check_needs([name], base)
    plugin = discovery.find("attacks", name)
    module = plugin.load()
    base = base if plugin.constants.get("NEEDS_BASE") else None
    seeds = seeds if plugin.constants.get("RANDOM", True) else seeds[:1]
    runs = outputs / "recovery" / "runs"
    jobs, folders = [], []
    size = len(getattr(settings, module.STRENGTHS)) if hasattr(module, "STRENGTHS") else settings.attack_steps
    for arm in arms:
        for seed in seeds:
            inputs = {"model": arm.located.digest, "field": field.digest, "source": digest_of_source(module)}
            inputs |= {"base": base.digest} if base else {}
            identity = Identity(
                "attack", inputs, as_dictionary(settings) | {"attack": name, "seed": seed, "role": arm.role}
            )
            folder = runs / f"{arm.located.name}__{name}__seed{seed}"
            folders.append(folder)
            if force or not is_complete(folder, identity):
                jobs.append(parallel.Job(_attack_one, (name, settings, arm, field, seed, folder, identity, base), size))
    parallel.run(jobs, f"{name} attack: {len(arms)} models x {len(seeds)} seeds")
    _combine(name, [arm.located.name for arm in arms], folders, outputs / "recovery")
    return outputs / "recovery"


def check_needs(names: Sequence[str], base: Located | None) -> None:
    """Refuse, before any work, attacks that look at the update where the base is not known."""
    for name in names:
        if base is None and discovery.find("attacks", name).constants.get("NEEDS_BASE"):
            raise BadInput(f"{name} looks at the update from the base; name it with --base")


def _combine(name: str, models: Sequence[str], folders: Sequence[Path], target: Path) -> None:
    """Put the runs' tables, which stay beside them with a record each, in the place of the same models' older rows."""
    import pandas

    for table in ("recovery", "recovery_answers"):
        path = target / f"{table}.csv"
        parts = [pandas.read_csv(folder / f"{table}.csv") for folder in folders]
        if path.is_file():
            older = pandas.read_csv(path)
            parts.insert(0, older[(older["attack"] != name) | ~older["model"].isin(models)])
        write_text(path, pandas.concat(parts, ignore_index=True).to_csv(index=False))


def _attack_one(
    name: str, settings: Any, arm: Arm, field: Battlefield, seed: int, folder: Path, identity: Identity,
    base: Located | None, tick: Callable[[int], None],
) -> None:  # fmt: skip
    """One attack on one model, in a worker."""
    import torch

    from brittle.models.likelihood import prepare, score
    from brittle.models.loading import load

    device = "auto" if torch.cuda.is_available() else "cpu"
    loaded = load(arm.located, device, "fp32")

    @functools.lru_cache(maxsize=1)
    def prepared(prefix: str) -> dict[str, Any]:
        asked = {side: [replace(q, question=prefix + q.question) for q in field.questions[side]] for side in SIDES}
        return {side: prepare(loaded.tokenizer, questions) for side, questions in asked.items()}

    def evaluate(step: int, examples_seen: int, strength: float = 0.0, prefix: str = "") -> Evaluation:
        predictions = {
            side: score(loaded, questions, normalise=False).predictions[-1].tolist()
            for side, questions in prepared(prefix).items()
        }
        accuracy = {side: _share_right(predictions[side], field.questions[side]) for side in SIDES}
        return Evaluation(step, examples_seen, predictions, accuracy, strength)

    module = discovery.find("attacks", name).load()
    examples = [question.text for question in field.questions["t"]]
    target = AttackTarget(loaded, field.texts, evaluate, examples, load(base, device, "fp32") if base else None)
    with writing(folder, identity) as draft:
        evaluations = module.attack(settings, target, seed, tick)
        draft.table("recovery", [dataclasses.asdict(_point(evaluation, arm, name, seed)) for evaluation in evaluations])
        learned = (evaluation for evaluation in evaluations if evaluation.accuracy["t"] >= MATCHED_T)
        draft.table("recovery_answers", _answers(next(learned, evaluations[-1]), arm, name, seed, field))


def _share_right(predictions: Sequence[int], questions: Sequence[Question]) -> float:
    return sum(choice == question.answer for choice, question in zip(predictions, questions)) / len(questions)


def _point(evaluation: Evaluation, arm: Arm, name: str, seed: int) -> RecoveryPoint:
    t, v, retain = (evaluation.accuracy[side] for side in SIDES)
    return RecoveryPoint(
        arm.located.name, arm.role, name, seed, evaluation.step, evaluation.examples_seen, t, v, retain, evaluation.strength,
    )  # fmt: skip


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
