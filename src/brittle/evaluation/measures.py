"""OpenUnlearning's measures of one model, summed up; and beside a model that never saw what is to be forgotten.

Each number is the mean over questions, passages or texts of what the tables hold. What the paper of a benchmark and its code (or
OpenUnlearning's) define differently stands there under both names.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from brittle.evaluation import membership, truth_ratio, utility

if TYPE_CHECKING:
    import pandas

VERSIONS = ("of_the_paper", "of_openunlearning")
"""Which mean a truth ratio is taken with, and what rests on it."""
ANSWERS = ("probability", "rouge_l_recall", "rouge_l")
SCORES = (
    "loss", "zlib", "min_k", "min_k_plus_plus", "gradient_norm", "gradient_norm_of_openunlearning", "beyond_reference",
    "over_reference",
)  # fmt: skip
"""By which membership is told, the last two beside a reference model alone."""
AMONG = {
    "of_the_paper": "probability_among_answers_of_the_paper", "of_openunlearning": "probability_among_answers",
}  # fmt: skip
WORDED_ALIKE = "retain"
"""The set whose probability is that of its answers; that of the others is a share of right and wrong answers', as in TOFU."""


def summary_of(tables: Mapping[str, pandas.DataFrame]) -> dict[str, Any]:
    """The means of one model's tables; nothing where a table is not there, null where a number cannot be had."""
    found: dict[str, Any] = {}
    if "questions" in tables:
        sets = {str(name): part for name, part in tables["questions"].groupby("questions", sort=False)}
        found["questions"] = {
            name: {answer: _mean(part[answer]) for answer in ANSWERS} | _truth_ratios(part, name == "forget")
            for name, part in sets.items()
        }
        kept = {name: part for name, part in sets.items() if name != "forget"}
        found |= {f"model_utility_{version}": _utility(kept, version) for version in VERSIONS}
    for name in ("memorisation", "verbatim"):
        if name in tables:
            numbers = tables[name].drop(columns=["number", "tokens", "said"], errors="ignore")
            found[name] = {column: _mean(numbers[column]) for column in numbers}
    if "membership" in tables:
        found["membership_areas"] = areas_of(tables["membership"])
    return found


def areas_of(texts: pandas.DataFrame, reference: pandas.DataFrame | None = None) -> dict[str, float]:
    """The area under the ROC curve by score: 0.5 where members cannot be told from texts held out, 1 where all can.

    ``reference`` is the same table of a reference model.
    """
    scores = {name: texts[name].to_numpy(float) for name in SCORES if name in texts}
    if reference is not None:
        pairs = list(zip(texts["loss"], reference["loss"], strict=True))
        scores["beyond_reference"] = np.array([membership.beyond_reference(*pair) for pair in pairs])
        scores["over_reference"] = np.array([membership.over_reference(*pair) for pair in pairs])
    member = texts["member"].to_numpy(bool)
    return {
        name: membership.area(values[member], values[~member])
        for name, values in scores.items()
        if not np.isnan(values).any()
    }


def beside_the_retain_model(
    own: Mapping[str, pandas.DataFrame],
    retain: Mapping[str, pandas.DataFrame],
    reference: Mapping[str, pandas.DataFrame] | None = None,
) -> dict[str, float]:
    """Forget quality in both versions, and by score the privacy leakage and the relative difference, as shares."""
    found = {}
    if "questions" in own and "questions" in retain:
        for version in VERSIONS:
            ratios = [_forget(tables)[f"truth_ratio_{version}"].to_numpy(float) for tables in (own, retain)]
            known = not any(np.isnan(each).any() for each in ratios)
            found[f"forget_quality_{version}"] = truth_ratio.forget_quality(*ratios) if known else math.nan
    if "membership" in own and "membership" in retain:
        texts = reference["membership"] if reference else None
        first, second = (areas_of(tables["membership"], texts) for tables in (own, retain))
        for name in first.keys() & second.keys():
            found[f"privacy_leakage_{name}"] = membership.privacy_leakage(first[name], second[name])
            found[f"relative_difference_{name}"] = membership.relative_difference(first[name], second[name])
    return found


def _forget(tables: Mapping[str, pandas.DataFrame]) -> pandas.DataFrame:
    questions = tables["questions"]
    return questions[questions["questions"] == "forget"]


def _truth_ratios(part: pandas.DataFrame, forget: bool) -> dict[str, float]:
    """How forget questions are summed up: like a guess or not; how the others: by the preference for the truth."""
    summed = truth_ratio.likeness_to_a_guess if forget else truth_ratio.preference_for_the_truth
    return {f"truth_ratio_{version}": summed(part[f"truth_ratio_{version}"].to_numpy(float)) for version in VERSIONS}


def _utility(kept: Mapping[str, pandas.DataFrame], version: str) -> float:
    """The harmonic mean of probability, ROUGE-L recall and truth ratio of every set that must stay."""
    numbers = {}
    for name, part in kept.items():
        numbers[f"{name} probability"] = _mean(part["probability" if name == WORDED_ALIKE else AMONG[version]])
        numbers[f"{name} rouge_l_recall"] = _mean(part["rouge_l_recall"])
        numbers[f"{name} truth_ratio"] = _truth_ratios(part, False)[f"truth_ratio_{version}"]
    return utility.model_utility(numbers)


def _mean(values: pandas.Series) -> float:
    return float(values.to_numpy(float).mean())
