"""The report: one self-contained HTML page, made only from records and tables.

It needs no network, prints to paper and reads on a phone. Equal outputs give equal pages: its date is that of the
newest record, not of its writing.
"""

from __future__ import annotations

from html import escape
from pathlib import Path
from string import Template

from brittle.records import check_file, fingerprint, write_text
from brittle.results.outputs import ModelResult, ReportData, gather
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
from brittle.views.sentences import summary_lines
from brittle.views.words import NOT_MEASURED, several

__all__ = ["gather", "page", "summary_lines", "write_report"]

TEMPLATE = Path(__file__).parent / "template"


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
    unlearned = [model.label for model in data.of_role("unlearned")]
    title = f"Brittle report: {several(unlearned) or several([model.label for model in data.models])}"
    parts = (
        models.summary, overview.overview, model_verdicts.verdicts, models.models, attacks_at_matched_t.attack, attacks_at_strongest.from_few_texts, attacks_at_strongest.search,
        attacks_at_strongest.benign, attacks_at_strongest.without_teaching, attacks_at_strongest.worst, attack_path.trajectory, signature.signature, changes_by_layer.weights,
        changes_by_layer.activations, changes_by_layer.lens, models.limits, models.records,
    )  # fmt: skip
    return Template((TEMPLATE / "page.html").read_text(encoding="utf-8")).substitute(
        title=escape(title),
        style=(TEMPLATE / "style.css").read_text(encoding="utf-8"),
        script=(TEMPLATE / "sort.js").read_text(encoding="utf-8"),
        provenance=provenance(data),
        sections="\n".join(part(data) for part in parts),
    )


def provenance(data: ReportData) -> str:
    """What was compared, when, from which records, with which versions, on which machine."""
    records = list(data.records.values())
    lines = {
        "Compared": "; ".join(_compared(model) for model in data.models),
        "Measured": _span(sorted(str(record["started"]) for record in records if record.get("started"))),
        "Fingerprint": fingerprint(sorted(str(record.get("fingerprint")) for record in records)) if records else "",
        "Versions": _all_values([record.get("versions") or {} for record in records]),
        "Machine": _all_values([record.get("machine") or {} for record in records]),
    }
    rows = "\n".join(f"<dt>{name}</dt><dd>{escape(value or NOT_MEASURED)}</dd>" for name, value in lines.items())
    return f'<dl class="provenance">\n{rows}\n</dl>'


def _compared(model: ModelResult) -> str:
    return model.label if model.role == "unlearned" else f"{model.label} ({model.reference or model.name})"


def _span(times: list[str]) -> str:
    if not times:
        return ""
    return times[0] if times[0] == times[-1] else f"{times[0]} to {times[-1]}"


def _all_values(entries: list[dict]) -> str:
    """``torch 2.13, numpy 2.4``; where records disagree, all values that occur."""
    found: dict[str, dict[str, None]] = {}
    for entry in entries:
        for key, value in entry.items():
            found.setdefault(key, {})[str(value)] = None
    return ", ".join(f"{key} {' / '.join(values)}" for key, values in found.items() if list(values) != ["None"])
