"""What several worlds, trainings and seeds show together: one row per method, as a table, a page and ``levels.csv``."""

from __future__ import annotations

from collections.abc import Sequence

import pandas

from brittle.contracts import MATCHED_T
from brittle.percentages import percent
from brittle.results.levels import Measure, OverLevels
from brittle.results.verdicts import Judgement
from brittle.views.tables import Cell, Content, Share, Table, in_markdown, markdown, terminal
from brittle.views.words import BOUND, over, what_varied

CAPTION = (
    f"V at matched T: where an attack has brought T to {percent(MATCHED_T)}; where a run never learned T, V in the worst case of all its "
    f"attacks that cost at most {BOUND}, mean over questions and attack seeds. Mean of means over the levels; in square brackets its "
    "95 % interval, which is Student's over the outermost level that varied or the hierarchical bootstrap's, whichever reaches "
    "further. Runs: those in the mean, of all. Damaged models and runs of which nothing can be told are not among them. By chance: "
    "what the permutation test expects. Verdicts: of all runs, of damaged models what came back all the same."
)

SHORT = ("model", "V", "read", "runs", "left out", "verdicts")
"""Columns that a terminal has room for."""
READ = {
    Measure.MATCHED_T: "at matched T", Measure.WORST: "at worst", Measure.HIGHEST: "highest (biased up)",
}  # fmt: skip


def table(rows: Sequence[OverLevels]) -> Table:
    """One row per reference and method."""
    header = ("model", "V", "read", "interval", "by chance", "runs", "left out", "verdicts")
    return Table(header, [_row(row) for row in rows], CAPTION, words=(0, 2, 3, 6, 7))


def _row(row: OverLevels) -> list[Cell | Content]:
    return [
        row.name, row.v or "–", READ[row.measure] if row.measure else "–", over(row.varied) or "–", "–" if row.by_chance is None else Share(row.by_chance),
        f"{row.read} of {row.runs}", left_out(row) or "–", verdicts(row) or "–",
    ]  # fmt: skip


def left_out(row: OverLevels) -> str:
    """Which runs are not in the mean, and why: ``1 damaged, 2 cannot tell``."""
    rest = row.runs - row.read - row.damaged - row.cannot_tell
    counts = {"damaged": row.damaged, "cannot tell": row.cannot_tell, "without a number": rest}
    return ", ".join(f"{number} {words}" for words, number in counts.items() if number)


def verdicts(row: OverLevels) -> str:
    """How often each verdict was given: ``3 came back, 1 cannot tell``."""
    return ", ".join(f"{row.judgements[each]} {each}" for each in Judgement if row.judgements.get(each))


def intervals(rows: Sequence[OverLevels]) -> list[str]:
    """In words what varied in each interval: ``rmu, cb_lat: 95 % interval over 3 worlds and …``."""
    named: dict[str, list[str]] = {}
    for row in rows:
        if row.v:
            named.setdefault(what_varied(row.varied), []).append(row.name)
    return [f"{', '.join(names)}: {words}." for words, names in named.items()]


def lines(rows: Sequence[OverLevels]) -> list[str]:
    """For the terminal: the table, and what varied in its intervals."""
    shown = table(rows).only(*SHORT, caption="V, mean over worlds, trainings and seeds [95 % interval]")
    return [*terminal(shown), *intervals(rows)]


def frame(rows: Sequence[OverLevels]) -> pandas.DataFrame:
    """``levels.csv``: every number in a column of its own, shares from 0 to 1, what varied in words and in numbers."""
    return pandas.DataFrame([
        {
            "model": row.name, "role": row.role, "measure": row.measure, "v": row.v and row.v.mean, "v_low": row.v and row.v.low,
            "v_high": row.v and row.v.high, "by_chance": row.by_chance, "varied": what_varied(row.varied) if row.v else "",
            "worlds": row.varied.worlds, "trainings": row.varied.trainings, "unlearning_seeds": row.varied.unlearning_seeds,
            "attack_seeds": row.varied.attack_seeds or None, "runs": row.runs, "read": row.read, "damaged": row.damaged,
            "cannot_tell": row.cannot_tell, **{_column(each): row.judgements.get(each, 0) for each in SAID},
        }
        for row in rows
    ])  # fmt: skip


SAID = tuple(each for each in Judgement if each != Judgement.CANNOT_TELL)


def _column(judgement: Judgement) -> str:
    return judgement.replace(" ", "_")


def page(rows: Sequence[OverLevels], folders: Sequence[str]) -> str:
    """The table as Markdown, in words what varied in each interval, and links to the runs' reports, relative to the page."""
    parts = [
        "# Over worlds, trainings and seeds",
        markdown(table(rows)),
        "\n".join(f"- {in_markdown(line)}" for line in intervals(rows)),
        "\n".join(f"- [{folder}]({folder}/report.html)" for folder in folders),
    ]
    return "\n\n".join(parts) + "\n"
