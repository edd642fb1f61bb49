"""One attack on one model with one seed, in a worker: a record of its own with what came back at every step."""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from brittle import discovery
from brittle.contracts import MATCHED_T, AttackTarget, Evaluation, RecoveryPoint
from brittle.data.multiple_choice import Question
from brittle.models.references import Located
from brittle.records import Identity, digest_of_source, writing
from brittle.settings import as_dictionary
from brittle.workflows.battlefield import Arm, Battlefield

SIDES = ("t", "v", "retain")


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

    @property
    def plugin(self) -> discovery.Plugin:
        """The attack."""
        return discovery.find("attacks", self.name)

    @property
    def folder(self) -> Path:
        """Where its record lies."""
        return self.runs / f"{self.arm.located.name}__{self.name}__seed{self.seed}"

    @cached_property
    def configuration(self) -> Mapping[str, Any]:
        """What a search drew for this trial; empty for other attacks."""
        return self.plugin.load().describe(self.settings, self.seed) if "TRIALS" in self.plugin.constants else {}

    @property
    def identity(self) -> Identity:
        """What it depends on. How many trials a search has says nothing about one of them."""
        inputs = {"model": self.arm.located.digest, "field": self.field.digest}
        inputs["source"] = digest_of_source(self.plugin.load())
        inputs |= {"base": self.base.digest} if self.base else {}
        chosen = as_dictionary(self.settings)
        chosen.pop(self.plugin.constants.get("TRIALS", ""), None)
        chosen |= {"attack": self.name, "seed": self.seed, "role": self.arm.role, **self.configuration}
        return Identity("attack", inputs, chosen)

    @property
    def size(self) -> int:
        """About how many steps it takes, for the progress bar."""
        strengths = self.plugin.constants.get("STRENGTHS")
        if strengths:
            return len(getattr(self.settings, strengths))
        steps = self.configuration.get("steps", getattr(self.settings, "attack_steps", 1))
        return (steps + getattr(self.settings, "repair_steps", 0)) * getattr(self.settings, "folds", 1)

    def carry_out(self, tick: Callable[[int], None]) -> None:
        """Load the model, attack it, write the record."""
        import torch

        from brittle.models.loading import load
        from brittle.workflows.trajectory import Trajectory

        device = "auto" if torch.cuda.is_available() else "cpu"
        loaded = load(self.arm.located, device, "fp32")
        base = load(self.base, device, "fp32") if self.base else None
        walked = getattr(self.settings, "trajectory_steps", ())
        path = Trajectory(base, loaded, self.field, walked) if base and walked else None
        examples = [question.text for question in self.field.questions["t"]]
        target = AttackTarget(
            loaded, self.field.texts, self._evaluate(loaded, path), examples, base, self.field.retain_texts,
            self.field.benign_texts, self.field.questions,
        )  # fmt: skip
        with writing(self.folder, self.identity) as draft:
            evaluations = self.plugin.load().attack(self.settings, target, self.seed, tick)
            draft.table("recovery", [dataclasses.asdict(self._point(evaluation)) for evaluation in evaluations])
            learned = (evaluation for evaluation in evaluations if evaluation.accuracy["t"] >= MATCHED_T)
            draft.table("recovery_answers", self._answers(next(learned, evaluations[-1])))
            if path is not None and path.rows:
                own = {"model": self.arm.located.name, "role": self.arm.role, "attack": self.name, "seed": self.seed}
                draft.table("trajectory", [own | row for row in path.rows])

    def _evaluate(self, loaded: Any, path: Any) -> Callable[..., Evaluation]:
        from brittle.models.likelihood import prepare, score

        @functools.lru_cache(maxsize=1)
        def prepared(prefix: str) -> dict[str, Any]:
            return {side: prepare(loaded.tokenizer, self.field.questions[side], prefix) for side in SIDES}

        def evaluate(
            step: int, examples_seen: int, strength: float = 0.0, prefix: str = "", tokens_seen: int = 0
        ) -> Evaluation:
            predictions = {
                side: score(loaded, questions, normalise=False).predictions[-1].tolist()
                for side, questions in prepared(prefix).items()
            }
            accuracy = {side: _share_right(predictions[side], self.field.questions[side]) for side in SIDES}
            if path is not None:
                path.record(step)
            return Evaluation(step, examples_seen, predictions, accuracy, strength, tokens_seen)

        return evaluate

    def _point(self, evaluation: Evaluation) -> RecoveryPoint:
        t, v, retain = (evaluation.accuracy[side] for side in SIDES)
        return RecoveryPoint(
            self.arm.located.name, self.arm.role, self.name, self.seed, evaluation.step, evaluation.examples_seen,
            t, v, retain, evaluation.strength, evaluation.tokens_seen, getattr(self.settings, "attack_dtype", "fp32"),
            ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in self.configuration.items()),
        )  # fmt: skip

    def _answers(self, evaluation: Evaluation) -> list[dict[str, Any]]:
        """One row per question of T and V at the step where T is learned: what the permutation test needs."""
        asked = evaluation.asked or self.field.questions
        return [
            {
                "model": self.arm.located.name, "attack": self.name, "seed": self.seed, "step": evaluation.step,
                "side": side, "fact": question.fact or question.question, "choice_predicted": predicted,
                "choice_correct": question.answer, "option": question.choices[predicted],
                "choices": json.dumps(question.choices),
            }
            for side in ("t", "v")
            for predicted, question in zip(evaluation.predictions[side], asked[side])
        ]  # fmt: skip


def _share_right(predictions: Sequence[int], questions: Sequence[Question]) -> float:
    return sum(choice == question.answer for choice, question in zip(predictions, questions)) / len(questions)
