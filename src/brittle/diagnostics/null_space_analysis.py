"""Is the update low-rank, and do the leading directions of the weights shift?

For a sample of the attention and MLP matrices, with σ the singular values of ΔW = W_modified − W, largest first:

  top-10 variance ratio  Σ_{i≤10} σ_i² / Σ_i σ_i²              near 1: the update is a handful of directions
  effective rank         min k: Σ_{i≤k} σ_i² ≥ 0.99 Σ_i σ_i²   the directions that hold 99 % of it
  subspace alignment     mean cos θ_i of the principal angles between the 20 leading output directions of W and of
                         W_modified: near 1, the same directions are used, only more or less strongly

A number says something only beside what chance gives for a matrix of that shape; those columns begin with
``expected_``. Where ``subspace_gap`` is near 0 the leading directions are arbitrary and any noise turns them.
Golub and Van Loan 2013, section 6.4.3 (angles).
"""

from __future__ import annotations

import hashlib
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from brittle import mathematics
from brittle.contracts import Figure, Findings, Headline
from brittle.records import column
from brittle.settings import LARGEST_SEED, setting

if TYPE_CHECKING:
    from brittle.mathematics.matrix_pair import MatrixPair

NAME = "null_space_analysis"
STEP = 7
PROGRAM = "null_space_analysis"
NEEDS = "weights"
SCOPE = "pair"
ENERGY = 0.99


@dataclass(frozen=True)
class Settings:
    """How many matrices, and which."""

    num_samples: int = setting(
        50, "weight matrices to analyse, drawn without replacement (all if there are no more)", minimum=1
    )
    seed: int = setting(42, "seed of what is sampled", minimum=0, maximum=LARGEST_SEED)


@dataclass(frozen=True)
class ResultRow:
    """``null_space_results.csv``: one sampled matrix."""

    name: str = column("full parameter name")
    component: str = column("qkv, proj, mlp_expand or mlp_contract")
    effective_rank: int = column("singular values of ΔW that hold 99 % of its energy; 0 where nothing changed")
    top10_variance_ratio: float = column("share of ΔW's energy in its 10 largest singular values; 0 if unchanged")
    max_singular_value: float = column("σ₁(ΔW)")
    singular_value_decay: float = column(
        "σ₁₀/σ₁ of ΔW, the tenth over the first; 0 if unchanged or if there are fewer than ten"
    )
    subspace_alignment: float = column(
        "mean cosine of the principal angles between the leading output directions (left singular vectors) of W and "
        "W_modified, subspace_dimension of them; empty if one of the two is zero"
    )
    grassmann_distance: float = column(
        "chordal distance √(k − Σ cos² θ_i) of the same two subspaces, at most √k (the documented column; the geodesic "
        "distance stands in geodesic_distance)"
    )
    singular_value_ratio: float = column("σ₁(W_modified) / σ₁(W); empty beside a zero W")
    layer: int = column("layer, from 0")
    group: str = column("attn or mlp")
    shape: str = column("outputs x inputs")
    geodesic_distance: float = column("√(Σ θ_i²) in radians: length of the shortest path on the Grassmann manifold")
    input_subspace_alignment: float = column("subspace_alignment of the leading input directions (right vectors)")
    subspace_dimension: int = column("k: 20, or fewer where W or W_modified has a lower rank")
    subspace_gap: float = column("(σ_k − σ_{k+1}) / σ_k of W; near 0 its k leading directions are arbitrary")
    expected_top10_variance_ratio: float = column(
        "top10_variance_ratio of a Gaussian matrix of that shape (mean of 16 draws from a fixed seed)"
    )
    expected_random_alignment: float = column(
        "subspace_alignment of two unrelated random subspaces: the floor (mean of 400 draws from a fixed seed)"
    )


FIGURES = (
    Figure(
        "null_space_visualization", "null_space_results", "component",
        ("effective_rank", "top10_variance_ratio", "subspace_alignment", "grassmann_distance"),
        "Shape of the update and shift of the leading directions",
        "A high top-10 share is a low-rank update; an alignment near 1 leaves the directions that W uses where they "
        "were.",
        kind="box",
        expected={
            "top10_variance_ratio": "expected_top10_variance_ratio", "subspace_alignment": "expected_random_alignment"
        },
    ),
)  # fmt: skip
HEADLINES = (
    Headline("mean_effective_rank", "effective rank of ΔW (99 % of its energy)", thesis="below"),
    Headline("mean_top10_variance_ratio", "energy of ΔW in ten directions", thesis="above"),
    Headline("mean_subspace_alignment", "leading directions of W that stayed", 1.0, "above"),
)


