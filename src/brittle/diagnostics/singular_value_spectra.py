"""How do the singular values of W, of W_modified and of ΔW fall off, and how much of the update would rounding undo?

The elbow is the index (from 0) of the singular value farthest below the chord from the first to the last, with values
divided by the largest: so many values stand before the bend. It describes a shape, not a rank, and on a spectrum close
to a line (``elbow_depth`` near 0) it says nothing.  Satopaa et al. 2011 (Kneedle).

Two shares need no spectrum: entries that did not move at all, and entries whose 4-bit code (round to nearest, symmetric,
largest entry of the output row = 7) did not change. Where the second is near 1, a 4-bit copy of the modified model is
nearly a 4-bit copy of the base: rounding alone takes the update back. Spectra are right to about 1e-8 of the largest
value; what lies below is noise.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from brittle import mathematics
from brittle.contracts import Figure, Findings, Headline
from brittle.records import column

if TYPE_CHECKING:
    from brittle.mathematics.matrix_pair import MatrixPair

NAME = "singular_value_spectra"
STEP = 2
PROGRAM = "singular_value_spectrum_analysis"
NEEDS = "weights"
SCOPE = "pair"
POINTS = 200
"""Most points of a spectrum in the table."""
SPECTRA = {"a": "W", "b": "W_modified", "dw": "dW"}


@dataclass(frozen=True)
class Settings:
    """Nothing to set: every attention and MLP matrix is decomposed."""


@dataclass(frozen=True)
class ElbowRow:
    """``elbow_summary.csv``: one weight matrix."""

    component: str = column("qkv, proj, mlp_expand or mlp_contract")
    layer: int = column("layer, from 0")
    name: str = column("full parameter name")
    shape: str = column("outputs x inputs")
    elbow_a: int = column("elbow of W's spectrum: index from 0, so many values stand before the bend")
    elbow_b: int = column("elbow of W_modified's spectrum")
    elbow_dw: int = column("elbow of ΔW's spectrum; 0 where nothing changed")
    elbow_shift: int = column("elbow_b − elbow_a")
    elbow_depth_a: float = column("how far W's spectrum lies below the chord at its elbow, in units of σ₁; 0: no bend")
    elbow_depth_b: float = column("the same of W_modified")
    elbow_depth_dw: float = column("the same of ΔW; 0 where nothing changed")
    share_unmoved: float = column("share of the weights that are identical in both models")
    share_same_4bit_code: float = column("share of the weights whose 4-bit code is the same in both models")
    group: str = column("attn or mlp")
    elements: int = column("entries of the matrix")


@dataclass(frozen=True)
class SpectrumRow:
    """``spectra.csv``: one singular value; at most 200 of a spectrum, evenly spaced in the logarithm of the index."""

    name: str = column("full parameter name")
    layer: int = column("layer, from 0")
    component: str = column("qkv, proj, mlp_expand or mlp_contract")
    matrix: str = column("W, W_modified or dW (ΔW, the change)")
    index: int = column("index of the singular value, from 0; the first and the last are always there")
    singular_value: float = column("σ_index")
    relative_singular_value: float = column("σ_index / σ_0; 0 for a zero matrix")
    middle_layer: bool = column("whether the layer is the middle one of those compared, which the figures show")


FIGURES = (
    *(
        Figure(
            f"singular_value_spectra_{component}", "spectra", "index", ("relative_singular_value",),
            f"Spectra of {words}, middle layer", "Each spectrum is divided by its largest value: a steep "
            "fall is a low-rank matrix. ΔW falls faster than W where the update is a patch.",
            by="matrix", where={"middle_layer": True, "component": component},
        )
        for component, words in (("mlp_contract", "the MLP's output matrix"), ("proj", "attention's output matrix"))
    ),
    Figure(
        "elbow_summary", "elbow_summary", "layer", ("elbow_a", "elbow_b", "elbow_dw"),
        "Where the spectra bend", "So many singular values stand before the bend of the spectrum.",
        by="component", kind="points",
    ),
    Figure(
        "unchanged_weights", "elbow_summary", "layer", ("share_unmoved", "share_same_4bit_code"),
        "Weights that did not move, exactly and in 4 bits",
        "Near 1 after rounding: a 4-bit copy is nearly a copy of the base, and the update is gone.",
        by="component", kind="points",
    ),
)  # fmt: skip
HEADLINES = (Headline("share_same_4bit_code", "weights with the same 4-bit code", 1.0, "above"),)


class Fitter:
    """Takes weight matrices one by one; keeps where each spectrum bends and some of its points."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.elbows: list[ElbowRow] = []
        self.points: list[dict[str, Any]] = []

    def update(self, pair: MatrixPair) -> Fitter:
        """Measure one matrix."""
        values = {
            "a": pair.base_singular_values, "b": pair.modified_singular_values, "dw": pair.difference_singular_values
        }  # fmt: skip
        elbows = {key: mathematics.spectra.elbow(spectrum) for key, spectrum in values.items()}
        place: dict[str, Any] = {"name": pair.name, "layer": pair.layer, "component": pair.component}
        bends: dict[str, Any] = {f"elbow_{key}": index for key, (index, _) in elbows.items()}
        bends |= {f"elbow_depth_{key}": depth for key, (_, depth) in elbows.items()}
        self.elbows.append(
            ElbowRow(
                **place,
                **bends,
                elbow_shift=elbows["b"][0] - elbows["a"][0],
                group=pair.group,
                shape="x".join(map(str, pair.base.shape)),
                elements=pair.base.numel(),
                share_unmoved=pair.share_unmoved,
                share_same_4bit_code=pair.share_same_four_bit_code,
            )  # fmt: skip
        )
        for key, spectrum in values.items():
            numbers = spectrum.tolist()
            for index in shown(len(numbers)):
                relative = numbers[index] / numbers[0] if numbers[0] > 0 else 0.0
                point = {"index": index, "singular_value": numbers[index], "relative_singular_value": relative}
                self.points.append({**place, "matrix": SPECTRA[key], **point})
        return self

    def finish(self) -> Findings:
        """Both tables in order of layers, and the shares of the whole model and of its two groups."""
        elbows = sorted(self.elbows, key=lambda row: (row.layer, row.component, row.name))
        layers = sorted({row.layer for row in elbows})
        middle = layers[len(layers) // 2] if layers else 0
        order = {name: place for place, name in enumerate(SPECTRA.values())}
        points = [
            SpectrumRow(**point, middle_layer=point["layer"] == middle)
            for point in sorted(
                self.points, key=lambda p: (p["layer"], p["component"], p["name"], order[p["matrix"]], p["index"])
            )
        ]
        groups = {group: [row for row in elbows if row.group == group] for group in sorted({r.group for r in elbows})}
        summary = {"matrices": len(elbows), **_totals(elbows)}
        return Findings(
            {"elbow_summary": elbows, "spectra": points},
            summary | {group: _totals(rows) for group, rows in groups.items()},
        )


def shown(length: int) -> list[int]:
    """Which of ``length`` indices go into the table: all of a short spectrum, else at most :data:`POINTS`.

    Evenly spaced in the logarithm of the index, so that the head is complete; the first and the last are there.
    """
    if length <= POINTS:
        return list(range(length))
    return sorted({round(length ** (step / (POINTS - 1))) - 1 for step in range(POINTS)})


def _totals(rows: Sequence[ElbowRow]) -> dict[str, float]:
    elements = sum(row.elements for row in rows)
    shares = ("share_unmoved", "share_same_4bit_code")
    means = ("elbow_a", "elbow_b", "elbow_dw", "elbow_shift")
    return {name: sum(getattr(row, name) * row.elements for row in rows) / elements for name in shares} | {
        f"mean_{name}": statistics.fmean(getattr(row, name) for row in rows) for name in means
    }
