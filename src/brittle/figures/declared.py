"""Draws declared figures (:class:`brittle.contracts.Figure`) from a result's own tables.

No pyplot: each figure is an object of its own, so drawing is safe in threads and leaves no state behind.
"""

from __future__ import annotations

import contextlib
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import matplotlib
import pandas
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cbook import is_math_text
from matplotlib.figure import Figure as Canvas
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import text_to_path
from matplotlib.ticker import MaxNLocator

from brittle import tables
from brittle.contracts import Figure
from brittle.figures import bands, labels, style
from brittle.figures.files import SOFTWARE, place_of
from brittle.records import replacing

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes

KINDS = ("line", "bar", "box", "points")
PANEL_HEIGHT = 2.0
LEGEND_CHARACTERS = 60
BAR_CHARACTERS = 45
"""So many fit under the bars of a figure; more are slanted."""


@contextlib.contextmanager
def canvas(panels: int, height: float = PANEL_HEIGHT, share_x: bool = True) -> Iterator[tuple[Canvas, list[Axes]]]:
    """An empty figure in the house style with panels one under the other; draw inside the block.

    At its end the figure is laid out, once: what is saved afterwards is only rendered.
    """
    with matplotlib.rc_context(style.PARAMETERS):
        drawing = Canvas(figsize=(style.WIDTH, height * panels + 0.7), layout="constrained")
        FigureCanvasAgg(drawing)
        axes = drawing.subplots(panels, 1, sharex=share_x, squeeze=False)
        yield drawing, list(axes[:, 0])
        drawing.draw_without_rendering()
        drawing.set_layout_engine("none")


def legend_above(axis: Axes, columns: int = 3) -> None:
    """A legend of every panel outside the data, above this one, in at most ``columns`` that fit the figure's width."""
    shown: dict[str, Artist] = {}
    for other in axis.figure.axes:
        for handle, label in zip(*other.get_legend_handles_labels(), strict=True):
            shown.setdefault(label, handle)
    labels, handles = list(shown), list(shown.values())
    if handles:
        fitting = LEGEND_CHARACTERS // (max(map(len, labels)) + 6)  # six characters' width of line and gap
        axis.legend(
            handles, labels, loc="lower left", bbox_to_anchor=(0, 1.02), ncols=max(1, min(columns, fitting)),
            frameon=False, borderaxespad=0, columnspacing=1.2, handlelength=2.2,
        )  # fmt: skip


def draw(figure: Figure, table: pandas.DataFrame, subtitle: str = "") -> Canvas | None:
    """Draw one declared figure; None when the table has none of its ``y`` columns (an option was off) or no rows."""
    if figure.kind not in KINDS:
        raise ValueError(f"figure {figure.name}: kind '{figure.kind}' is not one of {', '.join(KINDS)}")
    for column, value in figure.where.items():
        table = table[table[column] == value]
    columns = [column for column in figure.y if column in table]
    if not columns or table.empty:
        return None
    with canvas(len(columns)) as (drawing, axes):
        for axis, column in zip(axes, columns, strict=True):
            _panel(axis, figure, table, column)
        legend_above(axes[0])
        _share_scales(columns, axes)
        axes[-1].set_xlabel(labels.words(figure.x))
        heading = figure.title + (f"\n{style.literal(subtitle)}" if subtitle else "")
        drawing.suptitle(fitted(heading, 10.5), x=0.01, ha="left", fontsize=10.5)
        drawing.supxlabel(fitted(figure.reading, 8), x=0.01, ha="left", fontsize=8, color="#444444")
    return drawing


