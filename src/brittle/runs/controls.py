"""Controls: what a measure shows for a random update of the same spectrum, and for a second training of the base.

*random*: every matrix of A moved by a matrix with the singular values of its own change and random singular vectors, every
vector by a random one of the same norm. What size, rank and spectrum of a change decide is so the same by construction; what
the control shows otherwise is due to where the change points. *retrained*: the record of A → control, an independently trained
model. Both go through the diagnostic's own formula and stand beside each drawn
number (:mod:`brittle.tables`), with their intervals where the diagnostic has them, and in the summary under
``controls``.
"""

from __future__ import annotations

import copy
import dataclasses
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from brittle import tables
from brittle.contracts import Figure, Findings
from brittle.records import Draft, fingerprint

if TYPE_CHECKING:
    import pandas
    from torch import Tensor

    from brittle.mathematics.matrix_pair import MatrixPair
    from brittle.models.loading import LoadedModel

SEED = 0


def random_change(change: Tensor, name: str, singular_values: Tensor | None = None) -> Tensor:
    """A random change of the same shape, singular values and device, float32, decided by the name.

    A tensor of more than two dimensions is taken as a matrix of its first against all others, a vector as one column.
    """
    from brittle.mathematics import spectra
    from brittle.mathematics.random_matrices import of_spectrum

    matrix = change.reshape(change.shape[0] if change.dim() else 1, -1)
    if singular_values is None:
        singular_values = spectra.singular_values_of_gram(spectra.gram(matrix))
    seed = int(fingerprint([SEED, name]), 16) % 2**63
    return of_spectrum(singular_values.to(change.device), matrix.shape[0], matrix.shape[1], seed).reshape(change.shape)


def random_pair(pair: MatrixPair) -> MatrixPair:
    """The same base with a random change of the same singular values; what is known of the base is not computed again.

    Both are in float32 at least, in which half-precision matrices are exact: rounding would add directions to the change.
    """
    if pair.identical:
        return pair
    change = random_change(pair.difference, pair.name, pair.difference_singular_values).to(pair.difference)
    base = pair.base.to(change)
    return replace(pair, base=base, modified=base + change).with_base_quantities(pair.base_quantities())


def random_model(a: LoadedModel, b: LoadedModel) -> LoadedModel:
    """A copy of A, each parameter moved at random by a change with the singular values of its change to B."""
    import torch

    model = copy.deepcopy(a.model)
    others = dict(b.model.named_parameters())
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            change = others[name].to(parameter.device).float() - parameter.float()
            if change.any():
                parameter.copy_(parameter.float() + random_change(change, name))
    name = f"{a.name} + random update of the spectrum of {b.name}"
    return replace(a, model=model, name=name, digest=fingerprint(["random spectrum", a.digest, b.digest]))


def recorded(place: Path) -> Findings | None:
    """The findings of a diagnostic that has a record, as data frames."""
    if not (place / "record.json").is_file():
        return None
    found: dict[str, Any] = {name: tables.read(place, name) for name in tables.names_in(place)}
    summaries = [path for path in sorted(place.glob("*.json")) if path.name != "record.json"]
    return Findings(found, json.loads(summaries[0].read_text(encoding="utf-8")) if summaries else {})


def joined(
    findings: Findings, figures: Sequence[Figure], controls: Mapping[str, Findings | None]
) -> tuple[dict[str, pandas.DataFrame], dict[str, Any]]:
    """The findings as data frames with the controls' columns behind their own, and the summary with ``controls``."""
    frames = {name: frame_of(rows) for name, rows in findings.tables.items()}
    summary = dict(findings.summary)
    for kind, control in controls.items():
        if control is None:
            continue
        for name, frame in frames.items():
            if name in control.tables:
                drawn = [figure for figure in figures if figure.table == name]
                frames[name] = _beside(frame, frame_of(control.tables[name]), drawn, kind)
        numbers = {key: value for key, value in control.summary.items() if isinstance(value, int | float | dict)}
        numbers.pop("controls", None)
        summary.setdefault("controls", {})[kind] = numbers
    return frames, summary


def write(draft: Draft, frames: Mapping[str, Any], figures: Iterable[Figure], folder: str = "") -> None:
    """Write tables into a record, each as its documented columns and, beside it, spreads and controls."""
    keys = {key for figure in figures for key in (figure.x, figure.by, *figure.where) if key}
    for name, rows in frames.items():
        own, beside = tables.apart(frame_of(rows), keys)
        draft.table(f"{folder}{name}", own)
        if beside is not None:
            draft.table(f"{folder}{name}{tables.BESIDE}", beside)


def frame_of(rows: Any) -> pandas.DataFrame:
    """Rows of one frozen type (or a data frame as it is) as a data frame."""
    import pandas

    if isinstance(rows, pandas.DataFrame):
        return rows
    return pandas.DataFrame([dataclasses.asdict(row) if dataclasses.is_dataclass(row) else row for row in rows])  # type: ignore[arg-type]


def _beside(
    frame: pandas.DataFrame, control: pandas.DataFrame, figures: Iterable[Figure], kind: str
) -> pandas.DataFrame:
    """The control's drawn columns behind the frame's, row by row; NaN where the rows do not describe the same place."""
    import numpy

    figures = list(figures)
    keys = {key for figure in figures for key in (figure.x, figure.by) if key} - {y for f in figures for y in f.y}
    keys = {key for key in keys if key in frame and key in control}
    same = len(frame) == len(control) and all((frame[key].to_numpy() == control[key].to_numpy()).all() for key in keys)
    more = {}
    for y in dict.fromkeys(y for figure in figures for y in figure.y):
        for ending in ("", "_low", "_high"):
            if f"{y}{ending}" in frame and f"{y}{ending}" in control:
                values = control[f"{y}{ending}"].to_numpy() if same else numpy.full(len(frame), numpy.nan)
                more[f"{y}_{kind}{ending}"] = values
    return frame.assign(**more)
