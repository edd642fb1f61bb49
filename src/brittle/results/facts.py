"""Which facts came back: every question under one attack beside every model, from the answers that runs recorded.

Of a run it is known at which steps a question was answered right (``right_at``), and what was answered at one step: the first
at which T was learned, or the last where it never was. Runs from before ``right_at`` was recorded tell the second alone.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import pandas

from brittle.results.attack_records import read_answers
from brittle.results.outputs import ReportData
from brittle.results.reader import Reader

MOST = 0.5
"""Share of an attack's seeds above which a fact counts as answered."""


class Fate(StrEnum):
    """What became of one fact in one model."""

    KNOWN = "known before and after"
    CAME_BACK = "came back"
    GONE = "not answered"
    LOST = "lost"
    AFTER = "answered after"
    """It is not recorded whether it was answered before."""


@dataclass(frozen=True)
class Fact:
    """One question under one attack, put to one model with several seeds."""

    fate: Fate
    right: int
    """Seeds that answer it right at the step that is read."""
    seeds: int
    chosen: str
    """What most seeds choose there; empty where it is not recorded."""


@dataclass(frozen=True)
class Facts:
    """All questions of one side under one attack: ``of[question][model]``, ``answers[question]``, by side of the questions."""

    attack: str
    side: str
    of: Mapping[str, Mapping[str, Fact]]
    answers: Mapping[str, str]
    """The right answer of each question; empty where it is not recorded."""
    choices: Mapping[str, tuple[str, ...]]


def facts(data: ReportData, outputs: Path, attack: str, side: str = "v") -> Facts:
    """The facts of one side, ``v`` or ``t``, under one attack, of the models that the data have.

    A fact came back where most seeds answer it after the attack and it was not answered before. Guessing is right now and
    then, so that a single fact proves nothing; the report's tests count all of them.
    """
    table = read_answers(Reader(outputs))
    names = {model.name for model in data.models}
    found: dict[str, dict[str, Fact]] = {}
    answers: dict[str, str] = {}
    choices: dict[str, tuple[str, ...]] = {}
    if table is not None:
        own = table[(table["side"] == side) & table["model"].isin(names)]
        own = own[own["attack"] == attack] if "attack" in own else own
        for (question, model), rows in own.groupby(["fact", "model"], sort=False):
            found.setdefault(str(question), {})[str(model)] = _fact(rows)
        for row in own.drop_duplicates("fact").to_dict("records"):
            options = tuple(json.loads(row["choices"])) if row.get("choices") else ()
            choices[str(row["fact"])] = options
            answers[str(row["fact"])] = options[row["choice_correct"]].strip() if options else ""
    return Facts(attack, side, found, answers, choices)


def _fact(rows: pandas.DataFrame) -> Fact:
    right = rows["choice_predicted"] == rows["choice_correct"]
    after = right.mean() > MOST
    chosen = rows["option"].mode() if "option" in rows else pandas.Series(dtype=str)
    told = rows["right_at"] != "" if "right_at" in rows else pandas.Series(False, index=rows.index)
    if not told.any():
        fate = Fate.AFTER if after else Fate.GONE
    else:
        before = rows.loc[told, "right_at"].map(lambda text: 0 in _steps(text)).mean() > MOST
        fate = {(True, True): Fate.KNOWN, (False, True): Fate.CAME_BACK, (True, False): Fate.LOST}.get(
            (bool(before), bool(after)), Fate.GONE
        )
    return Fact(fate, int(right.sum()), len(rows), str(chosen.iloc[0]).strip() if len(chosen) else "")


def _steps(text: str) -> list[int]:
    try:
        steps = json.loads(text)
    except ValueError:
        return []
    return steps if isinstance(steps, list) else []
