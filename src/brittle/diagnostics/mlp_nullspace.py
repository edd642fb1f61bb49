"""Does the update of the MLP weights lie in the null space of the original W?

With U_r the r leading output directions of W, those that hold 99 % of its energy (``--rank-threshold``), every MLP
update splits into U_r U_rᵀ ΔW, which changes what W already computes ("on-manifold"), and the rest, which adds outputs
that W hardly produces ("off-manifold", the left null space of the truncated W).

  colspace ratio   ‖U_rᵀ ΔW‖_F / ‖ΔW‖_F          nullspace ratio  ‖(I − U_r U_rᵀ) ΔW‖_F / ‖ΔW‖_F

Norms over norms do not add to 1, the squared shares do. Both mostly follow the matrix's shape: a random update of an
m-row matrix gives √(r/m) and √(1 − r/m), whatever it does. Read a ratio against its ``expected_`` column. What a map
ignores is its null space on the side of the inputs (V_r, the r leading input directions), in columns of its own.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from brittle import mathematics
from brittle.contracts import Figure, Findings, Headline
from brittle.records import column
from brittle.settings import setting

if TYPE_CHECKING:
    from brittle.mathematics.matrix_pair import MatrixPair

NAME = "mlp_nullspace"
STEP = 10
PROGRAM = "mlp_nullspace_alignment"
NEEDS = "weights"
SCOPE = "pair"
TYPES = {"mlp_expand": "encoder", "mlp_contract": "decoder"}
OFF_MANIFOLD = 0.6


@dataclass(frozen=True)
class Settings:
    """Where the column space of W ends."""

    rank_threshold: float = setting(
        0.99, "share of W's energy that its column space must hold; the rest counts as null space",
        above=0, below=0.99999,
    )  # fmt: skip


@dataclass(frozen=True)
class MatrixRow:
    """``mlp_nullspace_metrics.csv``: one MLP matrix."""

    name: str = column("full parameter name")
    layer: int = column("layer, from 0")
    type: str = column("encoder (mlp_expand) or decoder (mlp_contract)")
    shape: str = column("outputs x inputs")
    original_eff_rank: int = column("r: singular values of W that hold the threshold's share of its energy")
    updated_eff_rank: int = column("the same of W_modified")
    rank_increase: int = column("updated_eff_rank − original_eff_rank")
    colspace_projection_ratio: float = column("‖U_rᵀ ΔW‖_F / ‖ΔW‖_F; 0 where nothing changed")
    nullspace_projection_ratio: float = column("‖(I − U_r U_rᵀ) ΔW‖_F / ‖ΔW‖_F; 0 where nothing changed")
    nullspace_dimension: int = column("outputs − r: dimension of the left null space of the truncated W")
    update_norm: float = column("‖ΔW‖_F")
    original_norm: float = column("‖W‖_F")
    relative_update_size: float = column("‖ΔW‖_F / ‖W‖_F; empty where something changed beside a zero W")
    component: str = column("mlp_expand or mlp_contract")
    colspace_energy_share: float = column("colspace_projection_ratio squared")
    nullspace_energy_share: float = column("nullspace_projection_ratio squared; the two shares add to 1")
    expected_colspace_ratio: float = column("√(r / outputs): colspace_projection_ratio of an isotropic random update")
    expected_nullspace_ratio: float = column("√(1 − r / outputs): nullspace_projection_ratio of the same")
    input_nullspace_energy_share: float = column("‖ΔW (I − V_r V_rᵀ)‖² / ‖ΔW‖²: reads inputs that W hardly reads")
    expected_input_nullspace_energy_share: float = column("1 − r / inputs: the same of an isotropic random update")


@dataclass(frozen=True)
class LayerRow:
    """``layer_nullspace_summary.csv``: means over the layer's MLP matrices that changed; 0 where none did."""

    layer: int = column("layer, from 0")
    avg_colspace_ratio: float = column("mean colspace_projection_ratio of the layer's changed MLP matrices")
    avg_nullspace_ratio: float = column("mean nullspace_projection_ratio of the layer's changed MLP matrices")
    avg_rank_increase: float = column("mean rank_increase of the layer's changed MLP matrices")
    encoder_nullspace_ratio: float = column("mean nullspace_projection_ratio of its changed encoders (mlp_expand)")
    decoder_nullspace_ratio: float = column("mean nullspace_projection_ratio of its changed decoders (mlp_contract)")
    num_matrices: int = column("MLP matrices in the layer")
    changed_matrices: int = column("those of them that changed")
    expected_avg_colspace_ratio: float = column("mean expected_colspace_ratio over the layer's MLP matrices")
    expected_avg_nullspace_ratio: float = column("mean expected_nullspace_ratio over the layer's MLP matrices")
    expected_encoder_nullspace_ratio: float = column("the same over its encoders")
    expected_decoder_nullspace_ratio: float = column("the same over its decoders")
    avg_nullspace_energy_share: float = column("mean nullspace_energy_share of the layer's changed MLP matrices")
    avg_input_nullspace_energy_share: float = column("mean input_nullspace_energy_share of the same")


