"""The picture of a lens: how likely each answer choice of one question is at every depth of one model."""

from __future__ import annotations

from collections.abc import Sequence

import pandas

from brittle.figures import naming, vega
from brittle.figures.chart import Chart
from brittle.percentages import percent

ROW = 22
DARK, INK = "#0B5394", "#222222"
SIGHTED = 0.55
"""Share from which the words of a cell stand white on its dark ground."""


def heat_map(choices: Sequence[str], right: int | None, shares: Sequence[Sequence[float]]) -> Chart:
    """Choices from left to right, depths upwards, so that the output is on top; the right choice is marked ✓.

    Args:
        right: the place of the right choice, if it is known.
        shares: ``[depths][choices]``, each depth adding up to 1.
    """
    names = [f"{'✓ ' if place == right else ''}{naming.plain(choice)}" for place, choice in enumerate(choices)]
    names = [f"{name} ({place + 1})" if names.count(name) > 1 else name for place, name in enumerate(names)]
    table = pandas.DataFrame(
        [
            {"depth": depth, "choice": names[place], "share": share, "shown": percent(share)}
            for depth, row in enumerate(shares)
            for place, share in enumerate(row)
        ]
    )
    depths = list(range(len(shares) - 1, -1, -1))
    labels = {"field": "choice", "type": "nominal", "sort": None, "scale": {"domain": names}}
    across = labels | {
        "axis": {"title": None, "orient": "top", "labelAngle": 0, "labelLimit": 110, "ticks": False, "domain": False}
    }
    up = {"field": "depth", "type": "ordinal", "sort": None, "scale": {"domain": depths},
          "axis": {"title": "layer (top: the output)", "ticks": False, "domain": False}}  # fmt: skip
    ground = {
        "field": "share",
        "type": "quantitative",
        "scale": {"domain": [0, 1], "range": ["#FFFFFF", DARK], "interpolate": "rgb"},
        "legend": None,
    }
    ink = {"condition": {"test": f"datum.share > {SIGHTED}", "value": "white"}, "value": INK}
    told = {"tooltip": vega.told({"choice": "choice", "depth": "layer", "shown": "share"})}
    values = {"data": {"values": table.to_dict("records")}}
    layers = [
        {**values, "mark": {"type": "rect", "stroke": "#DDDDDD"}, "encoding": {"x": across, "y": up, "color": ground, **told}},
        {**values, "mark": {"type": "text", "fontSize": naming.FONT_SIZE},
         "encoding": {"x": across, "y": up, "text": {"field": "shown", "type": "nominal"}, "color": ink}},
    ]  # fmt: skip
    spec = vega.chart(width=vega.WIDTH - vega.LEFT, height=ROW * len(shares), layer=layers)
    return Chart("lens", spec, table)