def _panel(axis: Axes, figure: Figure, table: pandas.DataFrame, column: str) -> None:
    groups = list(table.groupby(figure.by, sort=False)) if figure.by else [("", table)]
    looks = style.looks_of_categories([value for value, _ in groups])
    categories = sorted(table[figure.x].unique())
    places = {value: float(place) for place, value in enumerate(categories, figure.kind == "box")}
    if figure.kind == "box":
        bands.control_bars(axis, table, figure.x, column, places)
        _boxes(axis, figure, table, column)
    for index, (value, part) in enumerate(groups if figure.kind != "box" else []):
        look, part = looks[value], part.sort_values(figure.x)
        label = style.literal(labels.value_words(value)) if figure.by else None
        if figure.kind == "bar":
            width = 0.8 / len(groups)
            shifted = {place: at + (index - (len(groups) - 1) / 2) * width for place, at in places.items()}
            axis.bar(part[figure.x].map(shifted), part[column], 0.6 * width, color=look.colour, label=label)
            bands.control_bars(axis, part, figure.x, column, shifted, width)
        else:
            bands.control_bands(axis, part, figure.x, column)
            bands.interval(axis, part, figure.x, column, look.colour)
            line = "-" if figure.kind == "line" else "none"
            axis.plot(part[figure.x], part[column], linestyle=line, color=look.colour, marker=look.marker, label=label)
    if figure.reference is not None:
        axis.axhline(
            figure.reference, color=style.REFERENCE, linestyle="--", linewidth=1, label=figure.reference_label or None
        )
    if (chance := figure.expected.get(column, "")) in table:
        bands.expected_line(axis, table, figure.x, chance, places if figure.kind in ("bar", "box") else None)
    shown = [f"{column}{ending}" for ending in ("", "_low", "_random", "_retrained") if f"{column}{ending}" in table]
    if figure.kind != "box" and table[shown].min().min() >= 0:
        axis.set_ylim(0, 1.04 * axis.get_ylim()[1])  # a start elsewhere makes small differences look large
    if figure.kind == "bar":
        words = [labels.value_words(value) for value in categories]
        axis.set_xticks(range(len(categories)), words)
        if sum(map(len, words)) > BAR_CHARACTERS:
            for tick in axis.get_xticklabels():
                tick.set(rotation=30, horizontalalignment="right")
    elif figure.kind != "box" and pandas.api.types.is_integer_dtype(table[figure.x]):
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    axis.set_ylabel("\n".join(textwrap.wrap(labels.words(column), 18)))


def _boxes(axis: Axes, figure: Figure, table: pandas.DataFrame, column: str) -> None:
    groups = [(_narrow(labels.value_words(value)), part[column].dropna()) for value, part in table.groupby(figure.x)]
    axis.boxplot(
        [part for _, part in groups], tick_labels=[value for value, _ in groups],
        medianprops={"color": "#222222"}, flierprops={"markersize": 3},
    )  # fmt: skip


def _narrow(words: str) -> str:
    return "\n".join(textwrap.wrap(words, 10))


def _share_scales(columns: Sequence[str], axes: Sequence[Axes]) -> None:
    """Panels that are compared get the widest of their ranges."""
    for compared in labels.COMPARED:
        same = [axis for column, axis in zip(columns, axes) if column in compared]
        if len(same) > 1:
            lows, highs = zip(*(axis.get_ylim() for axis in same))
            for axis in same:
                axis.set_ylim(min(lows), max(highs))


def fitted(text: str, size: float) -> str:
    """Text broken into lines that are no wider than a figure, in points of ``size``."""
    widest = 72 * style.WIDTH * 0.97
    for characters in range(90, 9, -3):
        lines = [part for line in text.splitlines() for part in textwrap.wrap(line, characters)]
        if all(_width(line, size) <= widest for line in lines if line.strip()):
            break
    return "\n".join(lines)


@cache
def _width(line: str, size: float) -> float:
    """In points. As the font measures it: the outlines of the letters take fifty times as long."""
    mathematical, font = is_math_text(line), FontProperties(family=style.PARAMETERS["font.family"], size=size)
    plain = line if mathematical else line.replace(r"\$", "$")
    width: float = text_to_path.get_text_width_height_descent(plain, font, mathematical)[0]
    return width


def write_declared(
    figures: Iterable[Figure], draft: Path, folder: Path, subtitle: str = "", plots: Path | None = None
) -> list[Path]:
    """Draw a diagnostic's figures from the tables in ``draft``, whose place will be ``folder``, and write them as PNG.

    What belongs into that folder goes into the draft, so that it appears with the record. A figure whose columns are
    not in the table is left out.
    """
    written = []
    for figure in figures:
        drawing = draw(figure, tables.read(draft, figure.table), subtitle)
        if drawing is not None:
            path, own = place_of(figure, folder, plots).resolve(), folder.resolve()
            written.append(write_png(drawing, draft / path.relative_to(own) if path.is_relative_to(own) else path))
    return written


def write_png(drawing: Canvas, path: Path) -> Path:
    """Write a PNG whole or not at all."""
    drawing.set_dpi(style.PARAMETERS["savefig.dpi"])
    with replacing(path) as temporary:  # not savefig, which would draw the figure twice
        FigureCanvasAgg(drawing).print_png(temporary, metadata={"Software": SOFTWARE})  # type: ignore[no-untyped-call]
    return path


def write_beside(page: Path, name: str, drawing: Canvas) -> Path:
    """Write a page's picture to ``images/NAME.png`` beside it; its path."""
    picture = page.parent / "images" / f"{name}.png"
    picture.parent.mkdir(parents=True, exist_ok=True)
    return write_png(drawing, picture)
