"""One attack on one model with one seed, in a worker: a record of its own with what came back at every step."""

from __future__ import annotations

import dataclasses
import functools
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from brittle import discovery, records, source
from brittle.contracts import MATCHED_T, AttackTarget, Diverged, Evaluation, RecoveryPoint
from brittle.data.multiple_choice import Question
from brittle.models.references import Located
from brittle.records import Identity, digest_of_text, writing
from brittle.runs.attack_material import Battlefield
from brittle.runs.roles import Arm
from brittle.settings import BadInput, as_dictionary
from brittle.training.racing import part_of

SIDES = ("t", "v", "retain")
LONGEST_NAME = 120
"""Of a model, in a run's folder; what is beyond becomes a few digits."""


@dataclass(frozen=True)
class Run:
    """Everything that decides what one run gives."""

    name: str
    settings: Any
    arm: Arm
    field: Battlefield
    seed: int
    """Of a search, the number of the trial."""
    runs: Path
    base: Located | None
    until: int | None = None
    """Of a race's first round: after how many steps the trial ends."""

    @property
    def plugin(self) -> discovery.Plugin:
        """The attack."""
        return discovery.find("attacks", self.name)

    @property
    def folder(self) -> Path:
        """Where its record lies."""
        name = self.arm.located.name
        if len(name.encode()) > LONGEST_NAME:
            name = f"{name[: LONGEST_NAME // 4]}-{digest_of_text(name)[:6]}"
        return self.runs / f"{name}__{self.name}__seed{self.seed}"

    @cached_property
    def configuration(self) -> Mapping[str, Any]:
        """What a search drew for this trial; empty for other attacks."""
        return self.plugin.load().describe(self.settings, self.seed) if "TRIALS" in self.plugin.constants else {}

    @property
    def identity(self) -> Identity:
        """What it depends on, whatever the model's folder is called. How many trials a search has, and who goes on, says nothing about one."""
        inputs = {"model": self.arm.located.digest, "field": self.field.digest, "device": device_type()}
        inputs["source"] = source.digest_of(
            self.plugin.load().__name__,
            "brittle.models.likelihood",
            files=("brittle.runs.attack_job", "brittle.runs.attack_material"),
        )
        inputs |= {"base": self.base.digest} if self.base else {}
        chosen = as_dictionary(self.settings)
        if trials := self.plugin.constants.get("TRIALS"):
            chosen.pop(trials)
            chosen.pop("race", None)
        chosen |= {"until": self.until} if self.until else {}
        chosen |= {"attack": self.name, "seed": self.seed, "role": self.arm.role, **self.configuration}
        return Identity("attack", inputs, chosen)

    @property
    def races(self) -> bool:
        """Whether it is a trial that goes to its end only if it is among the best."""
        return "TRIALS" in self.plugin.constants and bool(self.settings.race)

    @property
    def first_round(self) -> Run:
        """What is done of it before others: of a trial that races its beginning, else all."""
        return replace(self, until=part_of(max(self.plugin.load().STEPS))) if self.races else self

    @property
    def alternatives(self) -> tuple[Run, ...]:
        """Whose records count as its own: of a trial that races also the whole trial's."""
        return (replace(self, until=None), self.first_round) if self.races else (self,)

    @property
    def size(self) -> int:
        """About how many steps it takes, for the progress bar."""
        folds: int = getattr(self.settings, "folds", 1)
        return self.last_step * folds

    @property
    def last_step(self) -> int:
        """The number of its last evaluation, if it comes to its end."""
        strengths = self.plugin.constants.get("STRENGTHS")
        if strengths:
            return len(getattr(self.settings, strengths))
        steps: int = self.until or self.configuration.get("steps", getattr(self.settings, "attack_steps", 1))
        repairs: int = getattr(self.settings, "repair_steps", 0)
        return steps + repairs

    def carry_out(self, tick: Callable[[int], None]) -> None:
        """Load the model, attack it, write the record."""
        from brittle.models.loading import load
        from brittle.runs.attack_trajectory import Trajectory

        began = records.clock()
        device = "auto" if device_type() == "cuda" else "cpu"
        loaded = load(self.arm.located, device, "fp32")
        base = load(self.base, device, "fp32") if self.base else None
        walked = getattr(self.settings, "trajectory_steps", ())
        path = Trajectory(base, loaded, self.field, walked) if base and walked else None
        examples = [question.text for question in self.field.questions["t"]]
        target = AttackTarget(
            loaded, self.field.texts, self._evaluate(loaded, path), examples, base, self.field.retain_texts,
            self.field.benign_texts, self.field.questions, self.until,
        )  # fmt: skip
        with writing(self.folder, self.identity) as draft:
            draft.took(records.clock() - began)
            evaluations = self.plugin.load().attack(self.settings, target, self.seed, tick)
            draft.table("recovery", [dataclasses.asdict(self._point(each, evaluations[0])) for each in evaluations])
            learned = (evaluation for evaluation in evaluations if evaluation.accuracy["t"] >= MATCHED_T)
            draft.table("recovery_answers", self._answers(next(learned, evaluations[-1]), evaluations))
            own = {"model": self.arm.located.name, "role": self.arm.role, "attack": self.name, "seed": self.seed}
            if path is not None and path.rows:
                draft.table("trajectory", [own | row for row in path.rows])
            if target.diverged:
                draft.table("diverged", [own | dataclasses.asdict(each) for each in target.diverged])
            draft.note(device=device_type(), dtype="fp32", diverged=[each.reason for each in target.diverged])
            draft.note(left_out=list(self.field.notes), example=dataclasses.asdict(self.field.questions["v"][0]))

    def _evaluate(self, loaded: Any, path: Any) -> Callable[..., Evaluation]:
        from brittle.evaluation.open_answers import open_answers
        from brittle.models.hidden_states import NonFinite
        from brittle.models.likelihood import mean_negative_log_likelihood as mean
        from brittle.models.likelihood import score
        from brittle.models.prepared_questions import prepare

        @functools.lru_cache(maxsize=1)
        def prepared(prefix: str) -> dict[str, Any]:
            return {side: prepare(loaded.tokenizer, self.field.questions[side], prefix) for side in SIDES}

        evaluated: list[int] = []
        last, learned = self.last_step, False

        def evaluate(
            step: int, examples_seen: int, strength: float = 0.0, prefix: str = "", tokens_seen: int = 0
        ) -> Evaluation:
            nonlocal learned
            asked = prepared(prefix)
            try:
                predictions = {
                    side: _choices(score(loaded, questions, normalise=False)) for side, questions in asked.items()
                }
                benign = {kind: mean(loaded, texts, 32)[0] for kind, texts in self.field.held_out.items()}
                accuracy = {side: _share_right(predictions[side], self.field.questions[side]) for side in SIDES}
                now = accuracy["t"] >= MATCHED_T and not learned
                answers = ("t", "v") if now or not evaluated or step >= last else ()
                generated = {side: open_answers(loaded, self.field.questions[side], prefix=prefix) for side in answers}
            except NonFinite as problem:  # the same questions were answered before the attack
                if not evaluated:
                    raise
                raise Diverged(str(problem)) from None
            evaluated.append(step)
            learned = learned or now
            if path is not None:
                path.record(step)
            return Evaluation(
                step, examples_seen, predictions, accuracy, strength, tokens_seen, benign, generated=generated
            )

        return evaluate

    def _point(self, evaluation: Evaluation, first: Evaluation) -> RecoveryPoint:
        t, v, retain = (evaluation.accuracy[side] for side in SIDES)
        benign = evaluation.benign
        return RecoveryPoint(
            self.arm.located.name, self.arm.role, self.name, self.seed, evaluation.step, evaluation.examples_seen,
            t, v, retain, evaluation.strength, evaluation.tokens_seen, getattr(self.settings, "attack_dtype", "fp32"),
            ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in self.configuration.items()),
            math.fsum(benign.values()) / len(benign) if benign else math.nan, evaluation.rise(first),
        )  # fmt: skip

    def _answers(self, evaluation: Evaluation, all_of_them: Sequence[Evaluation]) -> list[dict[str, Any]]:
        """One row per question of T and V: the answers at the step where T is learned, and at which steps it was right."""
        asked, before = evaluation.asked or self.field.questions, all_of_them[0]
        return [
            {
                "model": self.arm.located.name, "attack": self.name, "seed": self.seed, "step": evaluation.step,
                "side": side, "fact": question.fact or question.question, "choice_predicted": predicted,
                "choice_correct": question.answer, "option": question.choices[predicted],
                "option_before": question.choices[before.predictions[side][place]],
                "generated_before": _generated(before, side, place), "generated": _generated(evaluation, side, place),
                "choices": json.dumps(question.choices),
                "right_at": json.dumps([e.step for e in all_of_them if e.predictions[side][place] == question.answer]),
            }
            for side in ("t", "v")
            for place, (predicted, question) in enumerate(zip(evaluation.predictions[side], asked[side]))
        ]  # fmt: skip


def device_type() -> str:
    """Where attacks run: ``cuda`` where there is one, else ``cpu``."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def _generated(evaluation: Evaluation, side: str, place: int) -> str:
    """What the model answered by itself, up to the end of its line; empty where it was not asked."""
    generated = evaluation.generated.get(side, ())
    lines = generated[place].strip().splitlines() if generated else []
    return lines[0].strip() if lines else ""


def _choices(scores: Any) -> list[int]:
    """The choice made on every question; BadInput where a model's scores are not numbers."""
    import numpy

    values = scores.log_probabilities[-1]
    there = numpy.isfinite(values)  # of a question with fewer choices than the longest the others are −inf
    if not (there | numpy.isneginf(values)).all() or not there.any(axis=-1).all():
        raise BadInput(f"the scores of {scores.model} are not finite")
    choices: list[int] = values.argmax(axis=-1).tolist()
    return choices


def _share_right(predictions: Sequence[int], questions: Sequence[Question]) -> float:
    return sum(choice == question.answer for choice, question in zip(predictions, questions)) / len(questions)
