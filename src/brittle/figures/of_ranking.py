"""The ranking's picture: every model where its utility and what it still knows put it, and the front that no other beats."""

from __future__ import annotations

import math
from typing import Any

import pandas

from brittle.figures import axes, naming, style, vega
from brittle.figures.chart import Chart
from brittle.results.damage import Health
from brittle.results.ranking import Ranking
from brittle.results.roles import REFERENCES

HEIGHT = 280
OTHER = "other baseline"


def scatter(ranking: Ranking, utility: str, forgetting: str) -> Chart | None:
    """Utility from left to right, what is still known upwards; the words name the two axes. None without a point."""
    chosen = ranking.score
    columns = ["name", "method", "role", "health", "score", "pareto", chosen.utility, chosen.forgetting]
    runs, baselines = ranking.runs[columns], ranking.baselines[columns]
    table = pandas.concat([part for part in (baselines, runs) if len(part)] or [runs], ignore_index=True)
    table = table.dropna(subset=[chosen.utility, chosen.forgetting])
    if table.empty:
        return None
    known = set(ranking.baselines["name"])
    rows = [_row(row, chosen.utility, chosen.forgetting, row["name"] in known) for row in table.to_dict("records")]
    places = {
        "x": _place("x", table[chosen.utility], f"{utility} (more is better)"),
        "y": _place("y", table[chosen.forgetting], f"{forgetting} (less is better)"),
    }
    looks = _looks(rows)
    told = vega.told({"model": "model", "line": "method", "told_x": utility, "told_y": forgetting, "told_score": "score",
                      "state": "state"})  # fmt: skip

    def layer(values: list[dict[str, Any]], mark: dict[str, Any], encoding: dict[str, Any]) -> dict[str, Any]:
        return {"data": {"values": values}, "mark": {"opacity": 1, **mark}, "encoding": {**places, **encoding}}

    front = sorted((row for row in rows if row["state"] == "on the front"), key=lambda row: (row["x"], row["y"]))
    point = {"type": "point", "size": 70, "strokeWidth": 1.6}
    layers = [
        layer(front, {"type": "line", "color": style.REFERENCE, "strokeDash": [4, 3], "strokeWidth": 1.2}, {}),
        layer(front, {**point, "size": 260, "color": style.REFERENCE, "filled": False}, {}),
        layer([row for row in rows if row["state"] == "damaged"], {**point, "filled": False}, looks | {"tooltip": told}),
        layer([row for row in rows if row["state"] != "damaged"], {**point, "filled": True, **vega.NEAR}, looks | {"tooltip": told}),
    ]  # fmt: skip
    spec = vega.chart(width=vega.WIDTH - vega.LEFT - 24, height=HEIGHT, layer=layers)
    return Chart("ranking", spec, table)


def _row(row: dict[Any, Any], utility: str, forgetting: str, baseline: bool) -> dict[str, Any]:
    """One point, and what a pointer is told of it."""
    role = row["role"] if row["role"] in REFERENCES else OTHER
    damaged = row["health"] == Health.DAMAGED
    return {
        "model": naming.plain(row["name"]), "x": float(row[utility]), "y": float(row[forgetting]),
        "line": naming.broken(str(role) if baseline else row["method"] or "unknown", naming.LINE_NAME),
        "baseline": baseline, "told_x": f"{row[utility]:.4f}", "told_y": f"{row[forgetting]:.4f}",
        "told_score": f"{row['score']:.4f}" if math.isfinite(row["score"]) else "–",
        "state": "damaged" if damaged else "on the front" if row["pareto"] else "",
    }  # fmt: skip


def _looks(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Colour and mark: baselines as everywhere, methods in warm colours as long as there are enough."""
    roles = list(dict.fromkeys(row["line"] for row in rows if row["baseline"]))
    methods = sorted({row["line"] for row in rows if not row["baseline"]} - {*roles})
    own: dict[Any, style.Look] = style.looks_of_models([(name, name) for name in (*roles, *methods) if name != OTHER])
    if len(methods) > style.MOST:
        own |= style.looks_of_categories(methods)
    own[OTHER] = style.Look(style.REFERENCE, "h")
    names = [*roles, *methods]
    widest = max(naming.wide(part) for name in names for part in name.split("\n"))
    legend = {"columns": max(1, min(5, int((vega.WIDTH - vega.LEFT) / (widest + 32))))}

    def channel(values: list[str]) -> dict[str, Any]:
        scale = {"type": "ordinal", "domain": names, "range": values}
        return {"field": "line", "type": "nominal", "sort": None, "scale": scale, "legend": legend}

    colours, shapes = [own[name].colour for name in names], [vega.SHAPES[own[name].marker] for name in names]
    return {"color": channel(colours), "shape": channel(shapes)}


def _place(field: str, values: pandas.Series, title: str) -> dict[str, Any]:
    """A scale over the values with a margin, so that no mark is cut."""
    low, high = float(values.min()), float(values.max())
    margin = 0.08 * (high - low) or 0.05
    axis = axes.between(low - margin, high + margin)
    return {"field": field, "type": "quantitative", "scale": axis.scale, "axis": {**axis.axis, "title": title}}
