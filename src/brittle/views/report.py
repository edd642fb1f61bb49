"""The report: one self-contained HTML page, made only from records and tables.

The answer stands on top, with one picture, then ten lines; the rest is folded below a table of contents. The page needs no network,
prints to paper (all of it) and reads on a phone. A figure is a picture; where scripts run, the same figure answers a pointer.
Equal outputs give equal pages: its date is that of the newest record, not of its
writing.
"""

from __future__ import annotations

from pathlib import Path

from brittle.records import check_file, write_text
from brittle.results.outputs import ReportData, gather
from brittle.results.recovery_speed import write_numbers
from brittle.views import (
    attack_path,
    attacks_at_matched_t,
    attacks_at_strongest,
    changes_by_layer,
    model_verdicts,
    models,
    overview,
    signature,
)
from brittle.views.answer import answer_on_top
from brittle.views.html import document
from brittle.views.sentences import summary_lines
from brittle.views.words import several

__all__ = ["gather", "page", "summary_lines", "write_report"]

PARTS = (
    models.summary, overview.overview, model_verdicts.verdicts, models.models, attacks_at_matched_t.attack,
    attacks_at_strongest.from_few_texts, attacks_at_strongest.search, attacks_at_strongest.benign,
    attacks_at_strongest.without_teaching, attacks_at_strongest.worst, attack_path.trajectory, signature.signature,
    changes_by_layer.weights, changes_by_layer.activations, changes_by_layer.lens, models.limits, models.records,
)  # fmt: skip
"""The sections below the answer, in order: each gives one, several, or an empty text."""


def write_report(outputs: Path) -> Path:
    """Write ``report.html`` and ``recovery/numbers.csv`` into the outputs folder, each whole or not at all."""
    path, data = Path(outputs) / "report.html", gather(outputs)
    check_file(path)
    check_file(Path(outputs) / "recovery" / "numbers.csv")
    data.say_left_out()
    write_text(path, page(data))
    write_numbers(outputs, data.numbers)
    return path


def page(data: ReportData) -> str:
    """The page as text."""
    compared = [model.label for model in data.judged()] or [model.label for model in data.models]
    made = [part(data) for part in PARTS]
    sections = [each for part in made for each in (part if isinstance(part, list) else [part])]
    return document(f"Brittle report: {several(compared) or 'no models'}", answer_on_top(data), sections)
