"""Which of an experiment's models are shown: by verdict, method, damage, a setting or name; a page of them at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil

import streamlit as st

from brittle.app import shown
from brittle.figures import style
from brittle.results.outputs import ModelResult, ReportData
from brittle.results.verdicts import Judgement, answer
from brittle.views.words import JUDGEMENTS

SEVERAL = 2


@dataclass(frozen=True)
class Kept:
    """The data of the models that are kept; ``page`` has as many unlearned ones as figures have colours. References always stay."""

    whole: ReportData
    all: ReportData
    page: ReportData
    number: int
    """Models in question that are kept."""
    pages: int


def chosen(data: ReportData) -> Kept:
    """Ask for filters where there is something to choose from, and apply them."""
    judged = data.judged()
    verdicts = {model.name: JUDGEMENTS[answer(data, model).judgement] for model in judged}
    kept = list(judged)
    with st.expander("Filter", expanded=_asked()):
        kept = _by("verdict", kept, lambda model: verdicts[model.name], [JUDGEMENTS[each] for each in Judgement])
        kept = _by("method", kept, lambda model: model.method or "unknown")
        kept = _by("damage", kept, lambda model: model.damage.health.value)
        kept = _by_setting(kept)
        names = st.multiselect(
            "Models", [model.name for model in kept], key="models", bind="query-params", placeholder="all",
            accept_new_options=True,
        )  # fmt: skip
        kept = [model for model in kept if not names or model.name in names]
    number = ceil(len(kept) / style.MOST)
    place = 1
    if number > 1:
        place = st.number_input(
            f"Page of {style.MOST} models (1 to {number}); tables below show all", 1, number, key="page", bind="query-params"
        )  # fmt: skip
    shown_here = kept[(place - 1) * style.MOST : place * style.MOST]
    references = [model.name for model in data.models if model not in judged]

    def only(models: Sequence[ModelResult]) -> ReportData:
        if len(models) == len(judged):
            return data
        return data.only([*references, *(model.name for model in models)])

    return Kept(data, only(kept), only(shown_here), len(kept), number)


def told(kept: Kept) -> None:
    """How many models there are, where not all of them stand above."""
    every, here = len(kept.whole.judged()), len(kept.page.judged())
    if here < every:
        counted = f"{kept.number} of {every} unlearned models are kept by the filter" if kept.number < every else ""
        paged = f"{here} of them stand above, the tables below have all" if here < kept.number else ""
        shown.paragraph("; ".join(filter(None, (counted, paged or f"{every} unlearned models"))) + ".", "note")


def _asked() -> bool:
    """Whether the address brought a filter along, which is then seen."""
    return any(name in st.query_params for name in ("verdict", "method", "damage", "setting", "value", "models"))


def _by(
    name: str, models: Sequence[ModelResult], value: Callable[[ModelResult], str], order: Sequence[str] = ()
) -> list[ModelResult]:
    """Those whose value was chosen; all where nothing was."""
    found = {value(model) for model in models}
    options = [each for each in order if each in found] or sorted(found)
    if len(options) < SEVERAL and name not in st.query_params:
        return list(models)
    wanted = st.multiselect(
        name.capitalize(), options, key=name, bind="query-params", placeholder="all", accept_new_options=True
    )
    return [model for model in models if not wanted or value(model) in wanted]


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
