"""Tables on disk: documented columns in one file, the spreads and controls of their numbers in another beside it.

In memory a number's mean, deviation, interval and controls stand behind it as columns (``drop_low``, ``drop_random``).
``causal_depth.csv`` keeps the numbers alone. ``causal_depth_controls.csv`` has one row per place and *measure*: the
number again as ``value``, then ``mean``, ``std``, ``low`` and ``high`` over seeds and texts, and ``random``,
``random_low``, ``random_high``, ``retrained`` and so on, as far as there are such. Numbers that were measured on control
texts (``cosine_distance_benign``, ``auc_matched``) are measures there too.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from brittle.records import SPREAD

if TYPE_CHECKING:
    import pandas

BESIDE = "_controls"
"""The ending of the name of the table with spreads and controls."""
CONTROLS = {"random": "a random update with the same singular values", "retrained": "an independent retraining"}
TEXTS = ("benign", "matched")
ENDINGS = (*SPREAD, *(f"{kind}{bound}" for kind in CONTROLS for bound in ("", "_low", "_high")))


def apart(frame: pandas.DataFrame, keys: Iterable[str] = ()) -> tuple[pandas.DataFrame, pandas.DataFrame | None]:
    """The documented columns, and the table of spreads and controls; None where no number has any.

    A row's place is what ``layer``, its texts and the columns in ``keys`` say.
    """
    import pandas

    behind = {name: found for name in frame if (found := _behind(frame, str(name)))}
    if not behind:
        return frame, None
    on_control_texts = {f"{name}_{text}" for name in behind for text in TEXTS} & set(behind)
    moved = on_control_texts.union(*(found.values() for found in behind.values()))
    own = frame[[name for name in frame if name not in moved]]
    wanted = {"layer", *keys, *(name for name in own if not pandas.api.types.is_numeric_dtype(own[name]))}
    places = [name for name in own if name in wanted and name not in behind]
    parts = [
        frame[places].assign(
            measure=str(name), value=frame[name], **{ending: frame[column] for ending, column in found.items()}
        )
        for name, found in behind.items()
        if frame[[name, *found.values()]].notna().any(axis=None)
    ]
    if not parts:
        return own, None
    rows = pandas.concat(parts).sort_index(kind="stable")  # all measures of a place stand together
    return own, rows[[name for name in (*places, "measure", "value", *ENDINGS) if name in rows]]


def _behind(frame: pandas.DataFrame, name: str) -> dict[str, str]:
    """The columns that stand behind a number, by ending. A spread is whole: ``dW_fro_mean`` alone is a number itself."""
    found = {ending: f"{name}_{ending}" for ending in ENDINGS if f"{name}_{ending}" in frame}
    return found if SPREAD.keys() <= found.keys() else {k: v for k, v in found.items() if k not in SPREAD}


def read(folder: Path, name: str) -> pandas.DataFrame:
    """A table with the spreads and controls of its numbers behind them again, as they were in memory."""
    import pandas

    frame = pandas.read_csv(folder / f"{name}.csv")
    beside = folder / f"{name}{BESIDE}.csv"
    if not beside.is_file():
        return frame
    more: dict[str, Any] = {}
    for measure, part in pandas.read_csv(beside).groupby("measure", sort=False):
        if len(part) == len(frame):
            more |= {str(measure): part["value"].to_numpy()} if measure not in frame else {}
            more |= {
                f"{measure}_{end}": part[end].to_numpy() for end in ENDINGS if end in part and part[end].notna().any()
            }
    return pandas.concat([frame, pandas.DataFrame(more, index=frame.index)], axis=1) if more else frame


def names_in(folder: Path) -> list[str]:
    """The documented tables of a result's folder."""
    return [path.stem for path in sorted(folder.glob("*.csv")) if not path.stem.endswith(BESIDE)]
