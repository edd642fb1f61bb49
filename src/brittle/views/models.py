"""The sections of the report that say what was compared, what it knows, what follows and what was left out."""

from __future__ import annotations

import math
from typing import Any

from brittle.records import fingerprint
from brittle.results.measures import knowledge
from brittle.results.outputs import ModelResult, ReportData, attacks
from brittle.results.reader import number
from brittle.results.roles import Role
from brittle.views.html import definitions, listing, named, paragraph, section, table
from brittle.views.sentences import guessing, summary_lines
from brittle.views.tables import Cell, Content, Share, Table
from brittle.views.words import NOT_MEASURED, several


def summary(data: ReportData) -> str:
    """Ten lines of plain language."""
    return section("In ten lines", listing(summary_lines(data), numbered=True), unfolded=True)


def models(data: ReportData) -> str:
    """What each model is and what it knows before any attack."""
    header = [
        "model", "role", "forget T", "forget V", "retain", "out of sample", "without choices", "NLL forget", "NLL retain",
        "benign texts", "reference and settings",
    ]  # fmt: skip
    rows: list[list[Cell | Content]] = []
    for model in data.models:
        known = knowledge(data, model)
        settings = ", ".join(f"{key} {value}" for key, value in model.settings.items())
        accuracies = [Share(value) for value in (known.forget_t, known.forget_v, known.retain)]
        added = [None if value is None else Share(value) for value in (known.retain_out_of_sample, known.retain_open)]
        worst = model.damage.likelihood
        made = Cell(model.reference or model.name, remark=settings, placed="folded")
        rows.append(
            [
                named(data, model.name),
                model.role,
                *accuracies,
                *added,
                known.nll_forget,
                known.nll_retain,
                Cell(worst.value, remark=worst.kind, placed="below") if worst else None,
                made,
            ]
        )
    lacking = [header[place] for place in range(5, 10) if all(row[place] is None for row in rows)]
    return section(
        "The models before any attack",
        table(Table(
            header, rows,
            f"Accuracy{guessing(data)}. T is the half of the hazardous facts that the attack "
            "will teach, V the half it never shows; NLL is the negative log-likelihood in nats per token. "
            "Out of sample: benign facts that no retain text tells. Without choices: benign questions whose right answer the model "
            f"gives by itself. Benign texts: nats per token on those held out, of the kind that rose most{_guessing(data)}.",
            words=(0, 1, len(header) - 1), cards=True,
        ).only(*(name for name in header if name not in lacking))),
        paragraph(f"Not measured: {several(lacking)}.", "note") if lacking else "",
    )  # fmt: skip


def _guessing(data: ReportData) -> str:
    """What uniform guessing costs, as the end of a sentence."""
    found = [model.damage.likelihood.uniform for model in data.models if model.damage.likelihood]
    return f"; guessing every token alike costs {found[0]:.1f}" if found and not math.isnan(found[0]) else ""


def limits(data: ReportData) -> str:
    """What this comparison cannot say, and what was not measured."""
    lines = []
    if data.recovery is not None:
        done = list(dict.fromkeys(str(attack) for attack in data.recovery["attack"]))
        taught = data.recovery[data.recovery["attack"].isin(attacks(data))]
        seeds = f", {taught.groupby('model')['seed'].nunique().min()} seeds" if len(taught) else ""
        lines += [
            f"Attacks: {several([name.replace('_', ' ') for name in done])}{seeds}. A model that withstood them may yield to another.",
            "Intervals of what came back are over seeds of the attack, in the worst case over questions too: not over trainings of the models, or worlds.",
        ]
    counts = several([f"{len(data.of_role(role))} {role}" for role in ("base", "filtered", "retrained")])
    lines.append(f"Reference models: {counts}. One of a kind shows no spread between trainings.")
    lines += [f"Not measured: {words}." for words in data.missing]
    lines += [f"left out: {words}" for words in data.left_out]
    return section("Limits, and what was not measured", listing(lines))


def records(data: ReportData) -> str:
    """The records behind the page."""
    rows: list[list[Content]] = [
        [
            folder,
            record.get("fingerprint", ""),
            str(record.get("started", "")),
            f"{number(record.get('seconds', 0)):.1f}",
        ]
        for folder, record in data.records.items()
    ]
    listed = table(Table(("folder", "fingerprint", "started", "seconds"), rows, words=(0, 1, 2), cards=True))
    return section("Records behind this page", provenance(data), paragraph(f"{len(rows)} records."), listed)


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
    return definitions({name: value or NOT_MEASURED for name, value in lines.items()})


def _compared(model: ModelResult) -> str:
    return (
        model.label
        if model.role in (Role.UNLEARNED, Role.UNKNOWN)
        else f"{model.label} ({model.reference or model.name})"
    )


def _span(times: list[str]) -> str:
    if not times:
        return ""
    return times[0] if times[0] == times[-1] else f"{times[0]} to {times[-1]}"


def _all_values(entries: list[dict[str, Any]]) -> str:
    """``torch 2.13, numpy 2.4``; where records disagree, all values that occur."""
    found: dict[str, dict[str, None]] = {}
    for entry in entries:
        for key, value in entry.items():
            found.setdefault(key, {})[str(value)] = None
    return ", ".join(f"{key} {' / '.join(values)}" for key, values in found.items() if list(values) != ["None"])
