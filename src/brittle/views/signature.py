"""The section of the report that puts every measure beside its controls and beside what the thesis expects."""

from __future__ import annotations

from brittle.results.headlines import Measure, measures
from brittle.results.outputs import ReportData
from brittle.results.roles import Role
from brittle.views.html import paragraph, section, table
from brittle.views.sentences import sensitivity_sentence, telling_sentence
from brittle.views.tables import Cell, Content, Table

MARKS = {True: "✓", False: "✗", None: ""}
EXPECTED = {"below": "below filtered", "above": "above filtered", "untouched": "as the base", "": "–"}


def signature(data: ReportData) -> str:
    """What the measures say together, and the table of all of them."""
    if not measures(data):
        return ""
    return section(
        "Every measure beside its controls",
        paragraph(f"{telling_sentence(data)} {sensitivity_sentence(data)}".strip(), "meaning"),
        table(measured(data)),
    )


def measured(data: ReportData) -> Table:
    """One row per headline number; the control of a random update stands small beside each."""
    found = measures(data)
    models = [model for model in data.models if model.role != Role.BASE]
    shown = [model for model in models if any(model.name in measure.values for measure in found)]
    header = ("measure", "base", *(model.label for model in shown), "thesis: unlearned is", "borne out")
    rows: list[list[Cell | Content]] = []
    for measure in found:
        unchanged = "–" if measure.untouched != measure.untouched else number(measure.untouched)
        cells = [_cell(data, measure, model.name) for model in shown]
        marks = [measure.borne_out(data, model.name) for model in shown if model.role == Role.UNLEARNED]
        count = f"{sum(mark is True for mark in marks)} of {sum(mark is not None for mark in marks)}"
        rows.append([
            Cell(measure.headline.words, mark="◆" if measure.tells(data) else ""), unchanged, *cells,
            EXPECTED[measure.headline.thesis], count,
        ])  # fmt: skip
    return Table(
        header, rows,
        "◆ marks a measure that tells filtering from a second training. The base's column is the base itself or a model "
        "that did not change; in brackets a random update of the same size in every matrix. ✓ and ✗ say whether an "
        "unlearned model stands beside the filtered one where the specification's thesis puts it; alike (within a factor "
        "of 1.25, or within the intervals) is not borne out.",
        words=(0, len(header) - 2), cards=True,
    )  # fmt: skip


def number(value: float) -> str:
    """Three figures that matter."""
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"


def _cell(data: ReportData, measure: Measure, name: str) -> Cell:
    value = measure.values.get(name)
    if value is None:
        return Cell(None)
    borne_out = measure.borne_out(data, name) if data.model(name).role == Role.UNLEARNED else None
    beside = number(measure.random[name].value) if name in measure.random else ""
    return Cell(number(value.value), remark=beside, mark=MARKS[borne_out])
