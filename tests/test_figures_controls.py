"""Controls in figures: a band per control behind the series it belongs to, and chance as a dashed line."""

import warnings

import pandas
import pytest
from matplotlib.collections import PolyCollection

from brittle.contracts import Figure
from brittle.figures import bands, declared

TABLE = pandas.DataFrame({
    "layer": [0, 1, 2],
    "norm": [1.0, 2.0, 3.0],
    "norm_low": [0.5, 1.5, 2.5],
    "norm_high": [1.5, 2.5, 3.5],
    "norm_random": [5.0, 6.0, 7.0],
    "norm_random_low": [4.0, 5.0, 6.0],
    "norm_random_high": [6.0, 7.0, 9.0],
    "norm_retrained": [0.2, 0.3, 0.4],
    "expected": [2.5, 2.5, 2.5],
})  # fmt: skip
FIGURE = Figure("norms", "norms", "layer", ("norm",), "Norms", "Read it so.", expected={"norm": "expected"})


def drawn(figure: Figure, table: pandas.DataFrame):
    """The figure's first panel; a layout that does not fit is a failure."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return declared.draw(figure, table, "a → b").axes[0]


def legend(axis) -> list[str]:
    return sorted(text.get_text() for text in axis.get_legend().get_texts())


def test_a_line_has_its_interval_its_controls_and_chance():
    axis = drawn(FIGURE, TABLE)
    reaches = [
        (part.get_paths()[0].vertices[:, 1].min(), part.get_paths()[0].vertices[:, 1].max())
        for part in axis.collections
        if isinstance(part, PolyCollection)
    ]
    assert [bound for reach in sorted(reaches) for bound in reach] == pytest.approx([0.2, 0.4, 0.5, 3.5, 4.0, 9.0])
    assert legend(axis) == ["expected by chance", "random update", "retrained base"]
    assert axis.get_ylim()[0] == 0 and axis.get_ylim()[1] > 9


def test_no_control_no_band():
    axis = drawn(FIGURE, TABLE[["layer", "norm"]])
    assert not axis.collections and axis.get_legend() is None


@pytest.mark.parametrize("kind", ["bar", "box", "points", "line"])
def test_each_series_has_bands_of_its_own(kind):
    two = pandas.concat([TABLE.assign(side="A"), TABLE.assign(side="B", norm_random_low=8.0, norm_random_high=9.0)])
    figure = Figure("norms", "norms", "layer", ("norm",), "t", "r", by=None if kind == "box" else "side", kind=kind)
    axis = drawn(figure, two)
    bars = [patch for patch in axis.patches if patch.get_facecolor()[:3] == (0xD0 / 255,) * 3]
    fills = [part for part in axis.collections if (part.get_facecolor()[:, :3] == 0xD0 / 255).all(axis=1).any()]
    assert (len(bars), len(fills)) == {"bar": (6, 0), "box": (3, 0), "points": (0, 2), "line": (0, 2)}[kind]
    assert legend(axis).count("random update") == 1


def test_reach_is_over_rows_and_intervals_and_leaves_out_what_is_missing():
    rows = pandas.DataFrame(
        {"x": [0, 0, 1], "y": [1.0, 4.0, None], "y_low": [0.5, 3.0, None], "y_high": [2.0, 6.0, None]}
    )
    found = bands.reach_of(rows, "x", "y")
    assert found.loc[0, "low"] == 0.5 and found.loc[0, "high"] == 6.0 and list(found.index) == [0]
    assert bands.reach_of(rows, "x", "other").empty


def test_the_legend_fits_the_width():
    table = pandas.concat([TABLE.assign(side=f"a component with a long name {index}") for index in range(4)])
    figure = Figure("norms", "norms", "layer", ("norm",), "t", "r", by="side")
    axis = drawn(figure, table)
    drawing = axis.get_figure()
    assert axis.get_legend().get_window_extent().x1 <= drawing.bbox.x1
