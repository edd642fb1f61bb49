"""The figures that the report draws across models and comparisons, in role colours."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import pandas

from brittle.figures import axes, naming, style, vega
from brittle.figures.chart import Chart
from brittle.figures.style import Look
from brittle.results.measures import activation_change, movement_by_layer
from brittle.results.outputs import ComparisonResult, ReportData


def looks(data: ReportData) -> dict[str, Look]:
    """The look of each model by its name, the same in every figure and table."""
    return style.looks_of_models([(model.name, model.role) for model in data.models])


def groups(data: ReportData) -> list[ReportData]:
    """The data in parts of at most eight unlearned models, each with all references: so no figure has a colour twice."""
    unlearned = [model.name for model in data.models if model.role not in style.ROLE_COLOURS]
    references = [model.name for model in data.models if model.role in style.ROLE_COLOURS]
    if len(unlearned) <= style.MOST:
        return [data]
    starts = range(0, len(unlearned), style.MOST)
    return [data.only([*references, *unlearned[start : start + style.MOST]]) for start in starts]


def movement_figure(data: ReportData) -> Chart | None:
    """Relative update and stable rank by layer, one line per comparison from the base."""
    table = _from_base(data, movement_by_layer)
    panels = (("relative_frobenius_norm", "relative update\n‖ΔW‖/‖W‖"), ("stable_rank", "stable rank of ΔW"))
    parts = [(table, column, words) for column, words in panels]
    return _by_layer(data, "movement_by_layer", table, parts, "layer (0 is the first)")


def activation_figure(data: ReportData) -> Chart | None:
    """Relative change of hidden states by layer on forget texts and on retain texts."""
    table = _from_base(data, activation_change)
    if table.empty:
        return None
    parts = [(table[table["split"] == split], "change", f"{split} texts\n‖Δh‖/‖h‖") for split in ("forget", "retain")]
    below = "hidden state (0 is the embedding)"
    return _by_layer(data, "hidden_states_by_layer", table, parts, below, same_scale=True)


def lens_figure(data: ReportData) -> Chart | None:
    """Accuracy on forget questions read from each layer, one line per model."""
    table = _together([model.lens.assign(model=model.name) for model in data.models if model.lens is not None])
    if table.empty:
        return None
    rows = _rows(data, table, "accuracy", naming.percent)
    panel = vega.Panel("forget questions\nanswered", rows, axes.shares(), 180, chance=data.asked["forget"].chance)
    below = "hidden state (0 is the embedding)"
    spec = vega.lines(data, looks(data), [panel], below, axes.along(table["layer"], "layer"))
    return Chart("logit_lens", spec, table)


def _by_layer(
    data: ReportData,
    name: str,
    table: pandas.DataFrame,
    parts: Sequence[tuple[pandas.DataFrame, str, str]],
    below: str,
    same_scale: bool = False,
) -> Chart | None:
    """Lines over layers, a panel per (rows, column, words)."""
    if table.empty:
        return None
    panels = []
    for part, column, words in parts:
        axis = axes.amounts((table if same_scale else part)[column])
        rows = _rows(data, part, column, lambda value: f"{value:.3g}", positive="log" in axis.note)
        panels.append(vega.Panel(words, rows, axis, 130))
    spec = vega.lines(data, looks(data), panels, below, axes.along(table["layer"], "layer"))
    return Chart(name, spec, table)


def _rows(
    data: ReportData, table: pandas.DataFrame, column: str, words: Callable[[float], str], positive: bool = False
) -> list[dict[str, object]]:
    """The points of every model's line, in the order of the models; with ``positive``, what is not above 0 is a gap."""
    found = []
    for model in data.models:
        for layer, value in (
            table.loc[table["model"] == model.name, ["layer", column]].sort_values("layer").itertuples(index=False)
        ):
            value = math.nan if positive and not value > 0 else value
            found.append(vega.row(model.label, float(layer), value, words(value)))
    return found


def _from_base(data: ReportData, read: Callable[[ComparisonResult], pandas.DataFrame | None]) -> pandas.DataFrame:
    """What was read of each comparison from the base, with the column ``model``."""
    parts = [(pair.b, read(pair)) for pair in data.from_base()]
    return _together([table.assign(model=name) for name, table in parts if table is not None])


def _together(tables: Sequence[pandas.DataFrame]) -> pandas.DataFrame:
    return pandas.concat(tables, ignore_index=True) if tables else pandas.DataFrame()
