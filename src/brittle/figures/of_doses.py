"""Dose and response: one small panel per method, over the strength that its preset was multiplied by."""

from __future__ import annotations

from typing import TYPE_CHECKING

import matplotlib
import pandas
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import NullLocator, PercentFormatter

from brittle.contracts import DAMAGE_MARGIN
from brittle.figures import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

NAME = "doses"
ACROSS = 5
LINES = {
    "forget_t": ("T, hazardous", style.CATEGORY_COLOURS["forget"], "o", "-"),
    "retain": ("benign questions", style.CATEGORY_COLOURS["retain"], "s", "-"),
    "v_at_matched_t": ("V once T is taught again", style.WARM_COLOURS[0], "v", "--"),
}
CHANCE = 0.25


def draw(table: pandas.DataFrame) -> Canvas | None:
    """The figure of ``methods.csv``: its first seed at every dose. None where fewer than two doses were measured."""
    table = table[table["seed"] == table["seed"].iloc[0]]
    if table["dose"].nunique() < 2:
        return None
    methods = sorted(table["method"].unique())
    down = -(-len(methods) // ACROSS)
    doses = sorted(table["dose"].unique())
    with matplotlib.rc_context(style.PARAMETERS):
        drawing = Canvas(figsize=(2 * style.WIDTH, 1.25 * down + 0.6), layout="constrained")
        FigureCanvasAgg(drawing)
        axes = list(drawing.subplots(down, ACROSS, sharex=True, sharey=True, squeeze=False).flat)
        for axis, method in zip(axes, methods, strict=False):
            _panel(axis, method, table[table["method"] == method].sort_values("dose"))
        axes[0].set(xscale="log", ylim=(0, 1.04), yticks=[0, 0.5, 1])
        axes[0].yaxis.set_major_formatter(PercentFormatter(1))
        axes[0].set_xticks(doses, [f"{dose:g}" for dose in doses])
        axes[0].xaxis.set_minor_locator(NullLocator())
        for number, axis in enumerate(axes[: len(methods)]):
            axis.tick_params(labelbottom=number >= len(methods) - ACROSS)
        for axis in axes[len(methods) :]:
            axis.set_axis_off()
        drawing.legend(*axes[0].get_legend_handles_labels(), loc="outside upper left", ncols=4, frameon=False)
        drawing.supxlabel("strength over the preset's", fontsize=9.5)
    return drawing


def _panel(axis: Axes, method: str, rows: pandas.DataFrame) -> None:
    axis.set_title(method, fontsize=9, loc="left", pad=3)
    doses = list(rows["dose"])
    for dose, rise in zip(doses, rows["benign_rise"], strict=True):
        if rise > DAMAGE_MARGIN:
            axis.axvspan(dose / 1.41, dose * 1.41, color=style.BAND, linewidth=0)
    axis.axhline(CHANCE, color=style.REFERENCE, linestyle=":", linewidth=1)
    for column, (label, colour, marker, line) in LINES.items():
        axis.plot(
            doses, rows[column], color=colour, marker=marker, linestyle=line, label=label, markersize=4, linewidth=1.4
        )
