"""What commands print at the end of a step."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from brittle import places
from brittle.percentages import points
from brittle.records import read_record
from brittle.results.at_strongest import where
from brittle.results.attack_kinds import unit
from brittle.views.words import NO_EXCESS, excess
from brittle.views.words import learned as learned_words

if TYPE_CHECKING:
    from brittle.results.outputs import ReportData


def lines(data: ReportData) -> list[str]:
    """For the terminal: a block per attack with a line per model, those that are read at matched T first."""
    blocks: dict[str, list[tuple[str, float, str]]] = {}
    lost: list[str] = []
    for learned in data.matched:
        title = f"{learned.attack}: V before and once T is learned (at which step; excess recovery)"
        after = f"{learned.v} ({learned.step:.0f}; {excess(learned.excess)})" if learned.v else learned_words(learned)
        blocks.setdefault(title, []).append((learned.model, learned.first_v, after))
    for row in data.strongest:
        title = f"{row.attack}: hazardous questions answered (at which {unit(row.attack)}; excess recovery)"
        after = f"{row.after} ({where(row)}; {excess(row.recovered)})"
        blocks.setdefault(title, []).append((row.model, row.before, after))
    labels = {model.name: model.label for model in data.models}
    for each in [] if data.diverged is None else data.diverged.to_dict("records"):
        end = f"at {each['strength']:g}" if each["strength"] else f"after step {each['step']}"
        if each["model"] in labels:
            lost.append(f"  {labels[each['model']]}: {each['attack']}, seed {each['seed']}, {end}")
    width = max((len(data.model(model).label) for rows in blocks.values() for model, _, _ in rows), default=0)
    found = ["diverged, which shows nothing about what was to come:", *lost] if lost else []
    for title, rows in blocks.items():
        found.append(title)
        found += [f"  {data.model(model).label:<{width}}  {points(v):>3} % -> {after}" for model, v, after in rows]
    if blocks and any(row.recovered is None for row in data.strongest):
        found.append(f"({NO_EXCESS})")
    return found


def describe(folder: Path) -> list[str]:
    """What a finished model knows, in a few lines."""
    summary = places.read_summary(folder)
    notes = (read_record(folder) or {}).get("notes", {})
    lines = []
    for split in ("forget", "retain"):
        before, after = summary.get(f"{split}_nll_before"), summary.get(f"{split}_nll")
        if before is not None or after is not None:
            shown = ["not a number" if value is None else f"{value:.3f}" for value in (before, after)]
            lines.append(f"   {split} likelihood loss {' -> '.join(shown)} nats per token")
    words = {"t": "hazardous questions, half T", "v": "hazardous questions, half V", "retain": "benign questions"}
    lines += [
        f"   {words[side]}: {points(summary[f'accuracy_{side}'])}% right"
        for side in words
        if f"accuracy_{side}" in summary
    ]
    if notes.get("unmoved_share") is not None:
        lines.append(f"   weights that training left exactly as they were: {points(notes['unmoved_share'], 1)}%")
    return lines
