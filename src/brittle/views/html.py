"""Pieces of the page, filled by jinja2 with automatic escaping: whatever comes from a name or a table is text, never markup."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from brittle.figures import chart, of_models
from brittle.figures.chart import Chart
from brittle.results.outputs import ReportData
from brittle.views.tables import Cell, Table
from brittle.views.words import NOT_MEASURED

TEMPLATE = Path(__file__).parent / "template"


class Section(str):
    """A section of the page as HTML, with its title, the place that links lead to, and what it is made of."""

    heading: str
    place: str
    pieces: tuple[str, ...]

    def __html__(self) -> str:
        return str(self)


@dataclass(frozen=True)
class Figure:
    """A figure with its title and one sentence on how to read it."""

    drawing: Chart
    title: str
    reading: str


_apart: ContextVar[list[Figure] | None] = ContextVar("figures that are kept apart", default=None)
APART = re.compile(r'<figure class="apart">(\d+)</figure>')
"""What stands in the page for a figure that is kept apart: its place in the list."""


@contextlib.contextmanager
def figures_apart() -> Iterator[list[Figure]]:
    """Within the block no figure is drawn: the list takes them, for whoever shows them in another way (:data:`APART`)."""
    found: list[Figure] = []
    before = _apart.set(found)
    try:
        yield found
    finally:
        _apart.reset(before)


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


def model_name(data: ReportData, name: str) -> Markup:
    """A model's label with a swatch of its colour."""
    return piece("model", data.model(name).label, of_models.looks(data)[name].colour)


def named(data: ReportData, name: str) -> Cell:
    """A model's label as a cell, with its colour."""
    return Cell(data.model(name).label, colour=of_models.looks(data)[name].colour)


def table(shown: Table) -> str:
    """The table, or nothing without rows."""
    if not shown.rows:
        return ""
    heads = [
        {"content": name, "kind": "text" if place in shown.words else ""} for place, name in enumerate(shown.header)
    ]
    body = [[_cell(cell, place, shown) for place, cell in enumerate(row)] for row in shown.cells()]
    kinds = " ".join(name for name, wanted in (("cards", shown.cards), ("sortable", shown.sortable)) if wanted)
    return piece("table", kinds, shown.caption, heads, body)


def _cell(cell: Cell, place: int, shown: Table) -> dict[str, Any]:
    kinds = {"text": place in shown.words, "heading": place == 0, "none": cell.words == NOT_MEASURED}
    order = "" if cell.order is None else str(cell.order).replace("inf", "Infinity")
    kind = " ".join(name for name, wanted in kinds.items() if wanted)
    return {"cell": cell, "kind": kind, "label": shown.header[place], "order": order}


def figure(drawing: Chart | None, title: str, reading: str) -> str:
    """A figure with its title and one sentence on how to read it; a line instead where nothing was measured.

    The page has the picture, and beside it the specification from which ``template/charts.js`` makes it answer a pointer.
    """
    if drawing is None:
        return paragraph(f"{title}: {NOT_MEASURED}.", "note")
    if (apart := _apart.get()) is not None:
        apart.append(Figure(drawing, title, reading))
        return Markup(f'<figure class="apart">{len(apart) - 1}</figure>')
    return piece("figure", drawing.address(), Markup(drawing.json()), title, reading)


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
    kept = tuple(each for each in pieces if each)
    made = Section(piece("section", title, place, kept, unfolded))
    made.heading, made.place, made.pieces = title, place, kept
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


FILTERED = 'class="filtered"'
INTERACTIVE = 'class="specification"'
"""Stands only where a page has a figure that answers a pointer; quotes within names are escaped."""


SPECIFICATION = re.compile(f'<script type="application/json" {INTERACTIVE}>.*?</script>', re.DOTALL)


def document(title: str, top: str, sections: Sequence[str], pages: Sequence[tuple[str, str]] = ()) -> str:
    """A whole page, with nothing to fetch: what stands on top, the contents, the sections that are not empty.

    ``pages`` are the other pages of a bundle: address (empty: this one) and words. There figures are pictures alone, so that what
    draws them is not in every page.
    """
    drawn = not pages and any(INTERACTIVE in part for part in (top, *sections))
    filtering = any(FILTERED in part for part in (top, *sections))
    page = (
        environment()
        .get_template("page.html")
        .render(
            title=title,
            style=Markup((TEMPLATE / "style.css").read_text(encoding="utf-8")),
            script=Markup((TEMPLATE / "page.js").read_text(encoding="utf-8")),
            library=Markup(chart.library()) if drawn else "",
            charts=Markup((TEMPLATE / "charts.js").read_text(encoding="utf-8")),
            answer=top,
            sections=[each for each in sections if isinstance(each, Section)],
            pages=pages,
            filter=Markup((TEMPLATE / "filter.js").read_text(encoding="utf-8")) if filtering else "",
        )
    )
    return SPECIFICATION.sub("", page) if pages else page


def filtered(content: str, columns: Sequence[str], words: str) -> str:
    """A table below lists that filter it by these columns' values, and a field for words of another; without scripts the table."""
    return piece("filtered", columns, words, content)


def definitions(lines: Mapping[str, str]) -> str:
    """Names and what they stand for."""
    return piece("definitions", lines)
