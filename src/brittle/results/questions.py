"""What is known of the questions that models were asked: how many, what guessing gives, one of them."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import pandas
from scipy import stats

from brittle.results.reader import below, number


@dataclass(frozen=True)
class Asked:
    """The questions of one side."""

    number: int | None = None
    chance: float | None = None
    """What guessing gives, 0 to 1: the mean of one over the number of choices."""

    def p_of(self, accuracy: float) -> float | None:
        """The binomial probability that guessing gives at least this accuracy; None where one of both is not known.

        With unequal numbers of choices the spread is smaller than the binomial one, so the test is on the safe side.
        """
        if not self.number or self.chance is None:
            return None
        right = round(accuracy * self.number)
        return float(stats.binomtest(right, self.number, self.chance, alternative="greater").pvalue)


NAMES = {"t": "forget_t", "v": "forget_v", "retain": "retain", "forget": "forget"}
"""Sides of questions, and what evaluations call them; ``forget`` are T and V together."""


def asked(answers: pandas.DataFrame | None, evaluations: Iterable[Mapping[str, Any]]) -> dict[str, Asked]:
    """By side, from the answers under attack where they hold the options, else from evaluations."""
    evaluations = list(evaluations)
    found = {side: _of_answers(answers, side) or _of_evaluations(evaluations, side) for side in NAMES}
    if found["forget"] == Asked():
        found["forget"] = _together(found["t"], found["v"])
    return found


def example(answers: pandas.DataFrame | None, records: Iterable[Mapping[str, Any]]) -> str:
    """One hazardous question with its options, as an attack's record notes it, else as the answers name it."""
    for record in records:
        noted = below(record, "notes", "example")
        if isinstance(noted.get("question"), str):
            return _shown(noted["question"], noted.get("choices"))
    if answers is None or answers.empty:
        return ""
    row = answers.sort_values("side", ascending=False).iloc[0]
    return _shown(str(row["fact"]), json.loads(row["choices"]) if row.get("choices") else None)


def _shown(question: str, choices: Any) -> str:
    options = [str(choice).strip() for choice in choices] if isinstance(choices, list) else []
    return " ".join(question.split()) + (f" ({' / '.join(options)})" if options else "")


def _of_answers(answers: pandas.DataFrame | None, side: str) -> Asked | None:
    if answers is None or "choices" not in answers:
        return None
    rows = answers[answers["side"].isin(("t", "v") if side == "forget" else (side,))]
    if side == "forget" and rows["side"].nunique() < 2:
        return None
    rows = rows[rows["choices"] != ""].drop_duplicates(["side", "fact"])
    if rows.empty:
        return None
    return Asked(len(rows), math.fsum(1 / len(json.loads(text)) for text in rows["choices"]) / len(rows))


def _of_evaluations(evaluations: Iterable[Mapping[str, Any]], side: str) -> Asked:
    for evaluation in evaluations:
        results = below(evaluation, "results", NAMES[side])
        chance = number(results.get("chance"))
        if math.isnan(chance) and side == "retain":
            chance = number(evaluation.get("chance"))
        count = number(results.get("questions"))
        if count > 0 or 0 < chance < 1:
            return Asked(int(count) if count > 0 else None, chance if 0 < chance < 1 else None)
    return Asked()


def _together(t: Asked, v: Asked) -> Asked:
    """T and V as one; where one of them is not known, the other stands for both, so that the number is the least."""
    count = (t.number or 0) + (v.number or 0) or None
    chances = [each.chance for each in (t, v) if each.chance is not None]
    return Asked(count, math.fsum(chances) / len(chances) if chances else None)
