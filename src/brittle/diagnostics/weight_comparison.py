"""How large is the intervention in the weights, and where is it concentrated?

For every weight matrix W of the base model and its change ΔW = W_modified − W:

  relative Frobenius norm  ‖ΔW‖_F / ‖W‖_F      the share of the matrix that moved
  relative spectral norm   σ₁(ΔW) / σ₁(W)      the worst-case amplification of the change
  stable rank              ‖ΔW‖_F² / σ₁(ΔW)²   the dimensions it spreads over: 1 is a spike, min(m, n) a rewrite

Embeddings and the unembedding (once, if they are tied) have layer −1; tables by layer, ranks and totals are of the
blocks' matrices. Norms and biases have no rows, but are in ``relative_frobenius_norm_all_parameters``. Where nothing
changed every number about ΔW is exactly 0; a relative norm beside a zero W is empty.

Models that are stored in different number types are compared at the coarser: both are rounded to it, so that what did
not change has no ΔW, and the summary names the types. What did change still carries rounding noise, of full rank. A
matrix whose ΔW may be half noise (``within_rounding``) counts as unchanged, of rank 0, wherever matrices are counted or
stable ranks averaged; its own row shows it as it is.
"""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from brittle import mathematics
from brittle.contracts import Figure, Findings, Headline
from brittle.mathematics import storage
from brittle.records import column
from brittle.settings import setting

if TYPE_CHECKING:
    from brittle.mathematics.matrix_pair import MatrixPair

NAME = "weight_comparison"
STEP = 1
PROGRAM = "collect_weight_comparison"
NEEDS = "weights"
SCOPE = "pair"
EVERY_PARAMETER = True


@dataclass(frozen=True)
class Settings:
    """How spectral norms are found and whether ranks are counted."""

    sr_iters: int = setting(
        20,
        "fewest Lanczos steps of a spectral norm; it goes on until 1e-6 is reached "
        "(five power iterations, as once, underestimate flat spectra by 5 % and inflate stable ranks by 10 %)",
        minimum=1,
    )
    empirical_rank: bool = setting(
        False, "also count the singular values that hold most of the energy (full spectra, slow)"
    )
    empirical_threshold: float = setting(
        0.99, "share of the energy that the empirical rank must hold", above=0, below=1
    )


@dataclass(frozen=True)
class MatrixRow:
    """``per_matrix.csv``: one weight matrix."""

    name: str = column("full parameter name")
    layer: int = column("layer, from 0; -1 outside the blocks")
    group: str = column("attn or mlp; embedding or unembedding")
    shape0: int = column("rows: output features")
    shape1: int = column("columns: input features")
    dW_fro: float = column("‖ΔW‖_F")
    W_fro: float = column("‖W‖_F of the base")
    dW_fro_rel: float = column("‖ΔW‖_F / ‖W‖_F")
    dW_spectral: float = column("σ₁(ΔW)")
    W_spectral: float = column("σ₁(W)")
    dW_spectral_rel: float = column("σ₁(ΔW) / σ₁(W)")
    dW_stable_rank: float = column("‖ΔW‖_F² / σ₁(ΔW)²; 0 where nothing changed")
    W_stable_rank: float = column("‖W‖_F² / σ₁(W)²")
    dW_empirical_rank: int | None = column("singular values of ΔW that hold the threshold's share (--empirical-rank)")
    W_empirical_rank: int | None = column("the same of W (--empirical-rank)")
    component: str = column("qkv, proj, mlp_expand or mlp_contract; embedding, unembedding, …")
    elements: int = column("entries of the matrix")
    cosine_sim: float = column("cosine of W and W_modified as vectors")
    diff_mean: float = column("mean entry of ΔW")
    diff_std: float = column("standard deviation of the entries of ΔW")
    diff_abs_mean: float = column("mean absolute entry of ΔW")
    fro_norm_normalized: float = column("‖ΔW‖_F / √elements: the root mean square entry")
    within_rounding: bool = column("whether half of ΔW or more may be the rounding between two storage types")

    @property
    def counted_rank(self) -> float:
        """The stable rank of ΔW as means count it."""
        return 0.0 if self.within_rounding else self.dW_stable_rank


@dataclass(frozen=True)
class LayerRow:
    """``per_layer.csv``; ``per_coarse_layer.csv`` has rows of layer -1 besides."""

    layer: int = column("layer, from 0; -1 outside the blocks")
    group: str = column("attn or mlp; embedding or unembedding")
    dW_fro_layer: float = column("√Σ‖ΔW_i‖_F² over the group's matrices")
    W_fro_layer: float = column("√Σ‖W_i‖_F²")
    dW_fro_layer_rel: float = column("dW_fro_layer / W_fro_layer")
    max_dW_spectral: float = column("largest σ₁(ΔW_i)")
    max_W_spectral: float = column("largest σ₁(W_i)")
    max_dW_spectral_rel: float = column("max_dW_spectral / max_W_spectral")
    mean_dW_stable_rank: float = column("mean stable rank of ΔW_i")
    mean_dW_empirical_rank: float | None = column("mean empirical rank of ΔW_i (--empirical-rank)")
    count_mats: int = column("matrices in the group")
    elements: int = column("entries in the group")
    mean_W_stable_rank: float = column("mean stable rank of W_i")


