"""The page *Methods*: what ``docs/methods.md`` says of every unlearning method, with its formula rendered."""

from __future__ import annotations

import re
from pathlib import Path

import streamlit as st

from brittle import discovery
from brittle.app import shown
from brittle.views import plugin_pages
from brittle.views.formulas import latex

MEASURED = Path("benchmarks/results/methods.csv")
"""The measurement whose results the pages show, where the app is started in a checkout."""


def page() -> None:
    """One method at a time; the words are those of its own file."""
    shown.begin("Methods", "How each unlearning method works, its settings, and what it did in the laboratory.")
    names = list(discovery.plugins("methods"))
    chosen = st.selectbox("Method", names, key="method", bind="query-params") or names[0]
    with st.expander("Words that all pages use"):
        st.markdown(_parts(MEASURED.is_file())["Terms"])
    st.markdown(rendered(_parts(MEASURED.is_file())[chosen]))


@st.cache_data(show_spinner="Writing the pages …")
def _parts(measured: bool) -> dict[str, str]:
    """The document by method; the terms stand under ``Terms``."""
    text = plugin_pages.page(MEASURED if measured else None)
    top, *parts = re.split(r"(?m)^## (?=\w+$)", text)
    terms = top[top.index("Terms:") :] if "Terms:" in top else top
    return {part.partition("\n")[0].strip(): part.partition("\n")[2] for part in parts} | {
        "Terms": terms.partition("\n## ")[0]
    }


def rendered(markdown: str) -> str:
    """A method's page with its formulas in LaTeX, and links to other methods as addresses of this page."""
    with_formulas = re.sub(r"(?ms)^```\n(.*?)^```$", lambda found: f"$$\n{latex(found[1])}\n$$", markdown)
    return re.sub(r"\]\(#(\w+)\)", r"](?method=\1)", with_formulas).replace("``", "`")
