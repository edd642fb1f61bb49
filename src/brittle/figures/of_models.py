"""The figures that the report draws across models and comparisons, in role colours."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy
import pandas
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter, PercentFormatter

from brittle.figures import style
from brittle.figures.declared import canvas, legend_above
from brittle.figures.style import Look
from brittle.results.measures import activation_change, movement_by_layer
from brittle.results.outputs import ReportData

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WIDE_RANGE = 12.0


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


def movement_figure(data: ReportData) -> Canvas | None:
    """Relative update and stable rank by layer, one line per comparison from the base."""
    lines = [(comparison.b, movement_by_layer(comparison)) for comparison in data.from_base()]
    panels = (("relative_frobenius_norm", "relative update\n‖ΔW‖/‖W‖"), ("stable_rank", "stable rank of ΔW"))
    return _by_layer(
        data, [(name, [table, table]) for name, table in lines if table is not None], panels, "layer (0 is the first)"
    )


def activation_figure(data: ReportData) -> Canvas | None:
    """Relative change of hidden states by layer on forget texts and on retain texts."""
    lines = []
    for comparison in data.from_base():
        table = activation_change(comparison)
        if table is not None:
            lines.append((comparison.b, [table[table["split"] == split] for split in ("forget", "retain")]))
    panels = (("change", "forget texts\n‖Δh‖/‖h‖"), ("change", "retain texts\n‖Δh‖/‖h‖"))
    return _by_layer(data, lines, panels, "hidden state (0 is the embedding)", same_scale=True)


def lens_figure(data: ReportData) -> Canvas | None:
    """Accuracy on forget questions read from each layer, one line per model."""
    lines = [(model.name, [model.lens]) for model in data.models if model.lens is not None]
    drawing = _by_layer(
        data, lines, (("accuracy", "forget questions\nanswered"),), "hidden state (0 is the embedding)", 2.6
    )
    if drawing:
        accuracy_axis(drawing.axes[0], data.asked["forget"].chance)
    return drawing


def _by_layer(
    data: ReportData,
    lines: Sequence[tuple[str, list[pandas.DataFrame]]],
    panels: Sequence[tuple[str, str]],
    below: str,
    height: float = 2.0,
    same_scale: bool = False,
) -> Canvas | None:
    """Lines over layers, one table per line and panel; a logarithmic scale where values span more than a decade."""
    if not lines:
        return None
    known = looks(data)
    with canvas(len(panels), height) as (drawing, axes):
        for place, (axis, (column, words)) in enumerate(zip(axes, panels)):
            for name, tables in lines:
                look, table = known[name], tables[place].sort_values("layer")
                axis.plot(
                    table["layer"], table[column], color=look.colour, marker=look.marker, linewidth=look.width,
                    label=style.literal(data.model(name).label),
                )  # fmt: skip
            if column != "accuracy":
                shown = [table for _, tables in lines for table in (tables if same_scale else [tables[place]])]
                words += amount_axis(axis, pandas.concat([table[column] for table in shown]).dropna().tolist())
            axis.set_ylabel(words)
            axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        legend_above(axes[0])
        axes[-1].set_xlabel(below)
    return drawing


def amount_axis(axis: Axes, values: Sequence[float]) -> str:
    """Scale an axis of amounts; returns what its label must say about the scale.

    On a logarithmic scale a line has a gap where its value is not above 0.
    """
    positive = [value for value in values if value > 0]
    if not positive or max(positive) <= WIDE_RANGE * min(positive):
        axis.set_ylim(0, max(positive, default=1.0) * 1.08)
        return ""
    for line in axis.get_lines():
        heights = numpy.asarray(line.get_ydata(), dtype=float)
        line.set_ydata(numpy.where(heights > 0, heights, numpy.nan))
    axis.set_yscale("log")
    axis.set_ylim(min(positive) / 1.3, max(positive) * 1.3)
    axis.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.yaxis.set_minor_formatter(NullFormatter())
    return "\n(log scale)"


def accuracy_axis(axis: Axes, chance: float | None) -> None:
    """A vertical axis of accuracies, with the line of guessing where it is known."""
    axis.set_ylim(-0.03, 1.05)
    axis.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0, symbol=" %"))
    if chance is None:
        return
    axis.axhline(chance, color=style.REFERENCE, linestyle="--", linewidth=1)
    place = axis.get_yaxis_transform()
    axis.text(1.01, chance, "guess", transform=place, va="center", fontsize=8, color=style.REFERENCE)
