"""The page *Experiment*: what an output folder shows. Verdict and picture first, then whatever is asked for, one part at a time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import streamlit as st

from brittle.app import fates, filters, glance, reading, shown
from brittle.app.started import started
from brittle.progress import several
from brittle.results.outputs import ReportData
from brittle.results.roots import output_roots
from brittle.views import (
    attack_path,
    attacks_at_matched_t,
    attacks_at_strongest,
    changes_by_layer,
    model_verdicts,
    models,
    signature,
)
from brittle.views.answer import answer_on_top

GLANCE, FACTS = "All models at a glance", "Facts: which came back"
Make = Callable[[ReportData], Any]
PARTS: Mapping[str, tuple[Make, ...]] = {
    GLANCE: (),
    "What came back, attack by attack": (attacks_at_matched_t.attack,),
    FACTS: (),
    "Signature, with controls": (signature.signature,),
    "What to think of each model": (model_verdicts.verdicts,),
    "Other attacks, and the worst case": (
        attacks_at_strongest.from_few_texts, attacks_at_strongest.search, attacks_at_strongest.benign,
        attacks_at_strongest.without_teaching, attacks_at_strongest.worst, attack_path.trajectory,
    ),
    "Changes by layer": (changes_by_layer.weights, changes_by_layer.activations, changes_by_layer.lens),
    "The models before any attack": (models.models,),
    "In ten lines": (models.summary,),
    "Limits, and what was not measured": (models.limits,),
    "Records": (models.records,),
}  # fmt: skip
"""The parts of the page and the report's sections that each shows; those without any are the app's own."""


def page() -> None:
    """Choose an output folder, say what it shows, then one part of it."""
    shown.begin("Experiment", "What unlearning did, what attacks brought back, and beside what that is to be seen.")
    folder = chosen_root()
    if folder is None:
        return
    root = reading.root_of(folder)
    if shown.attempt(partial(reading.listed, root)) is None:
        return
    kept = filters.chosen(root)
    data = shown.attempt(kept.data)
    if data is None:
        return
    _left_out(data.left_out)
    shown.section(partial(answer_on_top, data))
    filters.told(kept)
    part = st.selectbox("Show", list(PARTS), key="part", bind="query-params") or GLANCE
    if part == GLANCE:
        glance.show(kept)
    elif part == FACTS:
        fates.show(data)
    else:
        for make in PARTS[part]:
            shown.section(partial(make, data))


def chosen_root() -> Path | None:
    """The output folder to show: one that was found, or any that is typed; None, with what to do, where there is none."""
    roots = list(map(str, output_roots(started().results)))
    named = st.selectbox(
        "Output folder", roots, key="root", bind="query-params", accept_new_options=True,
        index=0 if roots else None, placeholder="choose a folder, or type its path",
    )  # fmt: skip
    if named:
        return Path(named).expanduser()
    shown.remark(
        f"There are no results below {started().results.absolute()}. Make some with: uv run brittle demo. "
        "Or type the path of an output folder above."
    )
    return None


def _left_out(lines: Sequence[str]) -> None:
    """Broken records are named; the rest is shown."""
    if not lines:
        return
    shown.remark(f"{several(len(lines), 'thing')} in this folder could not be read; the rest is shown: {lines[0]}")
    if len(lines) > 1:
        with st.expander("All that was left out"):
            st.code("\n".join(lines), language=None, wrap_lines=True)
