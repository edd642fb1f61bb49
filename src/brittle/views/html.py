"""Pieces of HTML: tables, figures, model names. Everything that comes from a name or a table is escaped here."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from matplotlib.figure import Figure as Canvas

from brittle.figures import of_models
from brittle.figures.declared import svg_address
from brittle.results.outputs import ReportData
from brittle.views.words import NOT_MEASURED


@dataclass(frozen=True)
class Markup:
    """HTML that is already safe; plain text is escaped instead."""

    html: str
    order: float | None = None
    """What a sortable table puts it by, if not the number it begins with."""


Cell = str | float | int | Markup | None


def text(content: Cell, decimals: int = 2) -> str:
    """A cell's content as HTML; nothing and NaN are named as not measured."""
    if isinstance(content, Markup):
        return content.html
    if content is None or (isinstance(content, float) and math.isnan(content)):
        return NOT_MEASURED
    return escape(f"{content:.{decimals}f}" if isinstance(content, float) else str(content))


def in_markdown(words: str) -> str:
    """Text as one cell of a Markdown table: on one line, with nothing that ends a cell or begins markup."""
    for sign, instead in (("\\", "\\\\"), ("|", "\\|"), ("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ("`", "\\`")):
        words = words.replace(sign, instead)
    return " ".join(words.split())


def model_name(data: ReportData, name: str) -> Markup:
    """A model's label with a swatch of its colour."""
    swatch = f'<span class="swatch" style="background:{of_models.looks(data)[name].colour}"></span>'
    return Markup(f'<span class="model">{swatch}{escape(data.model(name).label)}</span>')


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
        sortable: ``template/sort.js`` makes buttons of the column names.
    """
    if not rows:
        return ""
    labels = [text(cell) for cell in header]
    heads = "".join(f'<th{_class(place, words)} scope="col">{label}</th>' for place, label in enumerate(labels))
    body = ""
    for row in rows:
        body += "<tr>" + "".join(_cell(cell, place, labels[place], words) for place, cell in enumerate(row)) + "</tr>\n"
    kinds = " ".join(name for name, wanted in (("cards", cards), ("sortable", sortable)) if wanted)
    kind = f' class="{kinds}"' if kinds else ""
    above = paragraph(caption, "note") if caption else ""
    grid = f"<table{kind}><thead><tr>{heads}</tr></thead>\n<tbody>{body}</tbody></table>"
    return f'<div>{above}<div class="scroll">{grid}</div></div>'


def _class(place: int, words: Sequence[int]) -> str:
    return ' class="text"' if place in words else ""


def _cell(cell: Cell, place: int, label: str, words: Sequence[int]) -> str:
    shown = text(cell)
    classes = ["text"] if place in words else []
    classes += ["heading"] if place == 0 else []
    classes += ["none"] if shown == NOT_MEASURED else []
    kind = f' class="{" ".join(classes)}"' if classes else ""
    # labels are header cells without markup, already escaped
    order = (
        ""
        if not isinstance(cell, Markup) or cell.order is None
        else f' data-order="{str(cell.order).replace("inf", "Infinity")}"'
    )
    return f'<td{kind} data-label="{label}"{order}>{shown}</td>'


def figure(drawing: Canvas | None, title: str, reading: str) -> str:
    """A figure with its title and one sentence on how to read it; a line instead where nothing was measured."""
    if drawing is None:
        return f'<p class="note">{escape(title)}: {NOT_MEASURED}.</p>'
    return (
        f'<figure><h3>{escape(title)}</h3><img src="{svg_address(drawing)}" alt="{escape(title)}">'
        f"<figcaption>{escape(reading)}</figcaption></figure>"
    )


def section(title: str, *pieces: str) -> str:
    """A section of the page."""
    body = "\n".join(piece for piece in pieces if piece)
    return f"<section>\n<h2>{escape(title)}</h2>\n{body}\n</section>"


def side_by_side(*pieces: str) -> str:
    """Pieces in two columns where the screen is wide enough."""
    return '<div class="figures">\n' + "\n".join(piece for piece in pieces if piece) + "\n</div>"


def paragraph(words: str, kind: str = "") -> str:
    """A paragraph of plain text."""
    return f'<p class="{kind}">{escape(words)}</p>' if kind else f"<p>{escape(words)}</p>"
