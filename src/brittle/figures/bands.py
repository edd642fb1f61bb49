"""What stands behind a figure's own lines: its intervals, and the controls as grey bands.

A control's band stands behind the series it belongs to. At each place on the x axis it reaches over the control's values
and their intervals: the range of values that mean nothing by themselves.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pandas

from brittle.figures import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

CONTROLS: dict[str, tuple[str, dict[str, Any]]] = {
    "random": ("random update", {"facecolor": "#d0d0d0", "edgecolor": "#b0b0b0", "alpha": 0.55}),
    "retrained": (
        "retrained base",
        {"facecolor": "none", "edgecolor": style.REFERENCE, "hatch": "////", "alpha": 0.55},
    ),
}
"""Controls by the ending of their columns: how they are called, how their bands look."""


def interval(axis: Axes, part: pandas.DataFrame, x: str, column: str, colour: str) -> None:
    """The 95 % interval of one series, where the table has it."""
    low, high = f"{column}_low", f"{column}_high"
    if low in part and high in part:
        axis.fill_between(part[x], part[low], part[high], color=colour, alpha=0.15, linewidth=0)


def control_bands(axis: Axes, part: pandas.DataFrame, x: str, column: str) -> None:
    """Behind one series, a band per control that the table has for this column."""
    for words, looks, reach in _controls(axis, part, x, column):
        axis.fill_between(reach.index, reach.low, reach.high, label=words, linewidth=1.2, zorder=0.5, **looks)


def control_bars(
    axis: Axes, part: pandas.DataFrame, x: str, column: str, places: dict[Any, float], width: float = 0.92
) -> None:
    """The same behind bars and boxes, whose categories stand at ``places`` and are ``width`` wide."""
    for words, looks, reach in _controls(axis, part, x, column):
        at = [places[value] for value in reach.index]
        axis.bar(at, reach.high - reach.low, width, reach.low, label=words, linewidth=1.2, zorder=0.5, **looks)


def expected_line(axis: Axes, table: pandas.DataFrame, x: str, column: str, places: dict[Any, float] | None) -> None:
    """What chance alone would give (the mean of the rows): a dashed line, or a stroke at each category's place."""
    means = table.groupby(x)[column].mean()
    looks: dict[str, Any] = {
        "color": style.REFERENCE,
        "linestyle": "--",
        "linewidth": 1.2,
        "label": "expected by chance",
    }
    if places is None:
        axis.plot(means.index, means, marker="", **looks)
    else:
        at = [places[value] for value in means.index]
        axis.hlines(means, [place - 0.46 for place in at], [place + 0.46 for place in at], **looks)


def _controls(
    axis: Axes, part: pandas.DataFrame, x: str, column: str
) -> Iterator[tuple[str | None, dict[str, Any], pandas.DataFrame]]:
    for kind, (words, looks) in CONTROLS.items():
        reach = reach_of(part, x, f"{column}_{kind}")
        if not reach.empty:
            known = axis.get_legend_handles_labels()[1]
            yield (None if words in known else words), looks, reach


def reach_of(part: pandas.DataFrame, x: str, column: str) -> pandas.DataFrame:
    """Columns ``low`` and ``high`` by ``x``: the smallest and the largest value or interval bound there."""
    columns = [name for name in (column, f"{column}_low", f"{column}_high") if name in part]
    if column not in columns:
        return pandas.DataFrame()
    part = part.dropna(how="all", subset=columns)
    values = part[columns]
    found = pandas.DataFrame({"x": part[x], "low": values.min(axis=1), "high": values.max(axis=1)})
    return found.groupby("x").agg({"low": "min", "high": "max"})
