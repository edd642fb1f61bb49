"""The report's first picture: V before and after the worst attack on each model, between what filtered and base answer."""

from __future__ import annotations

import math
from typing import Any

import pandas

from brittle.figures import axes, naming, style, vega
from brittle.figures.chart import Chart
from brittle.results.outputs import ReportData
from brittle.results.roles import Role

INK = "#222222"
RAIL = "M0,-1L0,1"
FILTERED, BEFORE, AFTER = "filtered at its worst", "V before", "V after the worst attack"
KEYS = {FILTERED: "filtered", "base": "base", BEFORE: "before", AFTER: "after", "guessing": "guessing"}
KINDS = {
    FILTERED: (style.ROLE_COLOURS[Role.FILTERED], "transparent", RAIL, [1, 0]),
    "base": (style.ROLE_COLOURS[Role.BASE], "transparent", RAIL, [1, 0]),
    BEFORE: (INK, "white", "circle", [1, 0]), AFTER: (INK, INK, "circle", [1, 0]),
    "guessing": (style.REFERENCE, "transparent", RAIL, [2, 2]),
}  # fmt: skip
"""What the picture shows: stroke, fill, shape and dashes."""


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


def answer_figure(data: ReportData) -> Chart | None:
    """A row per model: an arrow from V before to V after; filtered and base are rails through all rows."""
    table = answer_table(data)
    if table.empty:
        return None
    rows = [_row(row) for row in table.to_dict("records")]
    names = [row["line"] for row in rows]
    chance = data.asked["v"].chance
    kinds = [kind for kind in KINDS if kind != "guessing" or chance is not None]
    legend = {"columns": 2}

    def look(place: int) -> dict[str, Any]:
        scale = {"domain": kinds, "range": [KINDS[kind][place] for kind in kinds]}
        return {"field": "what", "type": "nominal", "scale": scale, "legend": legend}

    looks = {"stroke": look(0), "fill": look(1), "shape": look(2), "strokeDash": look(3)}
    share = {
        "scale": {"domain": [-0.02, 1.03], "nice": False},
        "axis": {**axes.shares().axis, "title": "V, hazardous questions that no attack shows"},
    }
    place = {"y": {"field": "line", "type": "nominal", "sort": None, "scale": {"domain": names}, "axis": vega.ROWS}}
    told = vega.told({"model": "model", "told_before": "V before", "told_after": "V after", "attack": "worst attack",
                      "told_filtered": "filtered at its worst", "told_base": "base"})  # fmt: skip
    across = {"x": {"field": "at", "type": "quantitative", **share}}
    marks = {**place, **across, **looks, "tooltip": told}
    height = vega.row_height(names)
    rail = {"type": "point", "size": height**2, "opacity": 1}
    arrow = {**place, "x": {"field": "before", "type": "quantitative", **share}, "x2": {"field": "after"}}

    def points(*wanted: str) -> list[dict[str, Any]]:
        values = [(kind, row | {"guessing": chance}) for kind in wanted for row in rows]
        return [row | {"what": kind, "at": row[KEYS[kind]]} for kind, row in values if row[KEYS[kind]] is not None]

    heads = [row | {"at": row["after"]} for row in rows if abs(row["after"] - row["before"]) > 0.05]
    layers = [
        {"data": {"values": points("guessing")}, "mark": {**rail, "strokeWidth": 1.2}, "encoding": marks},
        {"data": {"values": points(FILTERED, "base")}, "mark": {**rail, "strokeWidth": 3.4}, "encoding": marks},
        {"data": {"values": rows}, "mark": {"type": "rule", "color": INK, "strokeWidth": 1.6}, "encoding": arrow},
        *(
            {
                "data": {"values": [row for row in heads if (row["after"] > row["before"]) == (side == "right")]},
                "mark": {"type": "point", "filled": True, "opacity": 1, "color": INK, "size": 60, "shape": f"triangle-{side}", "xOffset": offset},
                "encoding": {**place, **across},
            }
            for side, offset in (("right", -9), ("left", 9))
        ),
        {"data": {"values": points(BEFORE, AFTER)}, "mark": {"type": "point", "opacity": 1, "size": 80, "strokeWidth": 1.6}, "encoding": marks},
    ]  # fmt: skip
    return Chart("answer", vega.in_rows(layers, names), table)


def _row(row: dict[Any, Any]) -> dict[str, Any]:
    """One model's numbers, and how a pointer is told them."""
    known = {key: row[key] if math.isfinite(row[key]) else None for key in ("before", "after", "filtered", "base")}
    words = {f"told_{key}": naming.percent(row[key]) for key in known}
    attack = str(row["attack"]).replace("_", " ") or "none"
    name = {"model": naming.plain(row["model"]), "line": naming.broken(row["model"], naming.ROW_NAME)}
    return {**name, "attack": attack, **known, **words}
