"""All models of an experiment in one table. Of many, those of one page are read at first, the others when they are asked for."""

from __future__ import annotations

from dataclasses import replace

import streamlit as st

from brittle.app import filters, shown
from brittle.results.outputs import ReportData, attacks
from brittle.views import attack_tables, overview
from brittle.views.tables import Table

FIRST = {"glance": ("model", "verdict"), "matched": ("model", "attack", "reading")}
"""The columns that stand first, because a narrow screen shows few."""


def show(kept: filters.Kept) -> None:
    """The table of all models, then what came back under every attack that teaches, with intervals."""
    parts = [kept.data()]
    if kept.pages > 1 and st.toggle(
        f"Read all {len(kept.names)} models (about {max(1, round(kept.pages * 2 / 60))} min the first time)",
        key="all",
        bind="query-params",
    ):
        parts = _all(kept)
    shown.heading("All models at a glance")
    shown.table(_first("glance", _together([overview.table_of(part) for part in parts])), key="glance")
    if any(attacks(part) for part in parts):
        shown.heading("V once T is learned, under every attack that teaches T")
        shown.table(_first("matched", _together([attack_tables.matched(part) for part in parts])), key="matched")


def _all(kept: filters.Kept) -> list[ReportData]:
    """Every page, with a bar; what is read stays, so that it goes on where it was stopped."""
    bar = st.progress(0.0, "Reading")
    stop = st.empty()
    stop.button("Stop reading", on_click=_stop)
    parts = []
    for page in range(kept.pages):
        parts.append(kept.data(page))
        bar.progress((page + 1) / kept.pages, f"Reading models: page {page + 1} of {kept.pages}")
    bar.empty()
    stop.empty()
    return parts


def _stop() -> None:
    st.session_state["all"] = False


def _together(tables: list[Table]) -> Table:
    """One table: the references, which every page has, stand there once."""
    rows = {tuple(map(str, row)): row for table in tables for row in table.rows}
    return replace(tables[0], rows=list(rows.values()))


def _first(name: str, table: Table) -> Table:
    order = [*FIRST[name], *(column for column in table.header if column not in FIRST[name])]
    return table.only(*order)
