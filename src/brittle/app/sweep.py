"""The page *Sweep*: how far many models are, which are the best, and how to go on with them or stop them."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path
from typing import Any

import pandas
import streamlit as st

from brittle.app import best, processes, shown
from brittle.app.started import started
from brittle.progress import duration, several
from brittle.results.roots import sweeps
from brittle.sweeps import state
from brittle.views import sweep_table

EVERY = 3.0
"""Seconds between two looks at ``sweep.json``."""
LATE = 60.0
"""Seconds without a change from which it is said how old the table is."""


def page() -> None:
    """Choose a sweep; its table, which refreshes itself; the ranking of its models."""
    shown.begin("Sweep", "How far the models of a sweep are, and which of them are the best.")
    found = list(map(str, sweeps(started().results)))
    named = st.selectbox(
        "Folder of the sweep", found, key="sweep", bind="query-params", accept_new_options=True, index=0 if found else None,
        placeholder="choose a folder, or type its path",
    )  # fmt: skip
    if not named:
        shown.remark(
            f"There is no sweep below {started().results.absolute()}. Start one with: uv run brittle sweep sweeps/laboratory.yaml. "
            "Or type the path of a sweep's outputs above."
        )
        return
    outputs = Path(named).expanduser()
    live(outputs)
    best.show(outputs)


@st.fragment(run_every=EVERY)
def live(outputs: Path) -> None:
    """The table of all models; it is read again every few seconds."""
    processes.forget_ended()
    content = shown.attempt(partial(state.read, outputs))
    if content is None:
        return
    here = state.runs_here(content)
    shown.heading(f"{content.get('name', 'sweep')}: {sweep_table.counts(content)}")
    shown.paragraph(_words(content, here), "note")
    _controls(outputs, content, here)
    chosen = st.pills(
        "Only",
        sorted({job["status"] for job in content["jobs"]} & KNOWN),
        selection_mode="multi",
        key="status",
        bind="query-params",
    )
    jobs = [job for job in content["jobs"] if not chosen or job["status"] in chosen]
    st.dataframe(table(jobs), hide_index=True, height=shown.ROWS, key="jobs", column_config={
        "done": st.column_config.ProgressColumn(format="percent", min_value=0, max_value=1),
    })  # fmt: skip


KNOWN = {"queued", "running", "done", "failed", "elsewhere", "done before", "done by others", "no room on the disk"}
"""The words of :class:`brittle.sweeps.driver.Status`."""


def table(jobs: list[dict[str, Any]]) -> pandas.DataFrame:
    """A row for each model: what runs and what failed first."""
    order = {
        status: place
        for place, status in enumerate(("running", "failed", "no room on the disk", "elsewhere", "queued"))
    }
    rows = [
        {
            "model": job["title"], "status": job["status"], "stage": job.get("stage") or "", "done": _share(job),
            "left": duration(job["seconds_left"]) if isinstance(job.get("seconds_left"), int | float) else "",
            "took": duration(job["seconds"]) if job.get("seconds") else "", "reason": str(job["reason"]),
        }
        for job in sorted(jobs, key=lambda job: order.get(job["status"], len(order)))
    ]  # fmt: skip
    columns = ["model", "status", "stage", "done", "left", "took", "reason"]
    return pandas.DataFrame(rows, columns=columns)


def _share(job: dict[str, Any]) -> float | None:
    done, of = job.get("done"), job.get("of")
    if isinstance(done, int) and isinstance(of, int) and of:
        return min(1.0, done / of)
    return 1.0 if job["status"] in ("done", "done before", "done by others") else None


def _words(content: dict[str, Any], here: bool | None) -> str:
    """Who drives the sweep, and how old the table is."""
    noted = content.get("driver")
    place = noted.get("name") if isinstance(noted, dict) else None
    if here:
        words = (
            "It is being stopped: models at work are finished."
            if content.get("stopping")
            else "It runs on this machine."
        )
    elif here is None:
        words = (
            f"It was begun on {place}, where it is stopped or gone on with."
            if place
            else "It is not known which process drives it."
        )
    else:
        words = "No process works at it now."
    age = time.time() - content["updated"] if isinstance(content.get("updated"), int | float) else 0.0
    return f"{words} The table is {duration(age)} old." if age > LATE else words


def _controls(outputs: Path, content: dict[str, Any], here: bool | None) -> None:
    """Stop what runs here; go on with what does not run."""
    log = outputs / processes.LOG
    if here:
        words = "Stop at once" if content.get("stopping") else "Stop after the models at work"
        told = "as Ctrl-C does: what is finished is kept, and the sweep can be gone on with"
        st.button(words, help=told, on_click=_stop, args=(content,))
        return
    again, folder = content.get("again"), content.get("folder")
    left = sum(job["status"] not in ("done", "done before", "done by others") for job in content["jobs"])
    if here is False and left and _are_words(again) and isinstance(folder, str) and Path(folder).is_dir():
        words = f"Go on with {several(left, 'model')}"
        st.button(words, type="primary", on_click=_go_on, args=(["sweep", *(again or [])], Path(folder), log))
    if said := processes.end_of(log):
        with st.expander("What its last process said"):
            st.code(said, language=None, wrap_lines=True)


def _stop(content: dict[str, Any]) -> None:
    state.ask_to_stop(content)


def _go_on(words: list[str], folder: Path, log: Path) -> None:
    processes.start(words, folder, log)


def _are_words(noted: Any) -> bool:
    return isinstance(noted, list) and bool(noted) and all(isinstance(word, str) for word in noted)
