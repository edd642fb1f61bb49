"""One table, put together once and shown three ways: :func:`brittle.views.html.table`, :func:`markdown`, :func:`terminal`.

A cell says what it holds, not how that looks. Whoever shows it escapes it, once: nothing in a cell is ever markup.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace

from brittle.percentages import percent
from brittle.results.at_matched_t import Estimate
from brittle.views.words import NOT_MEASURED

FITS = 80
"""Columns of a terminal that a table fits into where its words can be broken that far."""
GAP = "  "


@dataclass(frozen=True)
class Share:
    """A share, 0 to 1, shown as per cent; None and NaN are not measured."""

    value: float | None
    decimals: int = 0


Content = str | int | float | Share | Estimate | None


@dataclass(frozen=True)
class Cell:
    """Content with what stands beside it.

    Args:
        decimals: of a number that is not whole.
        remark: shown small, in brackets where nothing is small.
        placed: where the page puts the remark: "beside", "below", or "folded" behind the word *settings*.
        mark: a sign that judges the content; stands last.
        colour: of the swatch before a model's name, as HTML writes it.
        code: the content is typed as it stands, such as a flag.
        link: where the content leads, on the same page.
        page: another page that it leads to, by its address.
        order: what a sortable table puts the cell by, if not the number that it begins with.
    """

    content: Content
    decimals: int = 2
    remark: str = ""
    placed: str = "beside"
    mark: str = ""
    colour: str = ""
    code: bool = False
    link: str = ""
    page: str = ""
    order: float | None = None

    @property
    def words(self) -> str:
        """The content as text; nothing and NaN are named as not measured."""
        content = self.content.value if isinstance(self.content, Share) else self.content
        number = content.mean if isinstance(content, Estimate) else content
        if number is None or (isinstance(number, float) and math.isnan(number)):
            return NOT_MEASURED
        if isinstance(self.content, Share):
            return percent(self.content.value or 0, self.content.decimals)
        return f"{content:.{self.decimals}f}" if isinstance(content, float) else str(content)

    @property
    def beside(self) -> str:
        """Remark and mark as text."""
        return " ".join(filter(None, (f"({self.remark})" if self.remark else "", self.mark)))

    def __str__(self) -> str:
        return f"{self.words} {self.beside}".strip()


@dataclass(frozen=True)
class Table:
    """Rows of cells below the names of their columns; without rows it is shown as nothing.

    Args:
        words: the places of the columns of text; the others are numbers and stand at the right.
        cards: each row becomes a card on a narrow screen.
        sortable: ``template/page.js`` makes buttons of the column names.
    """

    header: Sequence[str]
    rows: Sequence[Sequence[Cell | Content]]
    caption: str = ""
    words: Collection[int] = (0,)
    cards: bool = False
    sortable: bool = False

    def cells(self) -> Iterator[list[Cell]]:
        """The rows with every content in a cell."""
        return ([each if isinstance(each, Cell) else Cell(each) for each in row] for row in self.rows)

    def only(self, *names: str, caption: str | None = None) -> Table:
        """The columns of these names in this order, below another caption if one is given."""
        places = [list(self.header).index(name) for name in names]
        return replace(
            self, header=names, rows=[[row[place] for place in places] for row in self.rows],
            words=[new for new, place in enumerate(places) if place in self.words],
            caption=self.caption if caption is None else caption,
        )  # fmt: skip


def in_markdown(words: str) -> str:
    """Text as one cell of a Markdown table: on one line, with nothing that ends a cell or begins markup."""
    for sign in ("\\", "|", "`", "*"):
        words = words.replace(sign, f"\\{sign}")
    for sign, instead in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ("](", "]\\(")):
        words = words.replace(sign, instead)
    return " ".join(words.split())


def markdown(table: Table) -> str:
    """The caption, and the table below it."""
    if not table.rows:
        return ""
    lines = [in_markdown(table.caption), ""] if table.caption else []
    lines.append(_line([in_markdown(name) for name in table.header]))
    lines.append("|" + "|".join("---" if place in table.words else "---:" for place in range(len(table.header))) + "|")
    return "\n".join([*lines, *(_line([_markdown(each) for each in row]) for row in table.cells())])


def _line(cells: Sequence[str]) -> str:
    return "|" + "|".join(f" {cell} " if cell else " " for cell in cells) + "|"


def _markdown(cell: Cell) -> str:
    words = in_markdown(cell.words)
    if cell.code:
        words = "`" + " ".join(cell.words.replace("`", "'").replace("|", "\\|").split()) + "`"
    words = f"[{words}](#{cell.link})" if cell.link else words
    return f"{words} {in_markdown(cell.beside)}".strip()


def terminal(table: Table) -> list[str]:
    """The caption, the names of the columns where there are any, and the rows, in columns two spaces apart."""
    if not table.rows:
        return []
    shown = [[_printable(name) for name in table.header]] if any(table.header) else []
    shown += [[_printable(str(cell)) for cell in row] for row in table.cells()]
    columns = list(zip(*shown))
    widths = _widths(columns, [place in table.words for place in range(len(columns))], bool(any(table.header)))
    lines = [_printable(table.caption)] if table.caption else []
    for row in shown:
        parts = [_wrapped(cell, width) for cell, width in zip(row, widths)]
        for depth in range(max(map(len, parts))):
            cells = [part[depth] if depth < len(part) else "" for part in parts]
            aligned = [
                cell + " " * (room - width_of(cell)) if place in table.words else " " * (room - width_of(cell)) + cell
                for place, (cell, room) in enumerate(zip(cells, widths))
            ]
            lines.append((GAP + GAP.join(aligned)).rstrip())
    return lines


def width_of(words: str) -> int:
    """How many columns of a terminal the words take: wide characters two, combining ones none."""
    return sum(
        0 if unicodedata.category(sign) in ("Mn", "Me") else 2 if unicodedata.east_asian_width(sign) in "WF" else 1
        for sign in words
    )


def _printable(words: str) -> str:
    """Control characters, line ends among them, as they are written in Python; all spaces alike."""
    spaced = (" " if unicodedata.category(sign) == "Zs" else sign for sign in words)
    return "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in spaced)


def _widths(columns: Sequence[Sequence[str]], texts: Sequence[bool], headed: bool) -> list[int]:
    """Each column as wide as its widest cell; where all are too wide together, broken between words, the widest first."""
    widths = [max(map(width_of, column)) for column in columns]
    least = []
    for column, text in zip(columns, texts):
        heads, cells = (column[:1], column[1:]) if headed else ((), column)
        whole = [word for cell in (*heads, *(cells if text else ())) for word in cell.split()]
        least.append(max(map(width_of, [*whole, *(() if text else cells)]), default=0))
    while sum(widths) + len(GAP) * len(widths) > FITS:
        spare = [place for place, width in enumerate(widths) if width > least[place]]
        if not spare:
            break
        widths[max(spare, key=lambda place: widths[place])] -= 1
    return widths


def _wrapped(words: str, width: int) -> list[str]:
    if width_of(words) <= width:
        return [words]
    lines = [""]
    for word in words.split():
        if lines[-1] and width_of(f"{lines[-1]} {word}") > width:
            lines.append(word)
        else:
            lines[-1] = f"{lines[-1]} {word}".strip()
    return lines
