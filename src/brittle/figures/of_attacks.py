"""The figures of what came back: curves, V at matched T, few texts, and the path through weight space."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pandas
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import PercentFormatter

from brittle.contracts import MATCHED_T
from brittle.figures import style
from brittle.figures.declared import canvas, legend_above
from brittle.figures.of_models import accuracy_axis, looks
from brittle.results.at_matched_t import MatchedRecovery, curves
from brittle.results.outputs import ReportData
from brittle.results.roles import Role

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def recovery_figure(data: ReportData, attack: str) -> Canvas | None:
    """Accuracy on T and on V over the steps of one attack: mean over seeds and 95 % interval."""
    if data.recovery is None:
        return None
    table = curves(data.recovery[data.recovery["attack"] == attack])
    with canvas(2) as (drawing, axes):
        for axis, side, words in zip(axes, ("t", "v"), ("T, taught by\nthe attack", "V, never shown")):
            _curves(axis, data, table, side)
            axis.set_ylabel(words)
        axes[0].axhline(MATCHED_T, color=style.REFERENCE, linestyle=":", linewidth=1)
        legend_above(axes[0])
        axes[-1].set_xlabel("optimizer steps of the attack")
    return drawing


def few_texts_figure(data: ReportData, attack: str) -> Canvas | None:
    """Accuracy on V over the number of texts that one attack taught, evenly on a log scale."""
    if data.recovery is None:
        return None
    points = data.recovery[data.recovery["attack"] == attack]
    counts = sorted(points["strength"].unique())
    places = {count: place for place, count in enumerate(counts)}
    with canvas(1, 2.6) as (drawing, (axis,)):
        _curves(axis, data, curves(points.assign(step=points["strength"].map(places))), "v")
        axis.set_xticks(range(len(counts)), [f"{count:g}" for count in counts])
        axis.set_ylabel("V, never shown")
        axis.set_xlabel("texts about T that were taught")
        legend_above(axis)
    return drawing


def path_figure(data: ReportData, attack: str) -> Canvas | None:
    """The way of one attack through weight space, first seed: unlearned models, the filtered one dashed."""
    if data.trajectory is None:
        return None
    table = data.trajectory[data.trajectory["attack"] == attack]
    panels = (
        ("cosine_to_base", "cosine to\nthe way back −ΔW"), ("share_undone", "share of ΔW\nundone"),
        ("distance_to_base", "distance to base\nover that before"),
    )  # fmt: skip
    known = looks(data)
    with canvas(len(panels), 1.7) as (drawing, axes):
        for axis, (column, words) in zip(axes, panels):
            for model in data.models:
                part = table[table["model"] == model.name].sort_values("step")
                if model.role in (Role.BASE, Role.RETRAINED) or part.empty:
                    continue
                look, values = known[model.name], part[column]
                values = values / values.iloc[0] if column == "distance_to_base" else values
                dashed = "--" if model.role == Role.FILTERED else "-"
                axis.plot(
                    part["step"], values, dashed, color=look.colour, marker=look.marker, linewidth=look.width,
                    markersize=3.5, label=style.literal(model.label),
                )  # fmt: skip
            axis.axhline(float(column == "distance_to_base"), color=style.REFERENCE, linestyle=":", linewidth=1)
            low, high = axis.get_ylim()
            axis.set_ylim(min(low, -0.05), max(high, 1.05))  # a scale of its own makes a small cosine look large
            axis.set_ylabel(words)
        legend_above(axes[0])
        axes[-1].set_xlabel("optimizer steps of the attack")
    return drawing


def _curves(axis: Axes, data: ReportData, table: pandas.DataFrame, side: str) -> None:
    """One side's accuracy over ``step``, one line per model; the filtered one dashed."""
    known = looks(data)
    for model in data.models:
        part = table[table["model"] == model.name].sort_values("step")
        if part.empty:
            continue
        look = known[model.name]
        dashed = "--" if model.role == Role.FILTERED else "-"
        axis.fill_between(
            part["step"], part[f"low_{side}"], part[f"high_{side}"], color=look.colour, alpha=0.13, linewidth=0
        )
        axis.plot(
            part["step"], part[f"mean_{side}"], dashed, color=look.colour, marker=look.marker, linewidth=look.width,
            markersize=3.5, label=style.literal(model.label),
        )  # fmt: skip
    accuracy_axis(axis, data.asked[side].chance)


def matched_figure(data: ReportData, rows: Sequence[MatchedRecovery]) -> Canvas | None:
    """V at matched T per model: dot and interval over seeds, grey band where scores lie by chance."""
    if not rows:
        return None
    known = looks(data)
    with canvas(1, 0.34 * len(rows) + 0.2) as (drawing, (axis,)):
        for place, row in enumerate(rows):
            if row.chance:
                axis.barh(place, row.chance.high - row.chance.low, left=row.chance.low, height=0.62, color=style.BAND)
            if row.v is None:
                axis.text(
                    0.02,
                    place,
                    "diverged" if row.diverged else "never learned T: no control",
                    va="center",
                    fontsize=8.5,
                    color=style.REFERENCE,
                )
                continue
            look = known[row.model]
            if row.v.low == row.v.low:
                axis.plot([row.v.low, row.v.high], [place, place], color=look.colour, linewidth=2.2)
            axis.plot(row.v.mean, place, color=look.colour, marker=look.marker, markersize=7, linestyle="none")
        axis.set_yticks(range(len(rows)), [style.literal(data.model(row.model).label) for row in rows])
        axis.set_ylim(len(rows) - 0.4, -0.6)
        axis.set_xlim(0, 1.02)
        axis.grid(visible=False, axis="y")
        axis.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0, symbol=" %"))
        axis.set_xlabel("V answered once T is learned")
    return drawing
