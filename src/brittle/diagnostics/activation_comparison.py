"""Does the intervention globally suppress or amplify activations, and how far do they move?

Per depth and split, means over all real tokens of ‖h‖₁ and ‖h‖₂ in both models and of ‖Δh‖₁ and ‖Δh‖₂, where
Δh = h_b − h_a on the same token. Not divided by the width: the two models share it. Depth 0 is the embedding output,
depth l the output of block l, before the final norm. In activation units. Long texts weigh more, as they have more
tokens; seeds and intervals draw whole texts anew.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from brittle import mathematics
from brittle.contracts import Figure, Findings, Headline, seeds
from brittle.records import column, spread_columns, with_spread
from brittle.settings import setting

if TYPE_CHECKING:
    from torch import Tensor

    from brittle.mathematics.text_values import TextValues
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
    seeds: tuple[int, ...] = seeds()


@dataclass(frozen=True)
class DocumentedRow:
    """``activation_comparison.csv``: one depth on one split."""

    layer: int = column("depth: 0 is the embedding output, l the output of block l (before the final norm)")
    split: str = column("forget or retain")
    model_a_norm_L1: float = column("mean ‖h‖₁ per token of model A")
    model_a_norm_L2: float = column("mean ‖h‖₂ per token of model A")
    model_b_norm_L1: float = column("mean ‖h‖₁ per token of model B")
    model_b_norm_L2: float = column("mean ‖h‖₂ per token of model B")
    mean_dh_L1: float = column("mean ‖h_b − h_a‖₁ per token")
    mean_dh_L2: float = column("mean ‖h_b − h_a‖₂ per token")


MEASURES = tuple(field.name for field in fields(DocumentedRow))[2:]
Row = with_spread(DocumentedRow, MEASURES)
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
HEADLINES = (
    Headline("forget.norm_ratio", "norm of hidden states on forget texts, B over A", 1.0, "untouched", log=True),
    Headline("forget.mean_dh_L2", "distance of hidden states on forget texts ‖Δh‖₂", thesis="below", log=True),
)


class Fitter:
    """Keeps one float64 sum per text, depth and measure, and the texts' numbers of tokens."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.sums: dict[str, TextValues] = {}
        self.tokens: dict[str, TextValues] = {}

    def update(self, observation: ActivationObservation) -> Fitter:
        """Take in one batch that both models saw."""
        import torch

        split = observation.split
        if split not in ("forget", "retain"):
            return self
        texts, found = observation.text_of_token, []
        for depth in range(observation.depths):
            a, b = (observation.tokens(side, depth) for side in "ab")
            norms = torch.stack([*_norms(a), *_norms(b), *_norms(b - a)], dim=1).double()
            sums = torch.zeros(len(observation.mask), len(MEASURES), dtype=torch.float64, device=norms.device)
            found.append(sums.index_add_(0, texts, norms))
        for kept, values in ((self.sums, torch.stack(found, dim=1)), (self.tokens, observation.tokens_per_text)):
            own = kept.setdefault(split, mathematics.text_values.TextValues())
            own.update(observation.keys, observation.text_indices, values)
        return self

    def finish(self) -> Findings:
        """One row per split and depth; the summary has each split's means over depths."""
        rows: list[Any] = []
        summary: dict[str, Any] = {}
        for index, (split, texts) in enumerate(self.sums.items()):
            sums, tokens = texts.stacked(), self.tokens[split].stacked()
            weights = mathematics.intervals.weights_of_texts(len(texts), self.settings.seeds, index)
            means = mathematics.intervals.ratio_of_sums(sums.flatten(1), tokens[:, None])(weights)
            found = iter(mathematics.intervals.spreads(means, len(self.settings.seeds)))
            own = []
            for depth in range(sums.shape[1]):
                columns: dict[str, Any] = {}
                for name in MEASURES:
                    columns |= spread_columns(name, next(found))
                own.append(Row(layer=depth, split=split, **columns))
            over_depths = {name: sum(getattr(row, name) for row in own) / len(own) for name in MEASURES}
            ratio = over_depths["model_b_norm_L2"] / over_depths["model_a_norm_L2"]
            summary[split] = over_depths | {"norm_ratio": ratio, "tokens": int(tokens.sum())}
            rows += own
        return Findings({"activation_comparison": rows}, summary)


def _norms(hidden: Tensor) -> tuple[Tensor, Tensor]:
    """L1 and L2 norms of ``[tokens, width]`` float32, ``[tokens]`` each."""
    return hidden.abs().sum(dim=-1), (hidden * hidden).sum(dim=-1).sqrt()
