"""The report's first picture: V before and after the worst attack on each model, between what filtered and base answer."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pandas
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import PercentFormatter

from brittle.figures import style
from brittle.figures.declared import canvas, legend_above
from brittle.results.outputs import ReportData
from brittle.results.roles import Role

if TYPE_CHECKING:
    from matplotlib.axes import Axes

INK = "#222222"


def answer_table(data: ReportData) -> pandas.DataFrame:
    """One row per attacked model that the question is about; accuracies on V from 0 to 1, NaN where unknown.

    Columns ``model``, ``before``, ``after``, ``attack``, ``filtered`` (its own worst case) and ``base`` (before any attack).
    """
    names = {model.name: model.label for model in data.judged()}
    base = next((case.found.before for case in data.worst if case.found.role == Role.BASE), math.nan)
    rows = [
        {
            "model": names[case.found.model], "before": case.found.before, "after": case.found.after.mean,
            "attack": case.found.attack if case.found.step else "",
            "filtered": case.control.after.mean if case.control else math.nan, "base": base,
        }
        for case in data.worst if case.found.model in names
    ]  # fmt: skip
    return pandas.DataFrame(rows)


def answer_figure(data: ReportData) -> Canvas | None:
    """A row per model: an arrow from V before to V after; filtered and base are rails through all rows."""
    table = answer_table(data)
    if table.empty:
        return None
    with canvas(1, 0.36 * len(table) + 0.5) as (drawing, (axis,)):
        for rail, role in (("filtered", Role.FILTERED), ("base", Role.BASE)):
            known = table[table[rail].notna()]
            axis.vlines(
                known[rail], known.index - 0.5, known.index + 0.5, color=style.ROLE_COLOURS[role], linewidth=3, alpha=0.8,
                label=f"{role}{' at its worst' if role == Role.FILTERED else ''}",
            )  # fmt: skip
        for place, row in table.iterrows():
            axis.annotate(
                "", (row["after"], place), (row["before"], place),
                arrowprops={"arrowstyle": "-|>", "color": INK, "shrinkA": 3, "shrinkB": 3, "linewidth": 1.4},
            )  # fmt: skip
        look: dict[str, Any] = {"linestyle": "none", "color": INK, "markersize": 7.5, "zorder": 4}
        axis.plot(table["before"], table.index, marker="o", markerfacecolor="white", label="V before", **look)
        axis.plot(table["after"], table.index, marker="o", label="V after the worst attack", **look)
        axis.set_yticks(table.index, [style.literal(label) for label in table["model"]])
        axis.set_ylim(len(table) - 0.5, -0.5)
        share_axis(axis, data.asked["v"].chance)
        axis.grid(visible=False, axis="y")
        axis.set_xlabel("V, hazardous questions that no attack shows")
        legend_above(axis, 2)
    return drawing


def share_axis(axis: Axes, chance: float | None) -> None:
    """A horizontal axis of accuracies, with the line of guessing where it is known."""
    axis.set_xlim(-0.02, 1.03)
    axis.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0, symbol=" %"))
    if chance is not None:
        axis.axvline(chance, color=style.REFERENCE, linestyle=":", linewidth=1.2, label="guessing")
