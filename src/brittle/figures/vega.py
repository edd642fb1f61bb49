"""What the report's figures share: the house theme, lines of models in panels, rows of models, and what a pointer shows.

Lengths are in units of which a figure is :data:`WIDTH` wide. It is scaled to its place, so that on a screen of 390 pixels
text is still ten pixels high.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from brittle.figures import style
from brittle.figures.axes import Axis
from brittle.figures.naming import FONT_SIZE, LINE_NAME, broken, plain, wide
from brittle.figures.style import Look
from brittle.results.outputs import ReportData
from brittle.results.roles import Role

WIDTH = 432
LEFT, RIGHT = 88, 40  # room for the numbers and words of an axis, and for the word of a line
FONT = "Liberation Sans, Arial, Helvetica, sans-serif"
SHAPES = {
    "o": "circle", "s": "square", "D": "diamond", "^": "triangle-up", "v": "triangle-down", "<": "triangle-left",
    ">": "triangle-right", "P": "cross",
    "X": "M-1,-0.6L-0.6,-1L0,-0.4L0.6,-1L1,-0.6L0.4,0L1,0.6L0.6,1L0,0.4L-0.6,1L-1,0.6L-0.4,0Z",
    "*": "M0,-1.2L0.28,-0.39L1.14,-0.37L0.46,0.15L0.71,0.97L0,0.48L-0.71,0.97L-0.46,0.15L-1.14,-0.37L-0.28,-0.39Z",
    "h": "M0,-1.1L0.95,-0.55L0.95,0.55L0,1.1L-0.95,0.55L-0.95,-0.55Z",
}  # fmt: skip
"""Marks of :mod:`brittle.figures.style` as Vega draws them."""
PADDING = {"left": 16, "right": 16, "top": 4, "bottom": 4}
"""Pixels around a figure. Widths of labels are measured with a narrower font than some browsers have; none may be cut at the sides."""
THEME: dict[str, Any] = {
    "font": FONT, "lineBreak": "\n", "aria": False, "view": {"stroke": None}, "background": "white",
    "axis": {
        "labelFontSize": FONT_SIZE, "titleFontSize": FONT_SIZE, "titleFontWeight": "normal", "labelLimit": 0, "gridColor": "#E6E6E6",
        "domainColor": style.REFERENCE, "tickColor": style.REFERENCE, "titlePadding": 8,
    },
    "legend": {
        "orient": "top", "title": None, "labelFontSize": FONT_SIZE, "labelLimit": 0, "symbolLimit": 0, "symbolSize": 80, "columnPadding": 14,
        "rowPadding": 3, "offset": 8,
    },
    "concat": {"spacing": 14},
}  # fmt: skip
ROWS = {"title": None, "ticks": False, "domain": False, "labelPadding": 6}
"""The axis of a figure with a row per model."""
NEAR = {"stroke": "white", "strokeWidth": 9, "strokeOpacity": 0}
"""An unseen rim, so that a pointer need not hit a small mark exactly."""


@dataclass(frozen=True)
class Panel:
    """Lines over one axis: ``rows`` as :func:`row` makes them."""

    words: str
    rows: Sequence[Mapping[str, Any]]
    axis: Axis
    height: int
    marked: Sequence[tuple[float, Sequence[int]]] = ()
    """Heights of reference lines and their dashes."""
    chance: float | None = None


def row(
    label: str, at: float, value: float, shown: str, low: float = math.nan, high: float = math.nan
) -> dict[str, Any]:
    """One point of a line; ``shown`` is what a pointer is told. What was not measured is a gap."""
    return {
        "model": plain(label), "line": broken(label, LINE_NAME), "x": at, "y": _known(value), "low": _known(low), "high": _known(high),
        "at": f"{at:g}", "shown": shown if math.isfinite(value) else "–",
    }  # fmt: skip


def chart(**parts: Any) -> dict[str, Any]:
    """A specification in the house theme."""
    return {"config": THEME, "padding": PADDING, **parts}


def lines(
    data: ReportData, looks: Mapping[str, Look], panels: Sequence[Panel], below: str, x: Axis, dashed: bool = False
) -> dict[str, Any]:
    """Panels one under the other with a line per model; a click on a name above them hides or shows its line.

    Args:
        dashed: the filtered model's line is dashed.
    """
    drawn = {each["line"] for panel in panels for each in panel.rows}
    models = [(broken(model.label, LINE_NAME), looks[model.name], model.role) for model in data.models]
    models = [model for model in models if model[0] in drawn]
    encoded = _encoding(models, dashed)
    views = [
        _panel(panel, encoded, x, below, first=place == 0, last=panel is panels[-1])
        for place, panel in enumerate(panels)
    ]
    resolved = {"scale": dict.fromkeys(("color", "shape"), "independent")}
    return chart(vconcat=views, resolve=resolved, bounds="full")


def row_height(names: Sequence[str]) -> int:
    """Of a figure with a row per name: all of its lines are seen."""
    return max(34, 8 + 14 * max(name.count("\n") + 1 for name in names))


def in_rows(layers: Sequence[Mapping[str, Any]], names: Sequence[str]) -> dict[str, Any]:
    """A figure with a row per model, :data:`WIDTH` wide with its names."""
    fitting = {"type": "fit-x", "contains": "padding"}
    return chart(width=WIDTH, height=len(names) * row_height(names), autosize=fitting, layer=list(layers))


def _encoding(models: Sequence[tuple[str, Look, str]], dashed: bool) -> dict[str, Any]:
    """Colour, mark, width and dash by model."""
    names = [name for name, *_ in models]
    widest = max((wide(part) for name in names for part in name.split("\n")), default=1)
    columns = max(1, min(5, int((WIDTH - LEFT) / (widest + 32))))

    def channel(values: list[Any], legend: dict[str, Any] | None) -> dict[str, Any]:
        scale = {"type": "ordinal", "domain": names, "range": values}
        return {"field": "line", "type": "nominal", "sort": None, "scale": scale, "legend": legend}

    return {
        "color": channel([look.colour for _, look, _ in models], {"columns": columns}),
        "shape": channel([SHAPES[look.marker] for _, look, _ in models], {"columns": columns}),
        "strokeWidth": channel([look.width for _, look, _ in models], None) | {"type": "ordinal"},
        "strokeDash": channel([[6, 3] if dashed and role == Role.FILTERED else [1, 0] for *_, role in models], None),
    }  # fmt: skip


def _panel(panel: Panel, encoded: dict[str, Any], x: Axis, below: str, first: bool, last: bool) -> dict[str, Any]:
    vertical = {
        "scale": panel.axis.scale,
        "axis": {**panel.axis.axis, "title": panel.words + panel.axis.note, "minExtent": 40, "grid": True},
    }
    across = {"title": below if last else None, "labels": last, **x.axis}
    places = {
        "x": {"field": "x", "type": "quantitative", "scale": x.scale, "axis": across},
        "y": {"field": "y", "type": "quantitative", **vertical},
    }
    silent = {key: channel | {"legend": None} for key, channel in encoded.items()}
    line = {"x": places["x"], "color": silent["color"]}
    marks: list[dict[str, Any]] = [_reference(height, dash, vertical) for height, dash in panel.marked]
    if panel.chance is not None:
        marks += [
            _reference(panel.chance, [4, 3], vertical),
            _reference(panel.chance, [], vertical, "guess"),
        ]
    if any(each["low"] is not None for each in panel.rows):
        reach = {"y": {"field": "low", "type": "quantitative", **vertical}, "y2": {"field": "high"}}
        marks.append({"mark": {"type": "area", "opacity": 1, "fillOpacity": 0.13}, "encoding": {**line, **reach}})
    widths = {key: silent[key] for key in ("strokeWidth", "strokeDash")}
    marks.append({"mark": {"type": "line", "opacity": 1}, "encoding": {**line, "y": places["y"], **widths}})
    shown = told({"model": "model", "at": x.unit, "shown": " ".join(panel.words.split(",")[0].split())})
    named = encoded if first else silent
    points = {**places, "color": named["color"], "shape": named["shape"], "tooltip": shown}
    marks.append({"mark": {"type": "point", "filled": True, "opacity": 1, "size": 34, **NEAR}, "encoding": points})
    if first:
        marks[-1]["params"] = [_toggled(encoded["color"]["scale"]["domain"])]
    return {
        "width": WIDTH - LEFT - RIGHT, "height": panel.height, "data": {"values": list(panel.rows)},
        "transform": [{"filter": {"param": "shown"}}], "layer": marks,
        "resolve": {"legend": {"color": "independent", "shape": "independent"}},  # a merged one answers no click
    }  # fmt: skip


def _toggled(names: Sequence[str]) -> dict[str, Any]:
    """Which lines are shown: at first all. A click on a name changes that one."""
    chosen = {"type": "point", "fields": ["line"], "toggle": "true", "clear": False}
    return {"name": "shown", "select": chosen, "bind": "legend", "value": [{"line": name} for name in names]}


def _reference(height: float, dash: Sequence[int], vertical: Mapping[str, Any], word: str = "") -> dict[str, Any]:
    """A grey line across a panel, or a word at its end."""
    mark: dict[str, Any] = {"type": "rule", "color": style.REFERENCE, "strokeDash": list(dash)}
    encoding: dict[str, Any] = {"y": {"datum": height, "type": "quantitative", **vertical}}
    if word:
        mark = {"type": "text", "align": "left", "dx": 4, "fontSize": 11, "color": style.REFERENCE, "text": word}
        encoding["x"] = {"value": "width"}
    return {"data": {"values": [{}]}, "mark": mark, "encoding": encoding}


def told(fields: Mapping[str, str]) -> list[dict[str, str]]:
    """What a pointer is told: fields, and what they are called."""
    return [{"field": field, "type": "nominal", "title": words} for field, words in fields.items()]


def _known(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
