"""The section of the report that puts every measure beside its controls and beside what the thesis expects."""

from __future__ import annotations

from brittle.results.headlines import Measure, measures
from brittle.results.outputs import ReportData
from brittle.results.roles import Role
from brittle.views.html import paragraph, section, table
from brittle.views.sentences import sensitivity_sentence, telling_sentence
from brittle.views.tables import Cell, Content, Table

BORNE_OUT, ALIKE, OPPOSITE = "✓", "≈", "✗"
LEGEND = (
    "✓, ≈ and ✗: where the thesis puts an unlearned model beside the filtered one is borne out (✓), cannot be told because both "
    "are alike, within a factor of 1.25 or within the intervals (≈), or the model stands elsewhere (✗)."
)
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
        count = f"{sum(each is True for each in marks)} of {sum(each is not None for each in marks)}"
        rows.append([
            Cell(measure.headline.words, mark="◆" if measure.tells(data) else ""), unchanged, *cells,
            EXPECTED[measure.headline.thesis], count,
        ])  # fmt: skip
    return Table(
        header, rows,
        "◆ marks a measure that tells filtering from a second training, by several trainings of each. The base's column is the base itself or a model "
        "that did not change; in brackets a random update with the same singular values in every matrix. " + LEGEND,
        words=(0, len(header) - 2), cards=True,
    )  # fmt: skip


def number(value: float) -> str:
    """Three figures that matter."""
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"


def _cell(data: ReportData, measure: Measure, name: str) -> Cell:
    value = measure.values.get(name)
    if value is None:
        return Cell(None)
    beside = number(measure.random[name].value) if name in measure.random else ""
    return Cell(number(value.value), remark=beside, mark=mark(data, measure, name))


def mark(data: ReportData, measure: Measure, name: str) -> str:
    """What the thesis's prediction for a model came to; nothing for references and where it is not known."""
    borne_out = measure.borne_out(data, name) if data.model(name).role == Role.UNLEARNED else None
    if borne_out is None:
        return ""
    return BORNE_OUT if borne_out else ALIKE if measure.alike_filtered(data, name) else OPPOSITE
