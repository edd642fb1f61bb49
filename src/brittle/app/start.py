"""The first page: what each of the others is for, and where results and models are looked for."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from brittle.app import shown
from brittle.app.started import started

PAGES = {
    "chat": "Ask up to three models the same, side by side, with the probability of every word.",
    "experiment": "Read what an output folder shows: verdict, figures, which facts came back.",
    "sweep": "Follow a sweep of many models, rank them, go on with it or stop it.",
    "lens": "See at which layer an answer can be read, in up to three models.",
    "data": "Check what is understood of a file of texts or questions.",
    "methods": "Read how each unlearning method works.",
}
"""What each page is for."""


def page() -> None:
    """Links to all pages."""
    shown.begin("Brittle", "After unlearning, is the knowledge gone or only hidden?")
    for name, words in PAGES.items():
        shown.page_link(name, name.capitalize(), {})
        st.caption(words)
    results, models = started().results.absolute(), Path(started().models).absolute()
    shown.paragraph(f"Results are looked for below {results}, models below {models}.", "note")
