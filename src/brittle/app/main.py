"""The script that Streamlit runs (``brittle app``): the pages and their addresses. Each page is imported when it is opened."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from brittle.app import imports

PAGES = {
    "start": "What can be done here",
    "chat": "Ask several models the same and see what each goes on with",
    "experiment": "What an output folder shows: the verdict, figures, facts",
    "sweep": "Many models: how far they are, which are the best",
    "lens": "At which layer an answer can be read",
    "data": "What is understood of a file of texts or questions",
    "methods": "Every unlearning method, with its formula",
}
"""The file of each page, which is also its address; the first has none."""


def opened(name: str) -> Callable[[], None]:
    """The function that shows a page."""

    def page() -> None:
        imports.module(f"brittle.app.{name}").page()

    page.__name__ = name
    return page


@st.cache_resource
def _warm() -> None:
    """Once for all sessions."""
    imports.warm()


def main() -> None:
    """Show the page that was asked for."""
    _warm()
    st.set_page_config(page_title="Brittle", page_icon="◐", layout="wide")
    pages = [
        st.Page(opened(name), title=name.capitalize(), url_path=name, default=name == "start", help=words)
        for name, words in PAGES.items()
    ]
    st.navigation(pages).run()


if __name__ == "__main__":
    main()
