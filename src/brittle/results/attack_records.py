"""The tables that attacks left in an outputs folder, as the records hold them."""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import Any

import pandas

from brittle.results import forms
from brittle.results.reader import Form, Reader
from brittle.results.unplanned import recovery_tables

TRAJECTORY, DIVERGED = ("trajectory.csv", forms.TRAJECTORY), ("diverged.csv", forms.DIVERGED)


def recovery_table(reader: Reader, name: str, form: Form) -> pandas.DataFrame | None:
    """A table of attacks: of the folder that has the points, or of its runs together."""
    paths = recovery_tables(reader.outputs) or [reader.outputs / "recovery" / "recovery.csv"]
    tables = [reader.table(path.with_name(name), form) for path in paths]
    read = [table for table in tables if table is not None]
    return pandas.concat(read, ignore_index=True) if read else None


def read_points(reader: Reader) -> pandas.DataFrame | None:
    """The recovery table; columns that older runs did not write are empty."""
    table = recovery_table(reader, "recovery.csv", forms.RECOVERY)
    if table is None:
        return None
    absent: dict[str, Any] = {
        "strength": 0.0, "tokens_seen": math.nan, "examples_seen": math.nan, "compute": "fp32", "configuration": "",
    }  # fmt: skip
    return table.assign(**{name: value for name, value in absent.items() if name not in table})


def read_answers(reader: Reader, only: Collection[str] | None = None) -> pandas.DataFrame | None:
    """The answers under attack (:data:`brittle.results.forms.ANSWERS`), those that name choices which exist; of these models alone."""
    path = reader.outputs / "recovery" / "recovery_answers.csv"
    table = recovery_table(reader, path.name, forms.ANSWERS)
    if table is not None and only is not None:
        table = table[table["model"].isin(only)].reset_index(drop=True)
    if table is None or table.empty:
        return None
    if "choices" in table and not table["choices"].any():
        table = table.drop(columns="choices")
    fits = forms.askable(table)
    if not fits.all():
        reader.leave_out(path, f"{int((~fits).sum())} of {len(table)} rows: their choices are not among the options")
    return table[fits].reset_index(drop=True) if fits.any() else None
