"""Which facts came back: a page over all attacks, and one for each attack with what every model said before and after."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pandas

from brittle.figures import of_models
from brittle.results.facts import Fate, facts, freely
from brittle.results.outputs import ReportData
from brittle.results.questions import NAMES
from brittle.views.html import Section, filtered, named, paragraph, section, table
from brittle.views.tables import Cell, Content, Table
from brittle.views.words import NOT_MEASURED, several

FACT, HALF, ANSWER = "fact", "half", "right answer"
HALVES = {"v": "V, never shown", "t": "T, may be taught"}
MARKS = {Fate.CAME_BACK: "●", Fate.TAUGHT: "▲", Fate.KNOWN: "✓", Fate.LOST: "✗", Fate.ABSENT: "–", Fate.UNKNOWN: "?"}
READ = (
    "● came back: wrong before the attack, right after it, and never shown. ✓ known before and after. ▲ taught: the half T that attacks "
    "may show. – stayed wrong. ✗ lost: right before, wrong after. ? not recorded. Each over most seeds. A single fact comes back by chance, too: "
    "read a model against the filtered one in the same row, and its verdict on all facts together."
)


def pages(data: ReportData) -> dict[str, tuple[str, list[Section]]]:
    """Title and sections by attack, the page over all of them under an empty name; nothing without recorded answers."""
    found = facts(data)
    if found.empty:
        return {}
    done = [str(name) for name in found["attack"].unique()]
    every = {name: (f"Which facts came back: {name.replace('_', ' ')}", _of_attack(data, found, name)) for name in done}
    return {"": ("Which facts came back, over all attacks", _over_all(data, found, done)), **every}


def _of_attack(data: ReportData, found: pandas.DataFrame, attack: str) -> list[Section]:
    rows = found[found["attack"] == attack]
    counts = section("Of V, which no attack shows", table(_counts(data, rows)), unfolded=True)
    return [counts, *_sections(data, rows, lambda part: _said(part.iloc[0]), READ + (
        " Below each: what it chose before → after the attack, in how many seeds it is right after, and at which step first; "
        "in quotation marks what it says by itself, without choices, before → after."
    ))]  # fmt: skip


def _counts(data: ReportData, rows: pandas.DataFrame) -> Table:
    """How many facts of V had which fate, a row per model."""
    told = rows[rows["side"] == "v"]
    fates = [fate for fate in Fate if (told["fate"] == fate).any()]
    body: list[list[Cell | Content]] = []
    for model in data.models:
        own = told[told["model"] == model.name]
        if len(own):
            body.append([named(data, model.name), *(int((own["fate"] == fate).sum()) for fate in fates), len(own)])
    return Table(
        ("model", *(f"{MARKS[fate]} {fate}" for fate in fates), "facts"), body,
        "Numbers of facts. What the filtered model never knew comes back in it by chance or by the attack: that many count for nothing.",
        cards=True, sortable=True,
    )  # fmt: skip


def _over_all(data: ReportData, found: pandas.DataFrame, done: Sequence[str]) -> list[Section]:
    number = len(done)

    def cell(part: pandas.DataFrame) -> Cell:
        back = [each.replace("_", " ") for each in part.loc[part["fate"] == Fate.CAME_BACK, "attack"]]
        if back:
            return Cell(f"{MARKS[Fate.CAME_BACK]} {len(back)} of {len(part)}", remark=several(back), placed="below")
        usual = Fate(part["fate"].value_counts().index[0])
        return Cell(f"{MARKS[usual]} {usual}")

    return _sections(
        data, found, cell,
        READ + f" Over {number} attack{'s' * (number > 1)} ({several([name.replace('_', ' ') for name in done])}): in how many "
        "of them a fact came back, and in which; where in none, what became of it in most.",
    )  # fmt: skip


def _sections(data: ReportData, rows: pandas.DataFrame, cell, read: str) -> list[Section]:  # type: ignore[no-untyped-def]
    """A table of facts and models; several where there are more models than colours."""
    parts = of_models.groups(data)
    made = []
    for place, part in enumerate(parts, 1):
        shown = _table(part, rows, cell)
        end = f" ({place} of {len(parts)})" if len(parts) > 1 else ""
        made.append(section(
            f"Facts by model{end}", *([paragraph(read, "note")] if place == 1 else []),
            filtered(table(shown), (HALF,), FACT) if shown.rows else paragraph(f"Answers: {NOT_MEASURED}."), unfolded=place == 1,
        ))  # fmt: skip
    return made


def _table(data: ReportData, rows: pandas.DataFrame, cell) -> Table:  # type: ignore[no-untyped-def]
    names = [model.name for model in data.models if model.name in set(rows["model"])]
    by_fact = dict(iter(rows.groupby(["side", "fact", "model"], sort=False)))
    body: list[list[Cell | Content]] = []
    for (side, fact), part in _facts(rows):
        cells = [cell(by_fact[side, fact, name]) if (side, fact, name) in by_fact else Cell(None) for name in names]
        body.append([fact, HALVES.get(side, NAMES.get(side, side)), str(part["right"].iloc[0]), *cells])
    labels = [data.model(name).label for name in names]
    return Table((FACT, HALF, ANSWER, *labels), body, words=range(3 + len(names)), cards=True, sortable=True)


def _facts(rows: pandas.DataFrame) -> Iterator[tuple[tuple[str, str], pandas.DataFrame]]:
    """V first, since it is what the question is about."""
    groups = {(str(side), str(fact)): part for (side, fact), part in rows.groupby(["side", "fact"], sort=True)}
    yield from sorted(groups.items(), key=lambda item: (item[0][0] != "v", item[0][1]))


def _said(row: pandas.Series) -> Cell:
    seeds = int(row["seeds"])
    said = " → ".join(word for word in (row["said_before"] or "?", row["said"]) if word)
    right = f"{round(row['after'] * seeds)} of {seeds}"
    free = f"; by itself {told}" if (told := freely(row.to_dict())) else ""
    back = row["fate"] in (Fate.CAME_BACK, Fate.TAUGHT) and row["first"] > 0
    since = f", first at step {row['first']:.0f}" if back else ""
    return Cell(f"{MARKS[row['fate']]} {row['fate']}", remark=f"{said}; {right}{since}{free}", placed="below")


__all__ = ["pages"]
