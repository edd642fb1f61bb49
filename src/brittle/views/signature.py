"""The section of the report that puts every measure beside its controls and beside what the thesis expects."""

from __future__ import annotations

from markupsafe import Markup

from brittle.results.headlines import Measure, Value, measures
from brittle.results.outputs import ReportData
from brittle.results.roles import Role
from brittle.views.html import Cell, paragraph, section, table, with_small
from brittle.views.sentences import sensitivity_sentence, telling_sentence

BORNE_OUT, ALIKE, OPPOSITE = "✓", "≈", "✗"
LEGEND = (
    "✓, ≈ and ✗: where the thesis puts an unlearned model beside the filtered one is borne out (✓), cannot be told because both "
    "are alike, within a factor of 1.25 or within the intervals (≈), or the model stands elsewhere (✗)."
)
EXPECTED = {"below": "below filtered", "above": "above filtered", "untouched": "as the base", "": "–"}


def signature(data: ReportData) -> str:
    """One row per headline number; the control of a random update stands small beside each."""
    found = measures(data)
    if not found:
        return ""
    shown = [model for model in data.models if model.role != Role.BASE]
    names = [model.name for model in shown if any(model.name in measure.values for measure in found)]
    header: list[Cell] = ["measure", "base", *(data.model(name).label for name in names), "thesis: unlearned is"]
    rows: list[list[Cell]] = []
    for measure in found:
        unchanged = "–" if measure.untouched != measure.untouched else number(measure.untouched)
        cells = [_cell(data, measure, name) for name in names]
        tells = " ◆" if measure.tells(data) else ""
        rows.append([measure.headline.words + tells, unchanged, *cells, EXPECTED[measure.headline.thesis]])
    return section(
        "Every measure beside its controls",
        paragraph(f"{telling_sentence(data)} {sensitivity_sentence(data)}".strip(), "meaning"),
        table(
            header, rows,
            "Base: the base itself, or a model that did not change. Small: the same measure of a random update of the same size. ◆: filtered and retrained differ, so the "
            "measure can speak of knowledge. " + LEGEND,
            words=(0, len(header) - 1), cards=True,
        ),
    )  # fmt: skip


def number(value: float) -> str:
    """Three figures that matter."""
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"


def mark(data: ReportData, measure: Measure, name: str) -> str:
    """What the thesis's prediction for a model came to; nothing for references and where it is not known."""
    borne_out = measure.borne_out(data, name) if data.model(name).role == Role.UNLEARNED else None
    if borne_out is None:
        return ""
    return BORNE_OUT if borne_out else ALIKE if measure.alike_filtered(data, name) else OPPOSITE


def _cell(data: ReportData, measure: Measure, name: str) -> Markup | None:
    value: Value | None = measure.values.get(name)
    if value is None:
        return None
    beside = number(measure.random[name].value) if name in measure.random else ""
    return with_small(f"{number(value.value)} {mark(data, measure, name)}".strip(), beside)
