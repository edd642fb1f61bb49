"""The table of questions and models: which facts came back under one attack, and what was answered instead."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import pandas
import streamlit as st

from brittle.app import shown
from brittle.figures.style import BAND
from brittle.results.facts import Fate, facts, freely, options_of
from brittle.results.outputs import ReportData
from brittle.views.questions import MARKS, READ

SIDES = ("V", "T")
GROUNDS = {
    Fate.CAME_BACK: "#f6c6b4",
    Fate.KNOWN: "#dcdcdc",
    Fate.TAUGHT: "#f7e3b5",
    Fate.LOST: "#cfe0f3",
    Fate.UNKNOWN: BAND,
}
"""The ground of each fate beside its mark, so that nothing rests on colour alone."""


def show(data: ReportData) -> None:
    """Choose attack and side, count the fates, list the facts."""
    found = facts(data)
    if found.empty:
        shown.paragraph("No answers under attack are recorded here, so that nothing can be said to have come back.")
        return
    every = [] if data.recovery is None else data.recovery["attack"].unique().tolist()
    done = [str(name) for name in every if name in set(found["attack"])]
    left, right = st.columns(2)
    attack = left.selectbox("Attack", done, key="attack", bind="query-params")
    side = right.selectbox(
        "Questions: V, never shown by the attack, or T, taught", SIDES, key="side", bind="query-params"
    )
    rows = found[(found["attack"] == (attack or done[0])) & (found["side"] == (side or "V").lower())]
    shown.heading("What became of the facts")
    st.dataframe(_counts(rows), hide_index=True)
    _list(data, rows)


def _counts(rows: pandas.DataFrame) -> pandas.DataFrame:
    """How many facts had each fate, by model."""
    counted = rows.groupby(["label", "fate"], sort=False).size().unstack(fill_value=0).reset_index()
    columns = [fate for fate in Fate if fate in counted]
    return counted[["label", *columns]].rename(
        columns={"label": "model"} | {each: f"{MARKS[each]} {each}" for each in columns}
    )


def _list(data: ReportData, rows: pandas.DataFrame) -> None:
    """Every question with its answer and its fate in every model."""
    only = st.toggle("Only facts that came back in some model", key="returned", bind="query-params")
    returned = set(rows.loc[rows["fate"] == Fate.CAME_BACK, "fact"])
    rows = rows[rows["fact"].isin(returned)] if only else rows
    if rows.empty:
        shown.paragraph("No fact came back in any of these models.")
        return
    rows = rows.assign(
        cell=[_cell(each) for each in rows.to_dict("records")], ground=rows["fate"].map(GROUNDS).fillna("")
    )
    labels = [label for model in data.models if (label := model.label) in set(rows["label"])]
    cells, grounds = (
        rows.pivot_table(index="fact", columns="label", values=each, aggfunc="first", sort=False)[labels].fillna("")
        for each in ("cell", "ground")
    )
    right = rows.drop_duplicates("fact").set_index("fact")["right"].str.strip()
    table = pandas.concat([right.rename("right answer"), cells], axis=1).reset_index(names="question")
    marked = grounds.reindex(columns=table.columns, fill_value="").set_axis(table.index)
    styles = marked.map(lambda colour: f"background-color: {colour}" if colour else "")
    st.dataframe(table.style.apply(lambda _: styles, axis=None), hide_index=True, height=shown.ROWS, key="facts")
    shown.paragraph(
        f"{READ} Behind each mark: in how many seeds it is right after the attack, and what most of them choose; "
        "in quotation marks: what most of them say without choices, before → after.",
        "note",
    )
    asked = st.selectbox("Ask the models one of these questions", list(table["question"]), index=None, key="ask")
    if asked:
        _link(data, asked)


def _cell(row: Mapping[Hashable, Any]) -> str:
    """A fate with the seeds that are right after the attack, what most of them choose, and what they say by themselves."""
    fate, right = Fate(row["fate"]), round(row["after"] * row["seeds"])
    chosen = f"{MARKS[fate]} {right}/{row['seeds']} {str(row['said']).strip()}".strip()
    return "; ".join(filter(None, (chosen, freely(row))))


def _link(data: ReportData, question: str) -> None:
    """The question on the page *Chat*, with the first models that are judged beside the references."""
    order = [*data.of_role("base")[:1], *data.judged()[:1], *data.of_role("filtered")[:1]]
    asked = {"model": [model.reference or model.name for model in order], "prompt": question}
    answers = data.answers
    told = (
        []
        if answers is None or "choices" not in answers
        else answers.loc[answers["fact"] == question, "choices"].tolist()
    )
    options = options_of(told[0]) if told else []
    choices = {"choices": "\n".join(choice.strip() for choice in options)} if options else {}
    shown.page_link("chat", "Open in Chat", asked | choices)
