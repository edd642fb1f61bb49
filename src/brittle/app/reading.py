"""Records as :mod:`brittle.results` reads them, kept between two looks until something below their folder changes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import streamlit as st

from brittle.results import outputs, roots
from brittle.results.damage import Health
from brittle.results.outputs import ModelResult, ReportData

MOST_KEPT = 200
"""Pages of models whose results stay in memory: about a megabyte each."""


@dataclass(frozen=True)
class Root:
    """An outputs folder as it is now: a change makes another one of it."""

    folder: str
    stamp: tuple[int, int]

    @property
    def path(self) -> Path:
        """The folder."""
        return Path(self.folder)


def root_of(folder: Path) -> Root:
    """The folder as it is now."""
    return Root(str(folder), roots.changed(folder))


@st.cache_resource(max_entries=16, show_spinner=False)
def listed(root: Root) -> tuple[list[ModelResult], list[str]]:
    """The models that it names, without what was measured, and what could not be read."""
    return outputs.listed(root.path)


@st.cache_resource(max_entries=16, show_spinner="Reading whether the models still work …")
def healths(root: Root) -> dict[str, Health]:
    """Whether each model still works, by name."""
    return outputs.healths(root.path)


@st.cache_resource(max_entries=MOST_KEPT, show_spinner="Reading the records …")
def read(root: Root, names: tuple[str, ...]) -> ReportData:
    """What was measured on these models."""
    return outputs.gather(root.path, names)
