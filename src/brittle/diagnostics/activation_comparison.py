"""Does the intervention globally suppress or amplify activations, and how far do they move?

Per depth and split, means over all real tokens of ‖h‖₁ and ‖h‖₂ in both models and of ‖Δh‖₁ and ‖Δh‖₂, where
Δh = h_b − h_a on the same token. Not divided by the width: the two models share it. Depth 0 is the embedding output,
depth l the output of block l, before the final norm. In activation units.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

from brittle.contracts import Figure, Findings
from brittle.records import column
from brittle.settings import setting

if TYPE_CHECKING:
    from torch import Tensor

    from brittle.models.observation import ActivationObservation

NAME = "activation_comparison"
STEP = 3
PROGRAM = "collect_activation_comparison"
NEEDS = "activations"
SCOPE = "pair"


@dataclass(frozen=True)
class Settings:
    """How much text the pass reads."""

    max_samples: int = setting(500, "texts per split, from the start of the file", minimum=1)
    max_length: int = setting(512, "longest text in tokens; the rest is cut", minimum=1)
    batch_size: int = setting(2, "texts per forward pass; changes speed and memory only", minimum=1)


@dataclass(frozen=True)
class Row:
    """``activation_comparison.csv``: one depth on one split."""

    layer: int = column("depth: 0 is the embedding output, l the output of block l (before the final norm)")
    split: str = column("forget or retain")
    model_a_norm_L1: float = column("mean ‖h‖₁ per token of model A")
    model_a_norm_L2: float = column("mean ‖h‖₂ per token of model A")
    model_b_norm_L1: float = column("mean ‖h‖₁ per token of model B")
    model_b_norm_L2: float = column("mean ‖h‖₂ per token of model B")
    mean_dh_L1: float = column("mean ‖h_b − h_a‖₁ per token")
    mean_dh_L2: float = column("mean ‖h_b − h_a‖₂ per token")


MEASURES = tuple(field.name for field in fields(Row))[2:]
FIGURES = tuple(
    figure
    for split in ("forget", "retain")
    for figure in (
        Figure(
            f"activation_norms_{split}", "activation_comparison", "layer", MEASURES[:4],
            f"Activation norms on {split} texts",
            "Equal curves of both models mean that nothing is suppressed or amplified as a whole.",
            where={"split": split}, folder="activation_plots",
        ),
        Figure(
            f"activation_diffs_{split}", "activation_comparison", "layer", MEASURES[4:],
            f"Distance between the two models' activations on {split} texts",
            "Where the curve rises, the two models begin to compute different things on the same tokens.",
            where={"split": split}, folder="activation_plots",
        ),
    )
)  # fmt: skip


class Fitter:
    """Keeps one float64 sum per split, depth and measure, and the number of tokens."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.sums: dict[str, list[list[float]]] = {}
        self.tokens: dict[str, int] = {}

    def update(self, observation: ActivationObservation) -> Fitter:
        """Take in one batch that both models saw."""
        if observation.hidden_b is None:
            raise ValueError("activation_comparison needs both models of a pair")
        split, real = observation.split, observation.mask.bool()
        pairs = list(zip(observation.hidden_a, observation.hidden_b))
        sums = self.sums.setdefault(split, [[0.0] * len(MEASURES) for _ in pairs])
        for depth, (hidden_a, hidden_b) in enumerate(pairs):
            a, b = hidden_a[real].double(), hidden_b[real].double()
            added = [*_norms(a), *_norms(b), *_norms(b - a)]
            sums[depth] = [before + new for before, new in zip(sums[depth], added)]
        self.tokens[split] = self.tokens.get(split, 0) + int(real.sum())
        return self

    def finish(self) -> Findings:
        """One row per split and depth; the summary has each split's means over depths."""
        rows, summary = [], {}
        for split, depths in self.sums.items():
            means = [[total / self.tokens[split] for total in sums] for sums in depths]
            rows += [Row(depth, split, *values) for depth, values in enumerate(means)]
            over_depths = (sum(values) / len(means) for values in zip(*means))
            summary[split] = dict(zip(MEASURES, over_depths)) | {"tokens": self.tokens[split]}
        return Findings({"activation_comparison": rows}, summary)


def _norms(hidden: Tensor) -> tuple[float, float]:
    """Sums over tokens of the L1 and L2 norms of ``[tokens, width]``."""
    return float(hidden.norm(p=1, dim=-1).sum()), float(hidden.norm(p=2, dim=-1).sum())