AGGREGATED = (
    "cosine_sim", "dW_fro_rel", "dW_fro", "fro_norm_normalized", "diff_mean", "diff_std", "diff_abs_mean",
    "dW_spectral", "dW_spectral_rel", "dW_stable_rank", "W_stable_rank",
)  # fmt: skip
AGGREGATES: dict[str, Callable[[Sequence[float]], float]] = {
    "mean": statistics.fmean,
    "min": min,
    "max": max,
    "std": statistics.pstdev,
}
ComponentRow = dataclasses.make_dataclass(
    "ComponentRow",
    [
        ("component", str, column("qkv, proj, mlp_expand or mlp_contract; embedding, unembedding, …")),
        ("n_layers", int, column("layers that have it")),
        ("elements", int, column("entries over all layers")),
        *(
            (f"{name}_{word}", float, column(f"{word} of {name} over the component's matrices"))
            for name in AGGREGATED
            for word in AGGREGATES
        ),
    ],
    frozen=True,
)
ComponentRow.__doc__ = (
    "``per_component.csv``: mean, minimum, maximum and population deviation over a component's matrices."
)

FIGURES = (
    Figure(
        "layer_locality", "per_layer", "layer", ("dW_fro_layer_rel",), "Relative change of the weights by layer",
        "The share of each layer's weights that moved: a peak is a local edit, a plateau a distributed one.",
        by="group", folder="param_plots",
    ),
    Figure(
        "stable_rank", "per_layer", "layer", ("mean_dW_stable_rank",), "Stable rank of the change by layer",
        "How many dimensions the change spreads over: near 1 is a single direction.",
        by="group", folder="param_plots",
    ),
    Figure(
        "rank_comparison", "per_layer", "layer", ("mean_dW_stable_rank", "mean_W_stable_rank"),
        "Stable rank of the change beside that of the weights",
        "A change of far lower rank than the weights is a patch, one of like rank a rewrite.",
        by="group", folder="param_plots",
    ),
    Figure(
        "spectral_norm", "per_layer", "layer", ("max_dW_spectral_rel",), "Relative spectral norm of the change",
        "The strongest effect on any one direction; high beside a low stable rank is a sharp spike.",
        by="group", folder="param_plots",
    ),
    Figure(
        "empirical_rank", "per_layer", "layer", ("mean_dW_empirical_rank",), "Empirical rank of the change by layer",
        "How many singular values hold 99 % of the change's energy (or the threshold that was set).",
        by="group", folder="param_plots",
    ),
)  # fmt: skip
HEADLINES = (
    Headline("relative_frobenius_norm", "size of the update of block matrices ‖ΔW‖/‖W‖", thesis="below", log=True),
    Headline("mean_stable_rank", "stable rank of ΔW", thesis="below", log=True),
)


