"""The figures of what came back: curves, V at matched T, few texts, and the path through weight space."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import pandas

from brittle.contracts import MATCHED_T
from brittle.figures import axes, naming, style, vega
from brittle.figures.chart import Chart
from brittle.figures.of_models import looks
from brittle.percentages import percent, points
from brittle.results.at_matched_t import MatchedRecovery, curves
from brittle.results.outputs import ReportData
from brittle.results.roles import Role

STEPS = "optimizer steps of the attack"


def recovery_figure(data: ReportData, attack: str) -> Chart | None:
    """Accuracy on T and on V over the steps of one attack: mean over seeds and 95 % interval."""
    table = _curves_of(data, attack)
    if table.empty:
        return None
    panels = [
        vega.Panel(
            words, _rows(data, table, side), axes.shares(), 130, chance=data.asked[side].chance,
            marked=[(MATCHED_T, [1, 2])] if side == "t" else [],
        )
        for side, words in (("t", "T, taught by\nthe attack"), ("v", "V, never shown"))
    ]  # fmt: skip
    spec = vega.lines(data, looks(data), panels, STEPS, axes.along(table["step"], "step"), dashed=True)
    return Chart(f"recovery_{attack}", spec, table)


def few_texts_figure(data: ReportData, attack: str) -> Chart | None:
    """Accuracy on V over the number of texts that one attack taught, evenly on a log scale."""
    if data.recovery is None:
        return None
    points = data.recovery[data.recovery["attack"] == attack]
    counts = [float(count) for count in sorted(points["strength"].unique())]
    places = {count: place for place, count in enumerate(counts)}
    table = _of_models(data, curves(points.assign(step=points["strength"].map(places))))
    if table.empty:
        return None
    rows = [each | {"at": f"{counts[int(each['x'])]:g}"} for each in _rows(data, table, "v")]
    panel = vega.Panel("V, never shown", rows, axes.shares(), 180, chance=data.asked["v"].chance)
    numbers = ", ".join(f"{count:g}" for count in counts)  # numbers alone: no name stands in an expression
    across = axes.Axis(
        {"domain": [0, max(1, len(counts) - 1)], "padding": 8, "nice": False},
        {"values": list(range(len(counts))), "labelExpr": f"'' + [{numbers}][datum.value]"}, unit="texts",
    )  # fmt: skip
    spec = vega.lines(data, looks(data), [panel], "texts about T that were taught", across, dashed=True)
    return Chart(f"few_texts_{attack}", spec, table)


def path_figure(data: ReportData, attack: str) -> Chart | None:
    """The way of one attack through weight space, first seed: unlearned models, the filtered one dashed."""
    if data.trajectory is None:
        return None
    table = data.trajectory[data.trajectory["attack"] == attack]
    walking = [model for model in data.models if model.role not in (Role.BASE, Role.RETRAINED)]
    table = table[table["model"].isin([model.name for model in walking])]
    if table.empty:
        return None
    first = table.sort_values("step").groupby("model")["distance_to_base"].first()
    table = table.assign(distance_to_base=table["distance_to_base"] / table["model"].map(first))
    panels = []
    for column, words in (
        ("cosine_to_base", "cosine to\nthe way back −ΔW"), ("share_undone", "share of ΔW\nundone"),
        ("distance_to_base", "distance to base\nover that before"),
    ):  # fmt: skip
        rows = [
            vega.row(model.label, float(step), value, f"{value:.2f}")
            for model in walking
            for step, value in table.loc[table["model"] == model.name, ["step", column]].sort_values("step").to_numpy()
        ]
        # a scale of its own would make a small cosine look large
        axis = axes.between(min(table[column].min(), -0.05), max(table[column].max(), 1.05))
        end = float(column == "distance_to_base")
        panels.append(vega.Panel(words, rows, axis, 105, marked=[(end, [1, 2])]))
    spec = vega.lines(data, looks(data), panels, STEPS, axes.along(table["step"], "step"), dashed=True)
    return Chart(f"path_{attack}", spec, table)


def matched_figure(data: ReportData, rows: Sequence[MatchedRecovery]) -> Chart | None:
    """V at matched T per model: dot and interval over seeds, grey band where scores lie by chance."""
    if not rows:
        return None
    known = looks(data)
    values = [_matched_row(data, row) for row in rows]
    names = [each["line"] for each in values]
    colours = {"domain": names, "range": [known[row.model].colour for row in rows]}
    shapes = {"domain": names, "range": [vega.SHAPES[known[row.model].marker] for row in rows]}
    share = {
        "scale": {"domain": [0, 1.02], "nice": False},
        "axis": {**axes.shares().axis, "title": "V answered once T is learned"},
    }
    place = {"field": "line", "type": "nominal", "sort": None, "scale": {"domain": names}, "axis": vega.ROWS}
    colour = {"field": "line", "type": "nominal", "scale": colours, "legend": None}
    told = {
        "tooltip": vega.told({"model": "model", "shown": "V", "chance": "by chance", "learned": "seeds that learned T"})
    }

    def across(low: str, high: str = "") -> dict[str, Any]:
        found: dict[str, Any] = {"y": place, "x": {"field": low, "type": "quantitative", **share}}
        return found | ({"x2": {"field": high}} if high else {})

    shape = {"field": "line", "type": "nominal", "scale": shapes, "legend": None}
    layers = [
        _of(values, "band_low", {"type": "bar", "height": {"band": 0.62}, "color": style.BAND}, across("band_low", "band_high") | told),
        _of(values, "low", {"type": "rule", "strokeWidth": 2.6}, across("low", "high") | {"color": colour}),
        _of(values, "v", {"type": "point", "filled": True, "opacity": 1, "size": 70, **vega.NEAR}, across("v") | told | {"color": colour, "shape": shape}),
        _of(values, "none", {"type": "text", "align": "left", "color": style.REFERENCE, "fontSize": naming.FONT_SIZE},
            {"y": place, "x": {"datum": 0.02, "type": "quantitative", **share}, "text": {"field": "none", "type": "nominal"}}),
    ]  # fmt: skip
    table = pandas.json_normalize([asdict(row) for row in rows], sep="_")
    return Chart(f"matched_t_{rows[0].attack}", vega.in_rows(layers, names), table)


def _of(
    values: Sequence[dict[str, Any]], column: str, mark: dict[str, Any], encoding: dict[str, Any]
) -> dict[str, Any]:
    """A layer of the rows that have the column."""
    return {
        "data": {"values": [each for each in values if each[column] is not None]},
        "mark": mark,
        "encoding": encoding,
    }


def _matched_row(data: ReportData, row: MatchedRecovery) -> dict[str, Any]:
    label, band = data.model(row.model).label, row.chance
    found: dict[str, Any] = {
        "model": naming.plain(label), "line": naming.broken(label, naming.ROW_NAME), "shown": str(row.v) if row.v else "–",
        "v": None, "low": None, "high": None, "none": None, "learned": f"{row.learned} of {row.seeds}",
        "band_low": band.low if band else None, "band_high": band.high if band else None,
        "chance": f"{points(band.low)}–{percent(band.high)}" if band else "–",
    }  # fmt: skip
    if row.v is None:
        return found | {"none": "diverged" if row.diverged else "never learned T: no control"}
    interval = {"low": row.v.low, "high": row.v.high} if row.v.low == row.v.low else {}
    return found | {"v": row.v.mean} | interval


def _curves_of(data: ReportData, attack: str) -> pandas.DataFrame:
    """The curves of one attack, of the models that the data have."""
    if data.recovery is None:
        return pandas.DataFrame()
    return _of_models(data, curves(data.recovery[data.recovery["attack"] == attack]))


def _of_models(data: ReportData, table: pandas.DataFrame) -> pandas.DataFrame:
    return table[table["model"].isin([model.name for model in data.models])] if len(table) else table


def _rows(data: ReportData, table: pandas.DataFrame, side: str) -> list[dict[str, Any]]:
    """One side's accuracy over ``step``, with its interval, in the order of the models."""
    columns = ["step", f"mean_{side}", f"low_{side}", f"high_{side}"]
    return [
        vega.row(model.label, step, mean, naming.percent(mean, low, high), low, high)
        for model in data.models
        for step, mean, low, high in table.loc[table["model"] == model.name, columns]
        .sort_values("step")
        .to_numpy(dtype=float)
    ]
