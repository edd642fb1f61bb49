"""A page for the documentation, from ``references.csv``: what several trainings of each reference say of the measures."""

from __future__ import annotations

import math
from pathlib import Path

from brittle.records import digest_of_file
from brittle.results import trainings
from brittle.results.headlines import headlines
from brittle.results.reader import Reader
from brittle.results.trainings import KINDS, PairOfAKind, Told
from brittle.settings import BadInput
from brittle.views.sentences import tested_sentence
from brittle.views.tables import Cell, Content, Table, in_markdown, markdown
from brittle.views.words import percent, several

EXPECTED = "5 % are to be expected where nothing differs"


def page(path: Path) -> str:
    """Which measures tell filtering from retraining, and how often two trainings of one kind are called different.

    Raises:
        BadInput: the table is not there or no row of it can be read.
    """
    reader = Reader(path.parent)
    table = reader.table(path, trainings.FORM)
    if table is None:
        raise BadInput(
            f"{path} holds no values; write it with: brittle laboratory --references 5 --diagnose {path.parent}"
        )
    told, pairs = trainings.told_apart(table), list(trainings.pairs_of_a_kind(table))
    worlds = several([str(world) for world in sorted(set(table["world"]))])
    parts = [
        "# What two trainings differ by in the laboratory",
        "Written by `uv run brittle laboratory --references N --diagnose OUTPUTS --page FILE` from `references.csv` "
        f"({digest_of_file(path)}): {in_markdown(_size(table['pair'].iloc[0]))}, worlds {worlds}; nothing here is typed by hand.",
        "## Measures that tell filtering from retraining",
        in_markdown(tested_sentence(told)),
        markdown(measures(told)),
        "## Two trainings of one kind",
        in_markdown(_called(pairs)),
        markdown(of_a_kind(pairs)),
    ]  # fmt: skip
    return "\n\n".join(part for part in parts if part) + "\n"


def measures(told: dict[str, Told]) -> Table:
    """One row per measure: its values over the trainings, and the test."""
    words = {f"{plugin.name}.{headline.key}": headline.words for plugin, headline in headlines()}
    rows: list[list[Cell | Content]] = [
        [
            Cell(words.get(measure, measure), mark="◆" if each.tells else ""), _range(each.filtered), _range(each.retrained),
            Cell(None if math.isnan(each.p) else f"{each.p:.2g}"),
        ]
        for measure, each in told.items()
    ]  # fmt: skip
    return Table(
        ("measure", "filtered: median (lowest to highest)", "retrained", "p"), rows,
        "Each is a model beside the base of its own training: filtered or retrained on the same data in another order. ◆ and p: Welch's "
        "t-test between the two over trainings, with worlds as blocks, Holm's correction over all measures.",
    )  # fmt: skip


def of_a_kind(pairs: list[PairOfAKind]) -> Table:
    """All pairs of trainings of one kind."""
    rows: list[list[Cell | Content]] = [
        [pair.kind, pair.one, pair.other, pair.measures, pair.called, pair.called_alone] for pair in pairs
    ]
    return Table(
        ("kind", "one", "other", "measures", "called different", "at 5 % each"), rows,
        "Each pair beside the other trainings of its kind: t-test of the difference, Holm's correction over the measures as for ◆; "
        f"in the last column each measure by itself, where {EXPECTED}.",
        words=(0, 1, 2),
    )  # fmt: skip


def _called(pairs: list[PairOfAKind]) -> str:
    if not pairs:
        return "Fewer than four trainings of each kind: how far two of them may lie apart is not known."
    lines = []
    for kind in KINDS:
        own = [pair for pair in pairs if pair.kind == kind]
        if own:
            share, low, high = trainings.share_called(own)
            alone, lower, higher = trainings.share_called(own, alone=True)
            lines.append(
                f"{kind}: different in {percent(share)} of measures [{percent(low)} to {percent(high)}], without correction in "
                f"{percent(alone)} [{percent(lower)} to {percent(higher)}], of {len(own)} pairs"
            )
    return (
        f"Called different beside what the other trainings of their kind differ by: {'; '.join(lines)}. Without correction {EXPECTED}. "
        "Intervals of 95 %: the trainings were drawn anew, each with its initial weights, order of the data and world; the measures "
        "were not."
    )


def _range(values: tuple[float, ...]) -> str:
    ordered = sorted(values)
    if not ordered:
        return "–"
    middle = (ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]) / 2
    return f"{middle:.3g} ({ordered[0]:.3g} to {ordered[-1]:.3g})"


def _size(pair: str) -> str:
    return f"size {pair.partition('@')[2].partition('-')[0] or 'small'}"
