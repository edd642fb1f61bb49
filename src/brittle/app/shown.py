"""What all pages show alike: text as text, tables and figures of the report, problems.

Nothing that comes from a model, a prompt, a file or a record is ever read as Markdown: it goes through :func:`markup`, which
takes HTML in which it is escaped, or into elements that show text only (``st.text``, ``st.code``, ``st.dataframe``).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import Any

import pandas
import streamlit as st
from markupsafe import Markup, escape

from brittle import problems
from brittle.bad_input import BadInput
from brittle.figures.chart import Chart
from brittle.results.at_matched_t import Estimate
from brittle.views import html
from brittle.views.html import APART, Figure, Section, figures_apart
from brittle.views.tables import Cell, Share, Table
from brittle.views.words import NOT_MEASURED

ROWS = 400
"""Height of a table at most, in pixels."""
HUNDRED = 100
"""A table that sorts holds shares as numbers of per cent; the sign is its own."""
OWN_STYLE = """
.report { font-size: 1rem; }
.report .problem { border-left: 4px solid #b3261e; background: #fdecea; padding: .5rem .8rem; overflow-wrap: anywhere; }
.report .remark { border-left: 4px solid #8a6d00; background: #fff8e1; padding: .5rem .8rem; overflow-wrap: anywhere; }
.report .said { white-space: pre-wrap; overflow-wrap: anywhere; font-family: ui-monospace, "DejaVu Sans Mono", monospace; font-size: .9rem;
  border: 1px solid var(--line); padding: .6rem .7rem; border-radius: 4px; min-height: 3rem; }
.report .said span { border-radius: 2px; }
.report h3 { overflow-wrap: anywhere; }
[data-testid="stVegaLiteChart"] svg { max-width: 100%; height: auto; }
.katex-display { overflow-x: auto; overflow-y: hidden; padding: .2rem 0; }
[data-testid="stMainBlockContainer"] { padding-top: 3rem; }
"""


@cache
def style() -> str:
    """The report's own style for what stands in an element of the class ``report``, and the little that the app adds."""
    report = (html.TEMPLATE / "style.css").read_text(encoding="utf-8")
    screen = report.partition("@media print")[0]
    inside = re.sub(r"(?m)^(\s*)(:root|body)(?= \{)", r"\1&", screen)
    box = ".report { max-width: none; margin: 0; padding: 0; background: none; }"
    return f"<style>.report {{\n{inside}\n}}\n{box}\n{OWN_STYLE}</style>"


def begin(title: str, words: str) -> None:
    """The head of a page; both are the app's own words."""
    st.html(style())
    st.title(title)
    st.caption(words)


def markup(content: str) -> None:
    """HTML of :mod:`brittle.views`, in the report's style. What stands in it from elsewhere is escaped already."""
    st.html(f'<div class="report">{content}</div>')


def paragraph(words: str, kind: str = "") -> None:
    """Plain text."""
    markup(html.paragraph(words, kind))


def heading(words: str) -> None:
    """Plain text as a heading."""
    markup(html.heading(words))


def problem(words: str) -> None:
    """What went wrong and what to do, as text."""
    markup(Markup('<p class="problem" role="alert">{}</p>').format(words))


def remark(words: str) -> None:
    """What should be known, as text."""
    markup(Markup('<p class="remark">{}</p>').format(words))


def attempt(work: Callable[[], Any]) -> Any:
    """What the work gives; None, with the problem shown, where it cannot be done."""
    try:
        return work()
    except BadInput as found:
        problem(str(found))
    except (OSError, MemoryError, RuntimeError) as found:
        if (words := problems.of_the_system(found)) is None:
            raise
        problem(words)
    return None


def words_of(found: Exception) -> str:
    """What the system refused, or the error as it is, in one line."""
    return problems.of_the_system(found) or problems.unforeseen(found)


def chart(drawing: Chart, title: str, key: str | None = None) -> None:
    """A figure that answers a pointer: the same specification as on the report's page."""
    around = drawing.spec.get("padding", 0)
    spec = drawing.spec | {
        "padding": dict.fromkeys(("left", "top", "right", "bottom"), around),  # Streamlit takes no single number
        "autosize": "pad",  # else Streamlit presses axes and titles into the height of the plot itself
        "usermeta": {"embedOptions": {"renderer": "svg", "actions": False}},
    }
    st.vega_lite_chart(spec=spec, theme=None, width="content", alt=title, key=key)


def figure(shown: Figure) -> None:
    """A figure below its title, with the sentence that says how to read it."""
    heading(shown.title)
    chart(shown.drawing, shown.title)
    paragraph(shown.reading, "note")


def section(make: Callable[[], str | Sequence[str]]) -> None:
    """Sections of the report, as its page has them; figures that stand side by side there do so here."""
    with figures_apart() as figures:
        made = make()
    for each in [made] if isinstance(made, str) else made:
        if isinstance(each, Section):
            heading(each.heading)
        for piece in each.pieces if isinstance(each, Section) else [each]:
            for part in _parts(str(piece), figures):
                if isinstance(part, str):
                    markup(part)
                else:
                    _beside(part)


def _parts(content: str, figures: Sequence[Figure]) -> Iterator[str | list[Figure]]:
    """Stretches of HTML, and between them figures with nothing but their frames between each other."""
    found: list[Figure] = []
    for number, piece in enumerate(APART.split(content)):
        if number % 2:
            found.append(figures[int(piece)])
        elif re.sub(r"</?div[^>]*>|\s", "", piece):
            if found:
                yield found
            found = []
            yield piece
    if found:
        yield found


def _beside(figures: Sequence[Figure]) -> None:
    for start in range(0, len(figures), 2):
        for place, each in zip(st.columns(2), figures[start : start + 2]):
            with place:
                figure(each)


def table(shown: Table, key: str | None = None) -> None:
    """A table that sorts and searches by itself; the caption stands below it."""
    frame, columns = framed(shown)
    st.dataframe(
        frame,
        hide_index=True,
        column_config=columns,
        key=key,
        placeholder="–",
        height=min(ROWS, 38 + 35 * max(1, len(frame))),
    )
    if shown.caption:
        paragraph(shown.caption, "note")


def framed(shown: Table) -> tuple[pandas.DataFrame, dict[str, Any]]:
    """The table's numbers as numbers, so that they sort as such; intervals and remarks have columns of their own."""
    cells = list(shown.cells())
    columns: dict[str, Any] = {}
    content: dict[str, list[Any]] = {}
    for place, name in enumerate(shown.header):
        column = [row[place] for row in cells]
        shares = [cell.content for cell in column if isinstance(cell.content, Share | Estimate)]
        numbers = [_number(cell) for cell in column]
        if place in shown.words or all(number is None for number in numbers):
            content[name] = [str(cell) for cell in column]
            continue
        decimals = max((cell.decimals for cell in column if isinstance(cell.content, float)), default=0)
        form = f"%.{decimals}f"
        if shares:
            numbers = [None if number is None else number * HUNDRED for number in numbers]
            form = f"%.{max(each.decimals if isinstance(each, Share) else 0 for each in shares)}f %%"
        content[name] = numbers
        columns[name] = st.column_config.NumberColumn(format=form)
        if any(isinstance(cell.content, Estimate) for cell in column):
            content[f"{name}: interval"] = [_interval(cell) for cell in column]
        if any(cell.beside for cell in column):
            content[f"{name}: note"] = [cell.beside for cell in column]
    return pandas.DataFrame(content), columns


def _number(cell: Cell) -> float | None:
    value = cell.content
    value = value.value if isinstance(value, Share) else value.mean if isinstance(value, Estimate) else value
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def _interval(cell: Cell) -> str:
    """The interval, or why there is no number."""
    if isinstance(cell.content, Estimate):
        low, _, high = str(cell.content).partition(" [")[2].removesuffix("]").partition(", ")
        return f"{low}–{high} %" if high else ""
    return "" if cell.words == NOT_MEASURED else cell.words


def escaped(words: str) -> str:
    """Text as it may stand in HTML."""
    return str(escape(words))


def page_link(page: str, words: str, query: dict[str, Any]) -> None:
    """A link to another page with its choices filled in; page and words are the app's own."""
    st.page_link(st.Page(_nothing, url_path=page, title=page.capitalize()), label=words, query_params=query)


def _nothing() -> None:
    """Stands for a page of which only the address is needed."""
