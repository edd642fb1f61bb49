"""Which facts came back: a row for every question under every attack on every model, from the answers that runs recorded."""

from __future__ import annotations

import json
import math
from collections.abc import Hashable, Mapping, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import pandas

from brittle.results.at_strongest import steps_of

if TYPE_CHECKING:
    from brittle.results.outputs import ReportData

KEY = ["attack", "side", "fact", "model"]
MOSTLY = 0.5
"""Share of the seeds from which a fact counts as answered."""


class Fate(StrEnum):
    """What became of one fact in one model under one attack, over most of its seeds."""

    KNOWN = "known before"
    """Right before the attack and after it."""
    CAME_BACK = "came back"
    """Wrong before, right after, and never shown: one in as many as there are choices does so by chance."""
    TAUGHT = "taught"
    """Likewise, of the half that attacks may teach."""
    LOST = "lost"
    """Right before, wrong after."""
    ABSENT = "stayed wrong"
    UNKNOWN = "not recorded"
    """What it answered before the attack is not known."""


def facts(data: ReportData) -> pandas.DataFrame:
    """One row per question, attack and model, of the models that ``data`` has, in their order; empty without recorded answers.

    Columns: ``attack``; ``side`` (``v``: never shown, ``t``: may be taught); ``fact``; ``model``, its ``label`` and ``role``;
    ``right``: the right choice; ``seeds``; ``before`` and ``after``: shares of the seeds, 0 to 1, that answer it right before the
    attack and where T is learned (else at the end), ``before`` NaN where it was not recorded; ``said_before`` and ``said``: the
    choice that most seeds take then, and ``generated_before`` and ``generated``: what most seeds say then by themselves, all
    empty where it was not recorded; ``first``: the earliest step at which it was right, NaN for
    none; ``fate``: a :class:`Fate`.
    """
    names = {model.name: model for model in data.models}
    answers = data.answers
    if answers is None or not (told := answers["model"].isin(names)).any():
        return pandas.DataFrame(columns=[*KEY, "label", "role", *COLUMNS, "fate"])
    rows = _rows(answers[told])
    groups = rows.groupby(KEY, sort=False)
    found = groups.agg(
        right=("right", "first"), seeds=("seed", "nunique"), before=("before", "mean"), after=("after", "mean"),
        said_before=("said_before", _most), said=("said", _most), first=("first", "min"),
        generated_before=("generated_before", _most), generated=("generated", _most),
    ).reset_index()  # fmt: skip
    order = {name: place for place, name in enumerate(names)}
    found = found.assign(
        label=found["model"].map({name: model.label for name, model in names.items()}),
        role=found["model"].map({name: model.role for name, model in names.items()}),
        fate=[_fate(*each) for each in found[["side", "before", "after"]].itertuples(index=False)],
        place=found["model"].map(order),
    )
    found = found.sort_values(["attack", "side", "fact", "place"], ascending=[True, False, True, True], kind="stable")
    return found[[*KEY, "label", "role", *COLUMNS, "fate"]].reset_index(drop=True)


COLUMNS = ("right", "seeds", "before", "after", "said_before", "said", "generated_before", "generated", "first")


def _rows(answers: pandas.DataFrame) -> pandas.DataFrame:
    """A row for each run and question, with what it was right at."""
    wanted = ("attack", "right_at", "option", "choices", "option_before", "generated_before", "generated")
    absent = {name: "" for name in wanted if name not in answers}
    answers = answers.assign(**absent)
    steps = answers["right_at"].map({text: steps_of(text) for text in answers["right_at"].unique()})
    options = answers["choices"].map({text: options_of(text) for text in answers["choices"].unique()})
    right = [
        each[place] if place < len(each) else "" for each, place in zip(options, answers["choice_correct"], strict=True)
    ]
    before = [math.nan if each is None else float(0 in each) for each in steps]
    return answers.assign(
        right=right, before=before, after=(answers["choice_predicted"] == answers["choice_correct"]).astype(float),
        first=[min(each) if each else math.nan for each in steps], said=answers["option"],
        said_before=[
            said or (correct if known == 1 else "")
            for said, correct, known in zip(answers["option_before"], right, before, strict=True)
        ],
    )  # fmt: skip


def options_of(text: str) -> list[str]:
    """The choices of a question; none where the table has no such list."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return []
    return [str(each) for each in found] if isinstance(found, list) else []


def freely(row: Mapping[Hashable, Any]) -> str:
    """What a row's model says by itself before and after the attack; empty where that was not recorded."""
    told = [str(row[name]).strip() for name in ("generated_before", "generated")]
    return " → ".join(f"“{text}”" if text else "–" for text in told) if any(told) else ""


def _most(said: Sequence[str]) -> str:
    """What is said most often, the first of several."""
    counted = pandas.Series(list(said)).value_counts(sort=True)
    return str(counted.index[0])


def _fate(side: str, before: float, after: float) -> Fate:
    if math.isnan(before):
        return Fate.UNKNOWN
    if before > MOSTLY:
        return Fate.KNOWN if after > MOSTLY else Fate.LOST
    if after > MOSTLY:
        return Fate.CAME_BACK if side == "v" else Fate.TAUGHT
    return Fate.ABSENT
