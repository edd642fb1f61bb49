"""The page *Experiment*: what an output folder shows. Verdict and picture first, then whatever is asked for, one part at a time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import streamlit as st

from brittle.app import fates, filters, shown
from brittle.app.started import started
from brittle.results.outputs import ReportData, attacks, gather
from brittle.results.roots import changed, output_roots
from brittle.views import (
    attack_path,
    attack_tables,
    attacks_at_matched_t,
    attacks_at_strongest,
    changes_by_layer,
    model_verdicts,
    models,
    overview,
    signature,
)
from brittle.views.answer import answer_on_top
from brittle.views.words import several

Make = Callable[[ReportData], Any]
PARTS: Mapping[str, tuple[Make, ...]] = {
    "All models at a glance": (),
    "What came back, attack by attack": (attacks_at_matched_t.attack,),
    "Facts: which came back": (),
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
    root = chosen_root()
    if root is None:
        return
    data = shown.attempt(partial(read, str(root), changed(root)))
    if data is None:
        return
    _left_out(data)
    kept = filters.chosen(data)
    shown.section(partial(answer_on_top, kept.page))
    filters.told(kept)
    part = st.selectbox("Show", list(PARTS), key="part", bind="query-params")
    _show(part or next(iter(PARTS)), root, kept)


@st.cache_resource(max_entries=4, show_spinner="Reading the records …")
def read(root: str, stamp: tuple[int, int]) -> ReportData:
    """What the report is made from. It is read again once anything below the folder has changed (``stamp``)."""
    del stamp
    return gather(Path(root))


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


def _left_out(data: ReportData) -> None:
    """Broken records are named; the rest is shown."""
    if data.left_out:
        number = len(data.left_out)
        shown.remark(f"{number} {'file or part of one' if number == 1 else 'files or parts of them'} could not be read and "
                     f"{'is' if number == 1 else 'are'} left out: {data.left_out[0]}")  # fmt: skip
        if number > 1:
            with st.expander("All that was left out"):
                st.code("\n".join(data.left_out), language=None, wrap_lines=True)


def _show(part: str, root: Path, kept: filters.Kept) -> None:
    if part == "All models at a glance":
        _glance(kept)
    elif part == "Facts: which came back":
        fates.show(kept.page, root)
    else:
        for make in PARTS[part]:
            shown.section(partial(make, kept.page))


def _glance(kept: filters.Kept) -> None:
    """Every model that the filters keep in one table, then what came back under every attack, with intervals."""
    shown.heading("All models at a glance")
    shown.table(overview.table_of(kept.all), key="glance", height=shown.ROWS)
    done = attacks(kept.all)
    if done:
        shown.heading(f"V once T is learned: {several([name.replace('_', ' ') for name in done])}")
        shown.table(attack_tables.matched(kept.all), key="matched", height=shown.ROWS)