class Fitter:
    """Takes parameters one by one; keeps one row of numbers of each matrix, and the norms of the vectors."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.rows: list[MatrixRow] = []
        self.vectors: list[tuple[float, float]] = []
        self.storage = storage.Storage()

    def update(self, pair: MatrixPair) -> Fitter:
        """Measure one matrix, or a norm or bias as a matrix of one row."""
        self.storage.update(pair)
        if pair.group == "vector":
            self.vectors.append((pair.difference_norm, pair.base_norm))
            return self
        if self.settings.sr_iters != pair.lanczos_steps:
            pair = dataclasses.replace(pair, lanczos_steps=self.settings.sr_iters)
        elements = pair.base.numel()
        self.rows.append(
            MatrixRow(
                name=pair.name, layer=pair.layer, group=pair.group, component=pair.component,
                shape0=pair.base.shape[0], shape1=pair.base.shape[1], elements=elements,
                dW_fro=pair.difference_norm, W_fro=pair.base_norm,
                dW_fro_rel=relative(pair.difference_norm, pair.base_norm),
                dW_spectral=pair.difference_spectral_norm, W_spectral=pair.base_spectral_norm,
                dW_spectral_rel=relative(pair.difference_spectral_norm, pair.base_spectral_norm),
                dW_stable_rank=pair.difference_stable_rank, W_stable_rank=pair.base_stable_rank,
                dW_empirical_rank=self._rank(pair, "difference"), W_empirical_rank=self._rank(pair, "base"),
                cosine_sim=pair.cosine_similarity, diff_mean=pair.difference_mean,
                diff_std=pair.difference_standard_deviation, diff_abs_mean=pair.difference_absolute_mean,
                fro_norm_normalized=pair.difference_norm / math.sqrt(elements), within_rounding=pair.within_rounding,
            )
        )  # fmt: skip
        return self

    def finish(self) -> Findings:
        """The four tables, and the whole model in one line."""
        rows = sorted(self.rows, key=lambda row: (row.layer, row.group, row.component, row.name))
        blocks = [row for row in rows if row.layer >= 0]
        groups = _grouped(rows, lambda row: (row.layer, row.group))
        layers = [_layer_row(layer, group, members) for (layer, group), members in groups.items()]
        components = [_component_row(name, members) for name, members in _grouped(rows, lambda r: r.component).items()]
        tables = {
            "per_matrix": self._documented(rows), "per_component": components,
            "per_layer": self._documented([row for row in layers if row.layer >= 0]),
            "per_coarse_layer": self._documented(layers),
        }  # fmt: skip
        summary: dict[str, Any] = dict(_totals(blocks))
        summary["relative_frobenius_norm_all_parameters"] = self._over_all_parameters()
        summary["changed_matrices"] = sum(row.dW_fro > 0 and not row.within_rounding for row in blocks)
        summary["matrices"] = len(blocks)
        summary["matrices_within_rounding"] = sum(row.within_rounding for row in blocks)
        summary |= {name: _totals(part) for name, part in _grouped(rows, lambda row: row.group).items()}
        return Findings(tables, summary | self.storage.finish())

    def _over_all_parameters(self) -> float:
        """‖ΔW‖_F / ‖W‖_F over everything that was seen: matrices, norms and biases."""
        norms = [*((row.dW_fro, row.W_fro) for row in self.rows), *self.vectors]
        change, base = (math.hypot(*side) for side in zip(*norms))
        return relative(change, base)

    def _rank(self, pair: MatrixPair, which: str) -> int | None:
        if not self.settings.empirical_rank:
            return None
        values = getattr(pair, f"{which}_singular_values")
        return mathematics.spectra.empirical_rank(values, self.settings.empirical_threshold)

    def _documented(self, rows: Sequence[Any]) -> Sequence[Any]:
        """The rows without the columns on empirical rank, unless they were asked for."""
        if self.settings.empirical_rank:
            return rows
        return [{key: value for key, value in vars(row).items() if "empirical_rank" not in key} for row in rows]


def relative(change: float, base: float) -> float:
    """``change / base``; 0 where nothing changed, NaN where something changed beside a zero base."""
    return change / base if base > 0 else (math.nan if change else 0.0)


def _grouped(rows: Iterable[MatrixRow], key: Any) -> dict[Any, list[MatrixRow]]:
    groups: dict[Any, list[MatrixRow]] = defaultdict(list)
    for row in rows:
        groups[key(row)].append(row)
    return groups


def _norms(rows: Sequence[MatrixRow]) -> tuple[float, float]:
    return math.hypot(*(row.dW_fro for row in rows)), math.hypot(*(row.W_fro for row in rows))


def _layer_row(layer: int, group: str, rows: Sequence[MatrixRow]) -> LayerRow:
    change, base = _norms(rows)
    spectral_change, spectral_base = max(row.dW_spectral for row in rows), max(row.W_spectral for row in rows)
    ranks = [row.dW_empirical_rank for row in rows if row.dW_empirical_rank is not None]
    return LayerRow(
        layer, group, change, base, relative(change, base),
        spectral_change, spectral_base, relative(spectral_change, spectral_base),
        statistics.fmean(row.counted_rank for row in rows), statistics.fmean(ranks) if ranks else None,
        len(rows), sum(row.elements for row in rows), statistics.fmean(row.W_stable_rank for row in rows),
    )  # fmt: skip


def _component_row(component: str, rows: Sequence[MatrixRow]) -> Any:
    columns = {name: [getattr(row, name) for row in rows] for name in AGGREGATED}
    columns["dW_stable_rank"] = [row.counted_rank for row in rows]
    aggregates = {
        f"{name}_{word}": aggregate(values)
        for name, values in columns.items()
        for word, aggregate in AGGREGATES.items()
    }
    layers = len({row.layer for row in rows})
    return ComponentRow(component=component, n_layers=layers, elements=sum(row.elements for row in rows), **aggregates)


def _totals(rows: Sequence[MatrixRow]) -> dict[str, float]:
    change, base = _norms(rows)
    return {
        "relative_frobenius_norm": relative(change, base),
        "frobenius_norm": change,
        "mean_stable_rank": statistics.fmean(row.counted_rank for row in rows),
        "mean_base_stable_rank": statistics.fmean(row.W_stable_rank for row in rows),
    }
