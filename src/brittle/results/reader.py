"""Reads what runs left behind. What is not what it should be is left out by name and with a reason, never guessed.

A row that cannot be read costs that row, a table without its columns costs the table; rows that stand there twice count once.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas

LARGEST = 10**15
"""Of a whole number (a step, a seed); what is beyond was not counted."""


@dataclass(frozen=True)
class Form:
    """What a table must hold. Columns that are in none of the lists may be there or not."""

    texts: tuple[str, ...] = ()
    whole: tuple[str, ...] = ()
    """Whole numbers from 0."""
    shares: tuple[str, ...] = ()
    """Numbers from 0 to 1, empty where nothing was measured."""
    numbers: tuple[str, ...] = ()
    """Any numbers, empty where nothing was measured."""
    optional: Mapping[str, str] = field(default_factory=dict)
    """Columns that older tables lack: ``text``, ``whole`` or ``number``."""
    key: tuple[str, ...] = ()
    """Columns whose values together stand in one row only."""
    rest: str = "text"
    """What further columns hold: ``text`` as it stands, or ``number``."""


@dataclass
class Reader:
    """Reads tables and objects below one folder and collects what was left out."""

    outputs: Path
    left_out: list[str] = field(default_factory=list)

    def leave_out(self, path: Path, reason: str) -> None:
        """Note a file, or a part of it, that is not shown."""
        name = path.relative_to(self.outputs) if path.is_relative_to(self.outputs) else path
        line = " ".join(f"{name} ({reason})".split())
        if line not in self.left_out:
            self.left_out.append(line.encode("utf-8", "replace").decode())

    def object(self, path: Path) -> dict[str, Any]:
        """The JSON object of a file; empty where there is none that can be read."""
        try:
            content = without_halves(json.loads(path.read_text(encoding="utf-8")))
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, RecursionError) as problem:
            self.leave_out(path, _json_problem(problem))
            return {}
        if not isinstance(content, dict):
            self.leave_out(path, f"holds {kind_of(content)} where an object belongs")
            return {}
        return content

    def table(self, path: Path, form: Form) -> pandas.DataFrame | None:
        """The rows of a CSV file that fit its form; None where there is no file or nothing that fits."""
        import pandas

        try:
            raw = pandas.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8")
        except FileNotFoundError:
            return None
        except pandas.errors.EmptyDataError:
            self.leave_out(path, "is empty")
            return None
        except UnicodeDecodeError:
            self.leave_out(path, "is not UTF-8")
            return None
        except (OSError, ValueError) as problem:
            self.leave_out(path, f"is no CSV: {problem}")
            return None
        needed = [*form.texts, *form.whole, *form.shares, *form.numbers]
        if lacking := next((name for name in needed if name not in raw), None):
            self.leave_out(path, f"has no column {lacking}")
            return None
        if raw.empty:
            self.leave_out(path, "has no rows")
            return None
        found = self._typed(path, raw.fillna(""), form)
        found = self._once(path, found, form.key)
        return None if found.empty else found.reset_index(drop=True)

    def _typed(self, path: Path, raw: pandas.DataFrame, form: Form) -> pandas.DataFrame:
        """Columns as numbers; rows where one is none, or a text is missing, are left out."""
        import pandas

        kinds = dict.fromkeys(form.texts, "text") | dict.fromkeys(form.whole, "whole")
        kinds |= dict.fromkeys(form.shares, "share") | dict.fromkeys(form.numbers, "number")
        optional = {name: form.optional.get(str(name), form.rest) for name in raw if name not in kinds}
        columns, good = {}, pandas.Series(True, index=raw.index)
        for name, kind in (kinds | optional).items():
            values, fits = _converted(raw[name], kind, name in form.texts)
            columns[name] = values
            if not (fits | ~good).all():
                first = raw[name][good & ~fits].iloc[0]
                number = int((good & ~fits).sum())
                self.leave_out(path, f"{number} of {len(raw)} rows: '{first[:40]}' in {name} is {WRONG[kind]}")
            good &= fits
        columns = {name: values[good] for name, values in columns.items()}
        whole = {name: int for name, kind in (kinds | optional).items() if kind == "whole"}
        return pandas.DataFrame(columns)[list(raw)].astype(whole)

    def _once(self, path: Path, table: pandas.DataFrame, key: Sequence[str]) -> pandas.DataFrame:
        """Equal rows count once; rows that contradict each other count not at all."""
        key = [name for name in key if name in table]
        if not key or not table.duplicated(key).any():
            return table
        equal = table.drop_duplicates()
        if len(equal) < len(table):
            self.leave_out(path, f"{len(table) - len(equal)} rows that stand there twice, which count once")
        contradicting = equal.duplicated(key, keep=False)
        if contradicting.any():
            at = ", ".join(f"{name} {equal[contradicting][name].iloc[0]}" for name in key)
            self.leave_out(path, f"{int(contradicting.sum())} rows that contradict each other, first at {at}")
        return equal[~contradicting]


WRONG = {
    "text": "missing", "whole": "no whole number from 0", "share": "no share from 0 to 1", "number": "no number",
}  # fmt: skip


def _converted(raw: pandas.Series, kind: str, required: bool) -> tuple[pandas.Series, pandas.Series]:
    """A column's values as its kind, and which of them fit."""
    import pandas

    if kind == "text":
        return raw, (raw.str.strip() != "") | (not required)
    values = pandas.to_numeric(raw.where(raw.str.strip() != ""), errors="coerce").astype(float)
    empty = raw.str.strip().str.lower().isin(("", "nan"))
    if kind == "whole":
        return values, values.notna() & (values % 1 == 0) & values.between(0, LARGEST)
    if kind == "share":
        return values, empty | values.between(-1e-9, 1 + 1e-9)
    return values, empty | values.notna()


def number(value: Any) -> float:
    """A value of a JSON file as a number; NaN where it is none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return math.nan
    try:
        return float(value)
    except OverflowError:
        return math.nan


def below(content: Any, *keys: str) -> dict[str, Any]:
    """The object at a path of keys within a JSON object; empty where there is none."""
    for key in keys:
        content = content.get(key) if isinstance(content, Mapping) else None
    return dict(content) if isinstance(content, Mapping) else {}


def without_halves(content: Any) -> Any:
    """The same JSON with halves of characters (lone surrogates), which no file can hold, replaced by question marks."""
    if isinstance(content, str):
        return content.encode("utf-8", "replace").decode()
    if isinstance(content, dict):
        return {without_halves(key): without_halves(value) for key, value in content.items()}
    return [without_halves(value) for value in content] if isinstance(content, list) else content


def kind_of(content: Any) -> str:
    """What a JSON value is, in words."""
    if content is None:
        return "null"
    words = {list: "a list", dict: "an object", str: "a text", bool: "true or false"}
    return words.get(type(content), "a number")


def _json_problem(problem: Exception) -> str:
    if isinstance(problem, UnicodeDecodeError):
        return "is not UTF-8"
    if isinstance(problem, OSError):
        return f"cannot be read: {problem.strerror}"
    if isinstance(problem, RecursionError):
        return "is nested too deep"
    return f"is not valid JSON: {getattr(problem, 'msg', problem)}"
