"""The signature as files: one row per unlearned model for whoever predicts brittleness, and a page for who reads."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas

from brittle.records import check_file, write_text
from brittle.results.at_strongest import Strongest, WorstCase
from brittle.results.headlines import Measure, flattened, measures
from brittle.results.outputs import ReportData, gather
from brittle.results.recovery_speed import write_numbers
from brittle.settings import BadInput


def write_signature(outputs: Path) -> Path:
    """Write ``signature.csv`` and ``recovery/numbers.csv``; return the first. BadInput if no unlearned model is there."""
    data = gather(outputs)
    rows = list(rows_of(data))
    if not rows:
        raise BadInput(f"{outputs} holds no unlearned model; run the pipeline or brittle demo first")
    path = Path(outputs) / "signature.csv"
    check_file(path)
    check_file(Path(outputs) / "recovery" / "numbers.csv")
    data.say_left_out()
    write_text(path, pandas.DataFrame(rows).to_csv(index=False))
    write_numbers(outputs, data.numbers)
    return path


def rows_of(data: ReportData) -> Iterator[dict[str, Any]]:
    """One row per unlearned model; ``health`` is intact, damaged or not measured (:mod:`brittle.results.damage`).

    ``DIAGNOSTIC.KEY`` is a summary's number, ``anchored.…`` a headline on the gold-anchored scale (0 filtered, 1
    untouched), ``random.…``, ``filtered.…`` and ``retrained.…`` its controls, ``recovery.ATTACK.…`` what came back.
    """
    found = measures(data)
    for model in data.of_role("unlearned"):
        row: dict[str, Any] = {"model": model.name, "method": model.method, "reference": model.reference}
        row["health"] = model.damage.health.value
        folders = [model.name, *(c.folder for c in data.from_base() if c.b == model.name)]
        for place, summary in data.summaries.items():
            folder, _, diagnostic = place.rpartition("/")
            if folder in folders:
                row |= {f"{diagnostic}.{key}": value for key, value in flattened(summary)}
        for measure in found:
            if model.name in measure.values:
                row |= _controls(data, measure, model.name)
        came_back: list[Any] = [*data.matched, *data.strongest, *data.numbers]
        for recovered in came_back:
            if recovered.model == model.name:
                row |= dict(_plain(asdict(recovered) | _shown(recovered), f"recovery.{recovered.attack}."))
        for case in data.worst:
            if case.found.model == model.name:
                row |= dict(_plain(asdict(case.found) | _shown(case), "recovery.worst_case."))
        yield row


def _shown(row: Any) -> dict[str, float | None]:
    """The excess recovery as the report shows it: none where an attack brought nothing back."""
    return {"excess": row.recovered} if isinstance(row, Strongest | WorstCase) else {}


def _controls(data: ReportData, measure: Measure, name: str) -> dict[str, float]:
    own = f"{measure.diagnostic}.{measure.headline.key}"
    columns = {f"anchored.{own}": measure.anchored(data, name)}
    controls = {role: measure.of_role(data, role) for role in ("filtered", "retrained")}
    controls["random"] = measure.random.get(name)
    return columns | {f"{kind}.{own}": control.value for kind, control in controls.items() if control}


def _plain(content: dict[str, Any], start: str) -> Iterator[tuple[str, float]]:
    """Numbers of a matched recovery by name; an estimate's mean has the name of the estimate."""
    columns: dict[str, float] = {}
    for key, value in content.items():
        if isinstance(value, dict):
            columns |= {f"{start}{key}{'' if part == 'mean' else '_' + part}": number for part, number in value.items()}
        elif isinstance(value, int | float):
            columns[f"{start}{key}"] = value
    yield from ((key, value) for key, value in columns.items() if isinstance(value, int | float))
