"""What one diagnostic answers, for the terminal: its numbers, what to compare them with, how to read them."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from brittle import discovery
from brittle.contracts import Headline
from brittle.records import RECORD, read_record
from brittle.results.headlines import Value, read
from brittle.results.reader import Reader, below
from brittle.results.unplanned import EVALUATION
from brittle.tables import CONTROLS
from brittle.views.signature import EXPECTED, number

SIDES = {"forget": "hazardous questions answered", "retain": "benign questions answered"}


def answer(folder: Path, name: str) -> list[str]:
    """The headline numbers of a finished record with what stands beside them, then how its main figure reads."""
    found = headlines(folder, name)
    if name == EVALUATION:
        return [
            *found,
            "how to read: accuracy at chance is what guessing gives; an interval that holds it shows no knowledge.",
        ]
    plugin = discovery.find("diagnostics", name)
    figures = plugin.load().FIGURES
    expected = [each for each in plugin.load().HEADLINES if each.thesis]
    lines = [*found, f"how to read: {figures[0].reading}"] if figures else found
    if expected and plugin.constants["SCOPE"] == "pair":
        words = "; ".join(f"{each.words}: {EXPECTED[each.thesis]}" for each in expected)
        lines.append(
            f"compare with the same numbers of a model that never saw the data; of unlearning that only hides: {words}"
        )
    elif plugin.constants["SCOPE"] == "model":
        lines.append("compare with the same number of the base and of a model that never saw the data.")
    return lines


def headlines(folder: Path, name: str) -> list[str]:
    """The headline numbers alone, a line each; of a record that has none, so much."""
    summary = _summary(folder)
    if name == EVALUATION:
        return _accuracies(summary)
    lines = []
    plugin = discovery.find("diagnostics", name)
    for headline in plugin.load().HEADLINES:
        value = read(summary, headline.key)
        if value is not None:
            lines.append(f"  {headline.words}: {_with_interval(value)}{_beside(plugin, headline, summary)}")
    return lines or ["  no headline number could be measured; the tables say what was"]


def _beside(plugin: discovery.Plugin, headline: Headline, summary: dict[str, Any]) -> str:
    parts = []
    if headline.untouched is not None and plugin.constants["SCOPE"] == "pair":
        parts.append(f"{number(headline.untouched)} where nothing changed")
    for kind, words in CONTROLS.items():
        if control := read(below(summary, "controls", kind), headline.key):
            parts.append(f"{number(control.value)} for {words}")
    if (chance := read(summary, "chance")) and plugin.constants["SCOPE"] == "model":
        parts.append(f"{number(chance.value)} is chance")
    return f" ({', '.join(parts)})" if parts else ""


def _accuracies(summary: dict[str, Any]) -> list[str]:
    lines = []
    for side, words in SIDES.items():
        part = below(summary, "results", side)
        if value := read(
            {**part, "accuracy_low": part.get("interval_low"), "accuracy_high": part.get("interval_high")}, "accuracy"
        ):
            lines.append(f"  {words}: {_with_interval(value)}, {part.get('questions')} questions")
    if chance := read(summary, "chance"):
        lines.append(f"  chance on the benign questions: {number(chance.value)}")
    return lines


def _with_interval(value: Value) -> str:
    if math.isnan(value.low) or math.isnan(value.high):
        return number(value.value)
    return f"{number(value.value)} [{number(value.low)}, {number(value.high)}]"


def _summary(folder: Path) -> dict[str, Any]:
    """The summary that a record lists, whatever its file is called."""
    listed = (read_record(folder) or {}).get("files", [])
    names = [name for name in listed if name.endswith(".json") and "/" not in name and name != RECORD]
    return Reader(folder).object(folder / names[0]) if names else {}
