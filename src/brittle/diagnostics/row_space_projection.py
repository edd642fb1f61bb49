"""Do the activations of forget text lie in the directions that the intervention modified, more than those of retain text?

For each MLP matrix, P projects onto the top k = 20 right singular directions of its change ΔW (fewer where its rank is
less): the input directions that the change responds to most. Over all real tokens, with x the input of the matrix in
model A,

  projection ratio  mean ‖Px‖ / mean ‖x‖                 1: all inputs lie in these directions, 0: none do
  selectivity       forget ratio / retain ratio          1: a blunt instrument, far above: a surgical one

k random directions hold a share k/d of any input's squared length on average, hence a ratio of about √(k/d); how far a
single random subspace strays from that depends on the inputs, which are far from isotropic. Both are given. Where
ΔW = 0 there are no directions: projections are exactly 0 and the selectivity does not exist (an empty cell).
Encoder matrices expand (they read what enters the MLP), decoder matrices contract.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from brittle import mathematics
from brittle.contracts import Figure, Findings, Headline, seeds
from brittle.records import column, spread_columns, with_spread
from brittle.settings import BadInput, setting

if TYPE_CHECKING:
    from torch import Tensor

    from brittle.mathematics.intervals import Spread
    from brittle.mathematics.matrix_pair import MatrixPair
    from brittle.models.observation import ActivationObservation

NAME = "row_space_projection"
STEP = 11
PROGRAM = "row_space_projection_analysis"
NEEDS = ("weights", "activations")
SITES = ("mlp_input", "contract_input")
SCOPE = "pair"
DIRECTIONS = 20
WEIGHT_TYPES = {"mlp_expand": "encoder", "mlp_contract": "decoder"}
MORE_AFFECTED = 1.2
"""Documented bound on the selectivity above which forget text counts as more affected."""
OTHER_SPLIT = 1_000_003
"""Added to a seed for the retain texts, so that their draws do not follow those of the forget texts."""


@dataclass(frozen=True)
class Settings:
    """How much text is read, and at which layers."""

    max_samples: int = setting(500, "texts per split, from the start of the file", minimum=1)
    max_length: int = setting(512, "longest text in tokens; the rest is cut", minimum=1)
    batch_size: int = setting(4, "texts per forward pass; changes speed and memory only", minimum=1)
    layers_to_analyze: tuple[int, ...] = setting((), "layers from 0, such as 0,4,8 (default: all)")
    seeds: tuple[int, ...] = seeds()


def check_layers(settings: Settings, blocks: int) -> None:
    """Refuse layers that a model with so many blocks does not have."""
    for layer in settings.layers_to_analyze:
        if not 0 <= layer < blocks:
            raise BadInput(f"--layers-to-analyze: layer {layer} is not among the model's layers 0 to {blocks - 1}")


@dataclass(frozen=True)
class DocumentedRow:
    """``row_space_projections.csv``: one matrix."""

    layer: int = column("layer, from 0")
    weight_type: str = column("encoder (expands) or decoder (contracts)")
    forget_proj_ratio: float = column("mean ‖Px‖ over mean ‖x‖ on forget texts, 0 to 1")
    retain_proj_ratio: float = column("the same on retain texts")
    forget_proj_norm: float = column("mean ‖Px‖ per token on forget texts, in activation units")
    retain_proj_norm: float = column("the same on retain texts")
    projection_diff: float = column("forget_proj_ratio less retain_proj_ratio")
    forget_stronger: bool = column("whether that is above 0")
    selectivity: float = column("forget_proj_ratio / retain_proj_ratio; empty where nothing changed")
    expected_ratio: float = column("√(k/d): about what k random directions in the d-dimensional input space give")
    forget_random_ratio: float = column("ratio on forget texts of random subspaces of k dimensions, mean over seeds")
    retain_random_ratio: float = column("the same on retain texts")
    random_selectivity: float = column("forget_random_ratio / retain_random_ratio; empty where nothing changed")
    directions: int = column("k: 20, or the rank of ΔW if that is less")
    energy_share: float = column("share of ‖ΔW‖_F² in these directions, 0 to 1; 0 where nothing changed")
    name: str = column("full parameter name (gated MLPs have two encoder matrices)")


Row = with_spread(DocumentedRow, ("forget_proj_ratio", "retain_proj_ratio", "projection_diff", "selectivity"))


@dataclass(frozen=True)
class LayerRow:
    """``layer_projection_summary.csv``: one layer; means over its encoder matrices unless the name says decoder."""

    layer: int = column("layer, from 0")
    avg_forget_proj: float = column("forget_proj_ratio")
    avg_retain_proj: float = column("retain_proj_ratio")
    avg_diff: float = column("projection_diff")
    avg_selectivity: float = column("avg_forget_proj / avg_retain_proj; empty where nothing changed")
    expected_ratio: float = column("√(k/d)")
    forget_random_ratio: float = column("ratio of random subspaces on forget texts")
    retain_random_ratio: float = column("ratio of random subspaces on retain texts")
    decoder_forget_proj: float = column("forget_proj_ratio of the decoder matrix")
    decoder_retain_proj: float = column("retain_proj_ratio of the decoder matrix")
    decoder_selectivity: float = column("decoder_forget_proj / decoder_retain_proj; empty where nothing changed")
    decoder_expected_ratio: float = column("√(k/d) of the decoder matrix")


FIGURES = (
    Figure(
        "row_space_projections", "layer_projection_summary", "layer", ("avg_forget_proj", "avg_retain_proj", "avg_selectivity"),
        "Share of the MLP's inputs in the directions that its change responds to",
        "Forget above retain is a targeted update. Both above the expected ratio only says that it follows the inputs.",
        expected={f"avg_{split}_proj": "expected_ratio" for split in ("forget", "retain")},
    ),
)  # fmt: skip


@dataclass(frozen=True)
class _Matrix:
    layer: int
    weight_type: str
    name: str
    basis: Tensor
    """Top right singular directions of ΔW as orthonormal rows ``[k, d]``, float64."""
    energy_share: float


HEADLINES = (
    Headline("projection_ratio", "forget over retain inputs in the directions of ΔW", None, "below", log=True),
)


class Fitter:
    """First keeps the directions of every MLP matrix, then float64 sums of lengths for every text."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.matrices: list[_Matrix] = []
        self.sums: dict[str, dict[int, Tensor]] = {}
        self.random: dict[tuple[int, int], list[Tensor]] = {}

    def update(self, observation: MatrixPair | ActivationObservation) -> Fitter:
        """Take in a matrix or, once all matrices are known, a batch of texts."""
        from brittle.mathematics.matrix_pair import MatrixPair

        if not isinstance(observation, MatrixPair):
            return self._update_texts(observation)
        layers, kind = self.settings.layers_to_analyze, WEIGHT_TYPES.get(observation.component)
        if kind and (not layers or observation.layer in layers):
            basis, share = _top_directions(observation)
            self.matrices.append(_Matrix(observation.layer, kind, observation.name, basis, share))
        return self

    def _update_texts(self, observation: ActivationObservation) -> Fitter:
        """Per text and matrix: tokens, and sums of ‖x‖, of ‖Px‖ and of ‖Rx‖ for each seed's random subspace R."""
        import torch

        inputs = {"encoder": observation.mlp_inputs_a, "decoder": observation.contract_inputs_a}
        if inputs["encoder"] is None or inputs["decoder"] is None:
            raise ValueError(f"row_space_projection needs the pass to be run with sites={SITES}")
        self._begin(len(inputs["encoder"]))
        real = observation.mask.bool()
        text = real.nonzero()[:, 0]
        found = []
        for matrix in self.matrices:
            x = inputs[matrix.weight_type][matrix.layer][real].double()  # type: ignore[index]
            bases = [matrix.basis, *self._random_bases(*matrix.basis.shape)]
            lengths = [torch.ones_like(x[:, 0]), x.norm(dim=1)]
            lengths += [(x @ basis.to(x.device).T).norm(dim=1) for basis in bases]
            zeros = torch.zeros(len(real), len(lengths), dtype=torch.float64, device=x.device)
            found.append(zeros.index_add_(0, text, torch.stack(lengths, dim=1)).cpu())
        for row, sums in zip(observation.text_indices, torch.stack(found, dim=1)):
            self.sums.setdefault(observation.split, {})[row] = sums
        return self

    def _begin(self, blocks: int) -> None:
        if self.sums:
            return
        check_layers(self.settings, blocks)
        self.matrices.sort(key=lambda matrix: (matrix.layer, matrix.weight_type == "decoder", matrix.name))

    def _random_bases(self, number: int, width: int) -> list[Tensor]:
        """For each seed, orthonormal rows that span a random subspace, ``[number, width]``."""
        import torch

        if (number, width) not in self.random:
            generators = (torch.Generator().manual_seed(seed) for seed in self.settings.seeds)
            drawn = (torch.randn(width, number, generator=each, dtype=torch.float64) for each in generators)
            self.random[number, width] = [torch.linalg.qr(each).Q.T for each in drawn]
        return self.random[number, width]

    def finish(self) -> Findings:
        """One row per matrix and per layer; the summary is over the encoder matrices, as documented."""
        totals = {split: self._totals(split) for split in ("forget", "retain")}
        rows = [self._row(each, *(total[:, i] for total in totals.values())) for i, each in enumerate(self.matrices)]
        encoders = [index for index, matrix in enumerate(self.matrices) if matrix.weight_type == "encoder"]
        forget, retain = (_ratio(total[:, encoders]).mean(dim=1) for total in totals.values())
        overall = self._spread(forget / retain)
        layers = sorted({matrix.layer for matrix in self.matrices})
        summary = {
            "avg_forget_projection": float(forget[0]),
            "avg_retain_projection": float(retain[0]),
            "avg_expected_ratio": statistics.fmean(rows[index].expected_ratio for index in encoders),
            **spread_columns("projection_ratio", overall),
            "forget_more_affected": overall.value > MORE_AFFECTED,
            "layers_analyzed": layers,
        }
        by_layer = [_layer_row(layer, rows) for layer in layers]
        tables = {"row_space_projections": rows, "layer_projection_summary": by_layer}
        return Findings(tables, summary, "row_space_summary")

    def _totals(self, split: str) -> Tensor:
        """Sums over texts ``[1 + seeds + draws, matrices, measures]``: as they are, by seed, for the interval.

        Texts are put in order of their length and values first, so that the order they came in changes nothing.
        """
        import torch

        intervals, seeds = mathematics.intervals, self.settings.seeds
        texts = sorted(self.sums[split].values(), key=lambda sums: sums[0, :2].tolist())
        number, offset = len(texts), 0 if split == "forget" else OTHER_SPLIT
        weights = [torch.ones(1, number, dtype=torch.float64)]
        weights += [intervals.resampled(number, seed + offset) for seed in seeds]
        weights.append(intervals.resampled(number, seeds[0] + offset, intervals.DRAWS))
        return torch.einsum("dt,tmq->dmq", torch.cat(weights), torch.stack(texts))

    def _spread(self, values: Tensor) -> Spread:
        """The spread of a statistic that was computed for every row of the totals."""
        import torch

        value, by_seed, draws = torch.split(values, [1, len(self.settings.seeds), mathematics.intervals.DRAWS])
        low, high = torch.quantile(draws, torch.tensor([0.025, 0.975], dtype=draws.dtype)).tolist()
        deviation = float(by_seed.std()) if len(by_seed) > 1 else 0.0
        return mathematics.intervals.Spread(float(value), float(by_seed.mean()), deviation, low, high)

    def _row(self, matrix: _Matrix, forget: Tensor, retain: Tensor) -> Any:
        """``forget`` and ``retain`` are one matrix's totals, ``[1 + seeds + draws, measures]``."""
        number, width = matrix.basis.shape
        ratios = _ratio(forget), _ratio(retain)
        random = [float((total[0, 3:] / total[0, 1]).mean()) for total in (forget, retain)]
        return Row(
            layer=matrix.layer,
            weight_type=matrix.weight_type,
            forget_proj_norm=float(forget[0, 2] / forget[0, 0]),
            retain_proj_norm=float(retain[0, 2] / retain[0, 0]),
            forget_stronger=bool(ratios[0][0] > ratios[1][0]),
            expected_ratio=math.sqrt(number / width),
            forget_random_ratio=random[0],
            retain_random_ratio=random[1],
            random_selectivity=_quotient(*random),
            directions=number,
            energy_share=matrix.energy_share,
            name=matrix.name,
            **spread_columns("forget_proj_ratio", self._spread(ratios[0])),
            **spread_columns("retain_proj_ratio", self._spread(ratios[1])),
            **spread_columns("projection_diff", self._spread(ratios[0] - ratios[1])),
            **spread_columns("selectivity", self._spread(ratios[0] / ratios[1])),
        )