class Fitter:
    """Takes weight matrices one by one and measures those of the sample."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.chosen: set[str] | None = None
        self.seen = 0
        self.rows: list[ResultRow] = []

    def expect(self, names: Sequence[str]) -> Fitter:
        """All matrices that will come: the sample is drawn from them. Without this call every one is analysed.

        The sample is the matrices with the smallest hashes of seed and name: uniform, without replacement, and the
        same in whatever order the matrices come.
        """
        self.chosen = set(sorted(names, key=self._lot)[: self.settings.num_samples])
        return self

    def update(self, pair: MatrixPair) -> Fitter:
        """Measure one matrix, if it is in the sample."""
        self.seen += 1
        if self.chosen is None or pair.name in self.chosen:
            self.rows.append(_row(pair))
        return self

    def finish(self) -> Findings:
        """The table, and means over the sample: overall, of the MLP and of attention."""
        rows = sorted(self.rows, key=lambda row: (row.layer, row.group, row.component, row.name))
        groups = {group: [row for row in rows if row.group == group] for group in sorted({row.group for row in rows})}
        summary = {"matrices": self.seen, "analysed_matrices": len(rows), **_means(rows)}
        return Findings(
            {"null_space_results": rows}, summary | {group: _means(members) for group, members in groups.items()}
        )

    def _lot(self, name: str) -> str:
        return hashlib.sha256(f"{self.settings.seed} {name}".encode()).hexdigest()


def _row(pair: MatrixPair) -> ResultRow:
    spectra, subspaces, chance = mathematics.spectra, mathematics.subspaces, mathematics.random_matrices
    outputs, inputs = pair.base.shape
    base, modified, change = pair.base_decomposition, pair.modified_decomposition, pair.difference_singular_values
    largest = float(change[0])
    count = min(mathematics.matrix_pair.LEADING, base.resolved, modified.resolved)
    angles, input_angles = (pair.principal_angles(count, side) for side in (True, False))
    before, after = float(base.singular_values[0]), float(modified.singular_values[0])
    return ResultRow(
        name=pair.name, component=pair.component, layer=pair.layer, group=pair.group, shape=f"{outputs}x{inputs}",
        effective_rank=spectra.empirical_rank(change, ENERGY), top10_variance_ratio=spectra.top_share(change, 10),
        max_singular_value=largest,
        singular_value_decay=float(change[9]) / largest if largest > 0 and len(change) >= 10 else 0.0,
        subspace_alignment=subspaces.mean_cosine(angles), grassmann_distance=subspaces.chordal_distance(angles),
        geodesic_distance=subspaces.geodesic_distance(angles),
        input_subspace_alignment=subspaces.mean_cosine(input_angles),
        singular_value_ratio=after / before if before > 0 else math.nan,
        subspace_dimension=count, subspace_gap=base.gap(count),
        expected_top10_variance_ratio=chance.expected_top_share(outputs, inputs, 10),
        expected_random_alignment=chance.expected_alignment(outputs, count),
    )  # fmt: skip


SHAPE = ("effective_rank", "top10_variance_ratio", "singular_value_decay", "expected_top10_variance_ratio")
SUBSPACE = (
    "subspace_alignment", "expected_random_alignment", "grassmann_distance", "geodesic_distance", "singular_value_ratio"
)  # fmt: skip


def _means(rows: Sequence[ResultRow]) -> dict[str, Any]:
    """Means of the update's shape over the matrices that changed (0 if none did), of the subspaces over all."""
    changed = [row for row in rows if row.max_singular_value > 0]
    of_change = {f"mean_{name}": _mean([getattr(row, name) for row in changed]) if changed else 0.0 for name in SHAPE}
    of_subspaces = {f"mean_{name}": _mean([getattr(row, name) for row in rows]) for name in SUBSPACE}
    return {"changed_matrices": len(changed), **of_change, **of_subspaces}


def _mean(values: Sequence[float]) -> float:
    """Mean of the values that exist."""
    known = [value for value in values if not math.isnan(value)]
    return statistics.fmean(known) if known else math.nan
