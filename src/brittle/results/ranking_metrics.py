"""What is known of one model that may be ranked: its metrics, wherever a summary holds them, and whether it is damaged."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas
from scipy.stats import binomtest

from brittle.results.damage import Damage, Health, after_training, damage
from brittle.results.ranking import Candidate
from brittle.results.reader import below, number
from brittle.results.roles import Role

PATHS: dict[str, tuple[tuple[str, ...], ...]] = {
    "mmlu": (("results/mmlu/acc",),),
    "wmdp_robust": (("results/wmdp_bio_robust/acc",),),
    "wmdp_cloze": (("results/wmdp_bio_cloze_verified/acc_norm",),),
    "wmdp_categorized": (("results/wmdp_bio_categorized_mcqa/acc",),),
    "benign_accuracy": (("results/retain/accuracy",), ("accuracy_retain",), ("results/laboratory_retain/acc",)),
    "hazardous_accuracy": (
        ("results/forget/accuracy",), ("accuracy_t", "accuracy_v"), ("results/laboratory_t/acc", "results/laboratory_v/acc"),
    ),
    **{name: ((name,),) for name in ("forget_nll", "retain_nll", "benign_nll")},
}  # fmt: skip
"""Where summaries, local ones and W&B's, hold each metric: the first of these that is there; of several paths the mean."""
MMLU_QUESTIONS, MMLU_SUBJECTS, MMLU_CHANCE = 14_042, 57, 0.25


def metrics_in(found: Mapping[str, float]) -> dict[str, float]:
    """The metrics of a summary whose numbers are given by path (:func:`brittle.tracking.numbers`); no share beyond 0 and 1."""
    values = {}
    for name, ways in PATHS.items():
        known = [[number(found.get(path)) for path in way] for way in ways]
        means = [sum(way) / len(way) for way in known if not any(map(math.isnan, way))]
        if means and (name.endswith("_nll") or 0 <= means[0] <= 1):
            values[name] = means[0]
    return values


@dataclass
class Known(Candidate):
    """A candidate with what its verdict rests on."""

    folder: Path | None = None
    fingerprints: set[str] = field(default_factory=set)
    """Of all records that are about it."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    digest: str = ""
    before: dict[str, float] = field(default_factory=dict)
    """What the base's texts cost it, as the training measured it."""
    training: dict[str, Any] = field(default_factory=dict)
    evaluation: dict[str, Any] = field(default_factory=dict)
    benign: pandas.DataFrame | None = None
    questions: int = MMLU_QUESTIONS

    def learn(self, values: Mapping[str, float]) -> None:
        """Take in metrics; what is known already stands."""
        self.values |= {name: value for name, value in values.items() if name not in self.values}

    def learn_training(self, summary: Mapping[str, Any]) -> None:
        """Take in what the training measured."""
        self.training = self.training or dict(summary)
        for name in ("forget_nll", "retain_nll", "benign_nll"):
            if not math.isnan(before := number(summary.get(f"{name}_before"))):
                self.before.setdefault(name, before)

    @property
    def general(self) -> dict[str, Any]:
        """MMLU in the form of an evaluation of benign questions; empty where it was not asked."""
        if "mmlu" not in self.values:
            return {}
        right = round(self.values["mmlu"] * self.questions)
        interval = binomtest(right, self.questions).proportion_ci(0.95, method="wilson")
        asked = {"accuracy": self.values["mmlu"], "chance": MMLU_CHANCE}
        asked |= {"interval_low": float(interval.low), "interval_high": float(interval.high)}
        return {"results": {"retain": asked}}


def verdict(model: Known, base: Known | None) -> Damage:
    """Beside the base by its evaluation and by MMLU; else by what the training measured."""
    found = damage(model.benign, model.evaluation, base.benign if base else None, base.evaluation if base else {})
    asked = damage(None, model.general, None, base.general if base else {})
    trained = after_training(model.training)
    for each in (found, asked, trained):
        if each.health == Health.DAMAGED and (each is not trained or found.health == Health.NOT_MEASURED):
            return each
    return found if found.health != Health.NOT_MEASURED else trained


def role_in(reference: str) -> Role:
    """The role that a name says; unknown where it says none."""
    name = reference.lower()
    if "__" in name:
        return Role.UNKNOWN
    if "unfiltered" in name or re.match("laboratory[:_]base", name):
        return Role.BASE
    if "filter" in name:
        return Role.FILTERED
    return Role.RETRAINED if re.match("laboratory[:_]retrained", name) else Role.UNKNOWN


def shortened(name: str) -> str:
    """A folder's name as names of results have it before the six digits (:mod:`brittle.models.references`)."""
    return re.sub(r"[^A-Za-z0-9._-]+", "_", name).lstrip(".")[:60] or "model"


def method_in(name: str) -> str:
    parts = name.split("__")
    return parts[1] if len(parts) > 1 else ""


def distance(summary: Mapping[str, Any]) -> float:
    """‖ΔW‖₂ over all matrices, from the norms of their groups; NaN where they are not there."""
    norms = [number(below(summary, group).get("frobenius_norm")) for group in summary]
    norms = [norm for norm in norms if not math.isnan(norm)]
    return math.hypot(*norms) if norms else math.nan


def questions_asked(limit: Any) -> int:
    """How many questions of MMLU were asked with ``--limit``, which counts per subject."""
    few = isinstance(limit, int) and not isinstance(limit, bool) and limit > 0
    return min(MMLU_QUESTIONS, MMLU_SUBJECTS * limit) if few else MMLU_QUESTIONS
