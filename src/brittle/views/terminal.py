"""What commands print at the end of a step."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from brittle import places
from brittle.percentages import points
from brittle.records import read_record
from brittle.results.attack_kinds import unit
from brittle.results.reader import below
from brittle.views import attack_tables, training
from brittle.views.tables import terminal
from brittle.views.words import NO_EXCESS

if TYPE_CHECKING:
    from brittle.results.outputs import ReportData


def lines(data: ReportData) -> list[str]:
    """For the terminal: a table per attack with a row per model, those that are read at matched T first."""
    found = _diverged(data)
    for attack in dict.fromkeys(row.attack for row in data.matched):
        columns = ("model", "V before", "V at matched T", "after steps", "excess recovery")
        title = f"{attack}: V before and once T is learned"
        found += terminal(attack_tables.matched(data, attack).only(*columns, caption=title))
    for attack in dict.fromkeys(row.attack for row in data.strongest):
        table = attack_tables.strongest(data, attack)
        title = f"{attack}: hazardous questions answered (at: {unit(attack)})"
        found += terminal(table.only(*table.header[:5], caption=title))
    if any(row.recovered is None for row in data.strongest):
        found.append(f"({NO_EXCESS})")
    return found


def _diverged(data: ReportData) -> list[str]:
    labels = {model.name: model.label for model in data.models}
    lost = []
    for each in [] if data.diverged is None else data.diverged.to_dict("records"):
        end = f"at {each['strength']:g}" if each["strength"] else f"after step {each['step']}"
        if each["model"] in labels:
            lost.append(f"  {labels[each['model']]}: {each['attack']}, seed {each['seed']}, {end}")
    return ["diverged, which shows nothing about what was to come:", *lost] if lost else []


def describe(folder: Path) -> list[str]:
    """What a finished model knows, what its training changed, and whether it changed anything, in a few lines."""
    record = read_record(folder) or {}
    summary, notes = places.read_summary(folder), below(record, "notes")
    lines = training.changes(summary)
    if notes.get("unmoved_share") is not None:
        lines.append(f"   weights that training left exactly as they were: {points(notes['unmoved_share'], 1)}%")
    settings = below(record, "settings")
    if summary.get("collapsed"):
        lines.append(f"   to try: {training.gentler(summary, settings)}")
    return lines + training.no_effect(summary, settings)
