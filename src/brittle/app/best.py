"""The ranking of a sweep's models: table and Pareto front, filtered by hyper-parameter; each opens on the page *Experiment*."""

from __future__ import annotations

import glob
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import streamlit as st

from brittle.app import imports, shown
from brittle.app.started import started
from brittle.results.ranking import Candidate, Ranking, ranked
from brittle.results.ranking_records import Models
from brittle.results.roots import changed, output_roots
from brittle.results.scores import SCORES
from brittle.sweeps import state
from brittle.views import html, ranking

AUTO = "what was measured"


@dataclass(frozen=True)
class Found:
    """The models of a sweep and the settings that made each."""

    models: tuple[Candidate, ...]
    settings: Mapping[str, Mapping[str, Any]]
    left_out: tuple[str, ...]


def show(outputs: Path) -> None:
    """Rank on demand: it reads every record of the sweep."""
    shown.heading("Which are the best?")
    if not st.toggle("Rank the models", key="ranking", bind="query-params", value=True):
        return
    found = shown.attempt(partial(_found, str(outputs), changed(outputs)))
    if found is None:
        return
    if not any(model.is_unlearned for model in found.models):
        shown.paragraph("No unlearned model of this sweep is finished yet.")
        return
    left, right = st.columns(2)
    score = left.selectbox("Score", [AUTO, *SCORES], key="score", bind="query-params")
    damaged = right.checkbox("Rank damaged models, too", key="damaged", bind="query-params")
    kept = _filtered(found)
    made = ranked(kept, None if score in (AUTO, None) else score, with_damaged=damaged, left_out=found.left_out)
    _show(made, found)
    _open(outputs, made)


@st.cache_resource(max_entries=4, show_spinner="Reading the records of all models …")
def _found(outputs: str, stamp: tuple[int, int]) -> Found:
    imports.models()
    from brittle.models.whole import digest_if_there

    del stamp
    noted = state.read(Path(outputs)).get("outdir")
    folder = Path(noted if isinstance(noted, str) else started().models)  # a sweep of an earlier version does not say
    models = Models(digest_if_there)
    models.read([folder] if folder.is_dir() else [], [Path(outputs)])
    settings = {model.name: model.settings for model in models.unlearned.values()}
    return Found(tuple(models.judged()), settings, tuple(models.reader.left_out))


def _filtered(found: Found) -> list[Candidate]:
    """References, and the unlearned models with the chosen value of a hyper-parameter."""
    values: dict[str, dict[str, None]] = {}
    for settings in found.settings.values():
        for name, value in settings.items():
            values.setdefault(str(name), {})[str(value)] = None
    differing = sorted(name for name, several in values.items() if len(several) > 1)
    left, right = st.columns(2)
    chosen = left.selectbox(
        "Hyper-parameter", differing, index=None, key="parameter", bind="query-params", placeholder="any"
    )
    if not chosen:
        return list(found.models)
    wanted = right.multiselect("Its values", list(values[chosen]), key="value", bind="query-params", placeholder="all")
    return [
        model for model in found.models
        if not model.is_unlearned or not wanted or str(found.settings.get(model.name, {}).get(chosen)) in wanted
    ]  # fmt: skip


def _show(made: Ranking, found: Found) -> None:
    shown.paragraph(ranking.summary(made))
    shown.section(lambda: ranking.picture(made))
    shown.table(ranking.table_of(made, made.runs, sortable=True), key="ranked")
    if len(made.baselines):
        shown.heading("Baselines")
        shown.table(ranking.table_of(made, made.baselines), key="baselines")
    for line in (*ranking.missing_words(made), ranking.CAUTION):
        shown.paragraph(line, "note")
    if found.left_out:
        shown.markup(html.listing([f"left out: {line}" for line in found.left_out]))


def _open(outputs: Path, made: Ranking) -> None:
    """A model of the table on the page *Experiment*, beside the references."""
    roots = output_roots(outputs)
    name = st.selectbox(
        "Open a model", list(made.runs["name"]), index=None, key="open", placeholder="choose one of the table"
    )
    if not name or not roots:
        return
    root = next((root for root in roots if any(root.glob(f"*{glob.escape(name)}*"))), roots[0])
    names = [
        path.name
        for path in root.iterdir()
        if path.is_dir() and path.name.startswith(name) and "__to__" not in path.name
    ]
    shown.page_link("experiment", "Open in Experiment", {"root": str(root), "models": names or [name]})