def _ratio(totals: Tensor) -> Tensor:
    """mean ‖Px‖ / mean ‖x‖ from totals ``[..., measures]``: tokens, ‖x‖, ‖Px‖ and so on."""
    return totals[..., 2] / totals[..., 1]


def _quotient(above: float, below: float) -> float:
    return above / below if below > 0 else math.nan


def _layer_row(layer: int, rows: Sequence[Any]) -> LayerRow:
    def means(weight_type: str, names: Sequence[str]) -> list[float]:
        part = [row for row in rows if (row.layer, row.weight_type) == (layer, weight_type)]
        return [statistics.fmean(getattr(row, name) for row in part) for name in names]

    measures = ("forget_proj_ratio", "retain_proj_ratio", "expected_ratio")
    forget, retain, expected = means("encoder", measures)
    forget_random, retain_random = means("encoder", ("forget_random_ratio", "retain_random_ratio"))
    inner_forget, inner_retain, inner_expected = means("decoder", measures)
    return LayerRow(
        layer, forget, retain, forget - retain, _quotient(forget, retain), expected, forget_random, retain_random,
        inner_forget, inner_retain, _quotient(inner_forget, inner_retain), inner_expected,
    )  # fmt: skip


def _top_directions(pair: MatrixPair) -> tuple[Tensor, float]:
    """Top right singular directions of ΔW as orthonormal rows, and their share of ‖ΔW‖_F²."""
    import torch

    if pair.identical:
        return torch.zeros(0, pair.base.shape[1], dtype=torch.float64), 0.0
    subspaces, shape = mathematics.subspaces, pair.base.shape
    energies, vectors = torch.linalg.eigh(pair.difference_gram)
    values, leading = energies.clamp(min=0).sqrt().flip(0), vectors.flip(1)[:, :DIRECTIONS]
    decomposition = subspaces.Decomposition(values, leading, shape[0] <= shape[1])
    number = min(DIRECTIONS, decomposition.resolved)
    basis = subspaces.leading_basis(pair.difference, decomposition, number, outputs=False)
    return basis.T.contiguous(), mathematics.spectra.top_share(values, number)
