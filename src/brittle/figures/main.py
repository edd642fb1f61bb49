"""The report's main figures with the tables behind them, for export."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from brittle.figures import of_answer, of_attacks, of_models
from brittle.figures.chart import Chart
from brittle.records import check_file, replacing, write_text
from brittle.results.outputs import ReportData, attacks, matched_rows


def main_figures(data: ReportData) -> Iterator[Chart]:
    """All that were measured; where there are more models than colours, one figure per eight (``NAME_2``)."""
    for place, part in enumerate(of_models.groups(data), 1):
        end = f"_{place}" if place > 1 else ""
        drawn = [of_models.movement_figure(part), of_models.activation_figure(part), of_models.lens_figure(part)]
        if place == 1:
            drawn.insert(0, of_answer.answer_figure(data))
        for attack in attacks(part):
            drawn.append(of_attacks.matched_figure(part, matched_rows(part, attack)))
            drawn.append(of_attacks.recovery_figure(part, attack))
        yield from (replace(chart, name=chart.name + end) for chart in drawn if chart is not None)


def export(data: ReportData, folder: Path) -> list[Path]:
    """Write every main figure as ``NAME.svg``, ``NAME.png`` and its numbers as ``NAME.csv``; returns the files.

    Raises:
        BadInput: the folder cannot be written to.
    """
    written: list[Path] = []
    check_file(folder / "answer.svg")
    for chart in main_figures(data):
        svg, png, csv = paths = [folder / f"{chart.name}.{ending}" for ending in ("svg", "png", "csv")]
        for path in paths:
            check_file(path)
        write_text(svg, chart.svg())
        with replacing(png) as temporary:
            Path(temporary).write_bytes(chart.png())
        write_text(csv, chart.table.to_csv(index=False))
        written += paths
    return written
