"""The report's main figures with the tables behind them, for export."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import pandas
from matplotlib.figure import Figure as Canvas

from brittle.figures import of_answer, of_attacks, of_models
from brittle.figures.declared import svg_bytes, write_png
from brittle.records import check_file, write_text
from brittle.results.at_matched_t import curves
from brittle.results.measures import activation_change, movement_by_layer
from brittle.results.outputs import ComparisonResult, ReportData, attacks, matched_rows


@dataclass(frozen=True)
class MainFigure:
    """One figure of the report."""

    name: str
    drawing: Canvas
    table: pandas.DataFrame


def main_figures(data: ReportData) -> Iterator[MainFigure]:
    """All that were measured; where there are more models than colours, one figure per eight (``NAME_2``)."""
    for place, part in enumerate(of_models.groups(data), 1):
        end = f"_{place}" if place > 1 else ""
        drawn: list[tuple[str, Canvas | None, pandas.DataFrame]] = [
            ("movement_by_layer", of_models.movement_figure(part), _by_layer(part, movement_by_layer)),
            ("hidden_states_by_layer", of_models.activation_figure(part), _by_layer(part, activation_change)),
            ("logit_lens", of_models.lens_figure(part), _lens(part)),
        ]
        if place == 1:
            drawn.insert(0, ("answer", of_answer.answer_figure(data), of_answer.answer_table(data)))
        for attack in attacks(part):
            rows = matched_rows(part, attack)
            points = None if part.recovery is None else part.recovery[part.recovery["attack"] == attack]
            table = pandas.DataFrame() if points is None else curves(points)
            table = table[table["model"].isin([model.name for model in part.models])] if len(table) else table
            flat = pandas.json_normalize([asdict(row) for row in rows], sep="_")
            drawn += [
                (f"matched_t_{attack}", of_attacks.matched_figure(part, rows), flat),
                (f"recovery_{attack}", of_attacks.recovery_figure(part, attack), table),
            ]
        yield from (MainFigure(name + end, drawing, table) for name, drawing, table in drawn if drawing is not None)


def export(data: ReportData, folder: Path) -> list[Path]:
    """Write every main figure as ``NAME.svg``, ``NAME.png`` and its numbers as ``NAME.csv``; returns the files.

    Raises:
        BadInput: the folder cannot be written to.
    """
    written: list[Path] = []
    check_file(folder / "answer.svg")
    for each in main_figures(data):
        paths = [folder / f"{each.name}.{ending}" for ending in ("svg", "png", "csv")]
        for path in paths:
            check_file(path)
        write_text(paths[0], svg_bytes(each.drawing).decode())
        write_png(each.drawing, paths[1])
        write_text(paths[2], each.table.to_csv(index=False))
        written += paths
    return written


def _by_layer(data: ReportData, read: Callable[[ComparisonResult], pandas.DataFrame | None]) -> pandas.DataFrame:
    parts = [(pair.b, read(pair)) for pair in data.from_base()]
    return _together([table.assign(model=name) for name, table in parts if table is not None])


def _lens(data: ReportData) -> pandas.DataFrame:
    return _together([model.lens.assign(model=model.name) for model in data.models if model.lens is not None])


def _together(tables: Sequence[pandas.DataFrame]) -> pandas.DataFrame:
    return pandas.concat(tables, ignore_index=True) if tables else pandas.DataFrame()
