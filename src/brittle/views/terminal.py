"""What commands print at the end of a step."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from brittle import places
from brittle.contracts import DAMAGE_MARGIN
from brittle.percentages import points
from brittle.records import read_record
from brittle.results.attack_kinds import unit
from brittle.views import attack_tables
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
    """What a finished model knows, in a few lines."""
    summary = places.read_summary(folder)
    notes = (read_record(folder) or {}).get("notes", {})
    lines = []
    for split in ("forget", "retain", "benign"):
        before, after = summary.get(f"{split}_nll_before"), summary.get(f"{split}_nll")
        if before is not None or after is not None:
            shown = ["not a number" if value is None else f"{value:.3f}" for value in (before, after)]
            lines.append(f"   {split} likelihood loss {' -> '.join(shown)} nats per token")
    if summary.get("collapsed"):
        lines.append(f"   damaged: benign texts cost at least {DAMAGE_MARGIN:g} nats per token more than the base")
    words = {"t": "hazardous questions, half T", "v": "hazardous questions, half V", "retain": "benign questions"}
    lines += [
        f"   {words[side]}: {points(summary[f'accuracy_{side}'])}% right"
        for side in words
        if f"accuracy_{side}" in summary
    ]
    if notes.get("unmoved_share") is not None:
        lines.append(f"   weights that training left exactly as they were: {points(notes['unmoved_share'], 1)}%")
    return lines
