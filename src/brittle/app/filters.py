"""Which of an experiment's models are shown: by method, damage, a setting or name; of many, a page at a time.

Only what is seen is read: an outputs folder with hundreds of models opens as fast as one with eight.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from math import ceil

import streamlit as st

from brittle.app import reading, shown
from brittle.figures import style
from brittle.results.outputs import ModelResult, ReportData
from brittle.results.roles import REFERENCES

SEVERAL = 2


@dataclass(frozen=True)
class Kept:
    """The models that the filters keep; ``data`` is what was measured on those of this page, and on the references."""

    root: reading.Root
    references: tuple[str, ...]
    names: tuple[str, ...]
    """Of all models in question that are kept."""
    page: int
    """Counted from 0."""
    every: int
    """Models in question that the folder holds."""

    @property
    def pages(self) -> int:
        """As many as it takes with as many models on each as figures have colours."""
        return max(1, ceil(len(self.names) / style.MOST))

    def data(self, page: int | None = None) -> ReportData:
        """What was measured on the models of a page, this one by default."""
        start = (self.page if page is None else page) * style.MOST
        return reading.read(self.root, (*self.references, *self.names[start : start + style.MOST]))


def chosen(root: reading.Root) -> Kept:
    """Ask for filters where there is something to choose from, and apply them."""
    models, _ = reading.listed(root)
    references = tuple(model.name for model in models if model.role in REFERENCES)
    judged = [model for model in models if model.name not in references]
    with st.expander(
        "Filter", expanded=any(name in st.query_params for name in ("method", "damage", "setting", "models"))
    ):
        kept = _by("method", judged, lambda model: model.method or "unknown")
        kept = _by_damage(root, kept)
        kept = _by_setting(kept)
        names = st.multiselect(
            "Models", [model.name for model in kept], key="models", bind="query-params", placeholder="all",
            accept_new_options=True,
        )  # fmt: skip
        kept = [model for model in kept if not names or model.name in names]
    found = Kept(root, references, tuple(model.name for model in kept), 0, len(judged))
    if found.pages == 1:
        return found
    place = st.number_input(
        f"Page of {style.MOST} models, 1 to {found.pages}", 1, found.pages, key="page", bind="query-params"
    )
    return Kept(root, references, found.names, int(place) - 1, len(judged))


def told(kept: Kept) -> None:
    """How many models there are, where not all of them are seen."""
    here = min(style.MOST, len(kept.names) - kept.page * style.MOST)
    if here < kept.every:
        filtered = (
            f"{len(kept.names)} of {kept.every} unlearned models pass the filter; "
            if len(kept.names) < kept.every
            else ""
        )
        paged = f"{here} of {len(kept.names)} are shown" if kept.pages > 1 else "all of them are shown"
        shown.remark(f"{filtered}{paged}, beside the references.")


def _by(name: str, models: Sequence[ModelResult], value: Callable[[ModelResult], str]) -> list[ModelResult]:
    """Those whose value was chosen; all where nothing was."""
    options = sorted({value(model) for model in models})
    if len(options) < SEVERAL and name not in st.query_params:
        return list(models)
    wanted = st.multiselect(
        name.capitalize(), options, key=name, bind="query-params", placeholder="all", accept_new_options=True
    )
    return [model for model in models if not wanted or value(model) in wanted]


def _by_damage(root: reading.Root, models: Sequence[ModelResult]) -> list[ModelResult]:
    """Those that are as chosen; what they cost on benign texts is read only then."""
    wanted = st.multiselect(
        "Damage", ["intact", "damaged", "not measured"], key="damage", bind="query-params", placeholder="all"
    )
    if not wanted or (found := shown.attempt(partial(reading.healths, root))) is None:
        return list(models)
    return [model for model in models if found[model.name].value in wanted]


def _by_setting(models: Sequence[ModelResult]) -> list[ModelResult]:
    """Those with the chosen values of one hyper-parameter, of those that differ between models."""
    values: dict[str, dict[str, None]] = {}
    for model in models:
        for key, value in model.settings.items():
            values.setdefault(str(key), {})[str(value)] = None
    differing = sorted(key for key, found in values.items() if len(found) >= SEVERAL)
    if not differing:
        return list(models)
    name = st.selectbox("Setting", differing, index=None, key="setting", bind="query-params", placeholder="any")
    if not name:
        return list(models)
    wanted = st.multiselect("Its values", list(values[name]), key="value", bind="query-params", placeholder="all")
    return [model for model in models if not wanted or str(model.settings.get(name)) in wanted]
