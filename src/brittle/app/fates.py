"""The table of questions and models: which facts came back under one attack, and what was answered instead."""

from __future__ import annotations

from functools import partial

import pandas
import streamlit as st

from brittle.app import reading, shown
from brittle.figures.style import BAND
from brittle.results.facts import Facts, Fate
from brittle.results.outputs import ReportData

SIDES = ("V", "T")
SIGNS = {
    Fate.KNOWN: ("●", "#dcdcdc"), Fate.CAME_BACK: ("▲", "#f6c6b4"), Fate.GONE: ("·", ""), Fate.LOST: ("▽", "#cfe0f3"),
    Fate.AFTER: ("○", BAND),
}  # fmt: skip
"""How each fate is marked, by sign and ground, so that nothing rests on colour alone."""


def show(data: ReportData, root: reading.Root) -> None:
    """Choose attack and side, count the fates, list the facts."""
    done = [] if data.recovery is None else [str(name) for name in data.recovery["attack"].unique()]
    if not done:
        shown.paragraph("No attack was carried out here, so that nothing can have come back.")
        return
    left, right = st.columns(2)
    attack = left.selectbox("Attack", done, key="attack", bind="query-params")
    side = right.selectbox(
        "Questions: V, never shown by the attack, or T, taught", SIDES, key="side", bind="query-params"
    )
    names = tuple(model.name for model in data.models)
    found = shown.attempt(partial(reading.facts_of, root, names, attack or done[0], (side or "V").lower()))
    if found is None or not found.of:
        shown.paragraph("The answers under this attack were not recorded.")
        return
    shown.heading("What became of the facts")
    st.dataframe(_counts(data, found), hide_index=True)
    shown.paragraph(
        "Of an attack with several seeds, a fact counts as answered where most seeds answer it. Read: once T was learned, or at "
        "the last step where it never was. Guessing is right now and then: compare with the filtered model, which never knew.",
        "note",
    )
    _list(data, found)


def _counts(data: ReportData, found: Facts) -> pandas.DataFrame:
    """How many facts had each fate, by model."""
    rows = []
    for model in data.models:
        own = [known[model.name].fate for known in found.of.values() if model.name in known]
        if own:
            rows.append({"model": model.label} | {f"{SIGNS[fate][0]} {fate}": own.count(fate) for fate in Fate})
    table = pandas.DataFrame(rows)
    return table.loc[:, [name for name in table if name == "model" or table[name].any()]]


def _list(data: ReportData, found: Facts) -> None:
    """Every question with its answer and its fate in every model."""
    only = st.toggle("Only facts that came back in some model", key="returned", bind="query-params")
    labels = {model.name: model.label for model in data.models}
    rows, grounds = [], []
    for question, known in found.of.items():
        if only and not any(fact.fate == Fate.CAME_BACK for fact in known.values()):
            continue
        cells = {
            label: f"{SIGNS[fact.fate][0]} {fact.right}/{fact.seeds}" + (f" {fact.chosen}" if fact.chosen else "")
            for name, label in labels.items() if (fact := known.get(name))
        }  # fmt: skip
        rows.append({"question": question, "right answer": found.answers[question]} | cells)
        grounds.append({label: SIGNS[known[name].fate][1] for name, label in labels.items() if name in known})
    if not rows:
        shown.paragraph("No fact came back in any of these models.")
        return
    table = pandas.DataFrame(rows).fillna("")
    marked = pandas.DataFrame(grounds, index=table.index, columns=table.columns).fillna("")
    styles = marked.map(lambda colour: f"background-color: {colour}" if colour else "")
    st.dataframe(table.style.apply(lambda _: styles, axis=None), hide_index=True, height=shown.ROWS, key="facts")
    signs = ", ".join(f"{SIGNS[fate][0]} {fate}" for fate in Fate)
    shown.paragraph(f"{signs}. Then how many seeds answer right, and what most of them choose.", "note")
    asked = st.selectbox(
        "Ask the models one of these questions", [row["question"] for row in rows], index=None, key="ask"
    )
    if asked:
        _link(data, found, asked)


def _link(data: ReportData, found: Facts, question: str) -> None:
    """The question on the page *Chat*, with the first models that are judged beside the references."""
    order = [*data.of_role("base")[:1], *data.judged()[:1], *data.of_role("filtered")[:1]]
    asked = {"model": [model.reference or model.name for model in order], "prompt": question}
    choices = (
        {"choices": "\n".join(choice.strip() for choice in found.choices[question])} if found.choices[question] else {}
    )
    shown.page_link("chat", "Open in Chat", asked | choices)
