"""Pieces of the page, filled by jinja2 with automatic escaping: whatever comes from a name or a table is text, never markup."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from brittle.figures import of_models
from brittle.figures.chart import Chart
from brittle.results.outputs import ReportData
from brittle.views.words import NOT_MEASURED

TEMPLATE = Path(__file__).parent / "template"


@dataclass(frozen=True)
class Ordered:
    """A cell that a sortable table puts by another number than the one it begins with."""

    content: str
    order: float


Cell = str | float | int | Ordered | None


class Section(str):
    """A section of the page as HTML, with its title and the place that links lead to."""

    heading: str
    place: str

    def __html__(self) -> str:
        return str(self)


@cache
def environment() -> jinja2.Environment:
    """Where templates are filled: a name that is not given is an error."""
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATE), autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True,
        keep_trailing_newline=True,
    )  # fmt: skip


def piece(name: str, *content: Any) -> Markup:
    """A macro of ``template/pieces.html``, filled."""
    return Markup(getattr(environment().get_template("pieces.html").module, name)(*content).strip())


def text(content: Cell, decimals: int = 2) -> str:
    """A cell's content; nothing and NaN are named as not measured."""
    if isinstance(content, Ordered):
        content = content.content
    if content is None or (isinstance(content, float) and math.isnan(content)):
        return NOT_MEASURED
    return (
        f"{content:.{decimals}f}"
        if isinstance(content, float)
        else content
        if isinstance(content, str)
        else str(content)
    )


def in_markdown(words: str) -> str:
    """Text as one cell of a Markdown table: on one line, with nothing that ends a cell or begins markup."""
    for sign, instead in (("\\", "\\\\"), ("|", "\\|"), ("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ("`", "\\`")):
        words = words.replace(sign, instead)
    return " ".join(words.split())


def model_name(data: ReportData, name: str) -> Markup:
    """A model's label with a swatch of its colour."""
    return piece("model", data.model(name).label, of_models.looks(data)[name].colour)


def with_small(words: str, small: str, kind: str = "control") -> Markup:
    """Words with a smaller remark beside them."""
    return piece("with_small", words, small, kind)


def with_settings(words: str, settings: str) -> Markup:
    """Words with settings folded below."""
    return piece("with_settings", words, settings)


def table(
    header: Sequence[Cell],
    rows: Sequence[Sequence[Cell]],
    caption: str = "",
    words: Sequence[int] = (0,),
    cards: bool = False,
    sortable: bool = False,
) -> str:
    """A table, or nothing without rows.

    Args:
        words: the columns of text; the others are numbers.
        cards: each row becomes a card on a narrow screen.
        sortable: ``template/page.js`` makes buttons of the column names.
    """
    if not rows:
        return ""
    labels = [text(cell) for cell in header]
    heads = [{"content": label, "kind": "text" if place in words else ""} for place, label in enumerate(labels)]
    body = [[_cell(cell, place, labels[place], words) for place, cell in enumerate(row)] for row in rows]
    kinds = " ".join(name for name, wanted in (("cards", cards), ("sortable", sortable)) if wanted)
    return piece("table", kinds, caption, heads, body)


def _cell(cell: Cell, place: int, label: str, words: Sequence[int]) -> dict[str, str]:
    shown = text(cell)
    kinds = {"text": place in words, "heading": place == 0, "none": shown == NOT_MEASURED}
    order = str(cell.order).replace("inf", "Infinity") if isinstance(cell, Ordered) else ""
    kind = " ".join(name for name, wanted in kinds.items() if wanted)
    return {"content": shown, "kind": kind, "label": label, "order": order}


def figure(chart: Chart | None, title: str, reading: str) -> str:
    """A figure with its title and one sentence on how to read it; a line instead where nothing was measured.

    The page has the picture, and beside it the specification from which ``template/charts.js`` makes it answer a pointer.
    """
    if chart is None:
        return paragraph(f"{title}: {NOT_MEASURED}.", "note")
    return piece("figure", chart.address(), Markup(chart.json()), title, reading)


def figures(data: ReportData, draw: Callable[[ReportData], Chart | None], title: str, reading: str) -> str:
    """The figure; several below each other where there are more models than colours."""
    parts = of_models.groups(data)
    if len(parts) == 1:
        return figure(draw(data), title, reading)
    drawn = [figure(draw(part), f"{title} ({n} of {len(parts)})", reading) for n, part in enumerate(parts, 1)]
    return together(*drawn)


def section(title: str, *pieces: str, unfolded: bool = False) -> Section:
    """A section of the page, folded unless ``unfolded``."""
    place = re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")
    made = Section(piece("section", title, place, [each for each in pieces if each], unfolded))
    made.heading, made.place = title, place
    return made


def side_by_side(*pieces: str) -> str:
    """Pieces in two columns where the screen is wide enough."""
    return piece("block", "figures", [each for each in pieces if each])


def together(*pieces: str) -> str:
    """Pieces one below the other, as one."""
    return piece("block", "", [each for each in pieces if each])


def paragraph(words: str, kind: str = "") -> str:
    """A paragraph of plain text."""
    return piece("paragraph", words, kind)


def heading(words: str) -> str:
    """A heading within a section."""
    return piece("heading", words)


def listing(lines: Sequence[str], numbered: bool = False) -> str:
    """A list of plain text."""
    return piece("listing", lines, numbered)


def definitions(lines: Mapping[str, str]) -> str:
    """Names and what they stand for."""
    return piece("definitions", lines)