FIGURES = (
    Figure(
        "mlp_nullspace_alignment", "layer_nullspace_summary", "layer",
        ("encoder_nullspace_ratio", "decoder_nullspace_ratio", "avg_rank_increase"),
        "MLP update outside the column space of W",
        "Above what a random update gives (expected) it avoids what W computes, below it works along it.",
        expected={f"{kind}_nullspace_ratio": f"expected_{kind}_nullspace_ratio" for kind in ("encoder", "decoder")},
    ),
    Figure(
        "mlp_nullspace_by_matrix", "mlp_nullspace_metrics", "layer",
        ("nullspace_energy_share", "input_nullspace_energy_share"),
        "Energy of each MLP update outside what W uses",
        "0 is wholly along the leading output (or input) directions of W, 1 wholly outside them.",
        by="type", kind="points",
    ),
)  # fmt: skip
HEADLINES = (Headline("avg_nullspace_ratio", "MLP update outside the column space of W", thesis="above"),)


class Fitter:
    """Takes weight matrices one by one; keeps one row of numbers of each in the MLP."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.rows: list[MatrixRow] = []

    def update(self, pair: MatrixPair) -> Fitter:
        """Split the update of one MLP matrix; others are passed over."""
        if pair.component in TYPES:
            self.rows.append(_row(pair, self.settings.rank_threshold))
        return self

    def finish(self) -> Findings:
        """Both tables, and the whole model against what a random update would give."""
        rows = sorted(self.rows, key=lambda row: (row.layer, row.component, row.name))
        layers = [_layer_row(layer, rows) for layer in sorted({row.layer for row in rows})]
        changed = [row for row in rows if row.update_norm > 0]
        found = _mean(row.nullspace_projection_ratio for row in changed)
        expected = _mean(row.expected_nullspace_ratio for row in changed or rows)
        summary = {
            "avg_nullspace_ratio": found,
            "avg_colspace_ratio": _mean(row.colspace_projection_ratio for row in changed),
            "avg_rank_increase": _mean(row.rank_increase for row in changed),
            "primarily_off_manifold": found > OFF_MANIFOLD,
            "total_matrices_analyzed": len(rows),
            "changed_matrices": len(changed),
            "expected_avg_nullspace_ratio": expected,
            "expected_avg_colspace_ratio": _mean(row.expected_colspace_ratio for row in changed or rows),
            "more_off_manifold_than_a_random_update": found > expected,
            "avg_input_nullspace_energy_share": _mean(row.input_nullspace_energy_share for row in changed),
            "expected_avg_input_nullspace_energy_share": _mean(
                row.expected_input_nullspace_energy_share for row in changed or rows
            ),
        }
        return Findings(
            {"mlp_nullspace_metrics": rows, "layer_nullspace_summary": layers}, summary, "nullspace_summary"
        )


def _row(pair: MatrixPair, threshold: float) -> MatrixRow:
    outputs, inputs = pair.base.shape
    rank = mathematics.spectra.empirical_rank(pair.base_singular_values, threshold)
    updated = mathematics.spectra.empirical_rank(pair.modified_singular_values, threshold)
    shares = pair.update_shares(rank)
    change, base = pair.difference_norm, pair.base_norm
    return MatrixRow(
        name=pair.name, layer=pair.layer, type=TYPES[pair.component], component=pair.component,
        shape=f"{outputs}x{inputs}", original_eff_rank=rank, updated_eff_rank=updated, rank_increase=updated - rank,
        colspace_projection_ratio=math.sqrt(shares.outputs_inside),
        nullspace_projection_ratio=math.sqrt(shares.outputs_outside), nullspace_dimension=outputs - rank,
        update_norm=change, original_norm=base,
        relative_update_size=change / base if base > 0 else (math.nan if change else 0.0),
        colspace_energy_share=shares.outputs_inside, nullspace_energy_share=shares.outputs_outside,
        expected_colspace_ratio=math.sqrt(rank / outputs), expected_nullspace_ratio=math.sqrt(1 - rank / outputs),
        input_nullspace_energy_share=shares.inputs_outside, expected_input_nullspace_energy_share=1 - rank / inputs,
    )  # fmt: skip


def _layer_row(layer: int, rows: Sequence[MatrixRow]) -> LayerRow:
    members = [row for row in rows if row.layer == layer]
    changed = [row for row in members if row.update_norm > 0]
    encoders, decoders = ([row for row in members if row.type == type] for type in ("encoder", "decoder"))
    return LayerRow(
        layer=layer,
        avg_colspace_ratio=_mean(row.colspace_projection_ratio for row in changed),
        avg_nullspace_ratio=_mean(row.nullspace_projection_ratio for row in changed),
        avg_rank_increase=_mean(row.rank_increase for row in changed),
        encoder_nullspace_ratio=_mean(row.nullspace_projection_ratio for row in encoders if row.update_norm > 0),
        decoder_nullspace_ratio=_mean(row.nullspace_projection_ratio for row in decoders if row.update_norm > 0),
        num_matrices=len(members), changed_matrices=len(changed),
        expected_avg_colspace_ratio=_mean(row.expected_colspace_ratio for row in members),
        expected_avg_nullspace_ratio=_mean(row.expected_nullspace_ratio for row in members),
        expected_encoder_nullspace_ratio=_mean(row.expected_nullspace_ratio for row in encoders),
        expected_decoder_nullspace_ratio=_mean(row.expected_nullspace_ratio for row in decoders),
        avg_nullspace_energy_share=_mean(row.nullspace_energy_share for row in changed),
        avg_input_nullspace_energy_share=_mean(row.input_nullspace_energy_share for row in changed),
    )  # fmt: skip


def _mean(values: Iterable[float]) -> float:
    """The mean; 0 of nothing, since nothing changed there."""
    known = list(values)
    return statistics.fmean(known) if known else 0.0
