"""Do the two models represent the same texts alike, and have their hidden states moved as a whole?

Per depth and split, between models A and B:

  linear CKA     of the texts' mean states (each text's mean over its real tokens): 1 if the geometry among texts is the
                 same up to rotation and scale. Unrelated models do not give 0 but ``expected_cka``; ``cka_above_chance``
                 is (CKA − expected) / (1 − expected)
  mean shift     ‖mean over tokens of h_b − h_a‖₂, in activation units: what all texts have in common
  cosine         mean over texts of 1 − cos(mean state in A, mean state in B)

Depth 0 is the embedding output, depth l the output of block l, before the final norm. Bootstrap draws repeat texts,
and equal texts agree: intervals of CKA lean upwards where ``expected_cka`` is large. Kornblith et al. 2019.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from brittle import mathematics
from brittle.contracts import Figure, Findings, Headline, seeds
from brittle.records import column, spread_columns, with_spread
from brittle.settings import BadInput, setting

if TYPE_CHECKING:
    from torch import Tensor

    from brittle.mathematics.text_values import TextValues
    from brittle.models.observation import ActivationObservation

NAME = "representation_similarity"
STEP = 3
PROGRAM = "representation_similarity"
NEEDS = "activations"
SCOPE = "pair"


@dataclass(frozen=True)
class Settings:
    """How much text the pass reads."""

    max_samples: int = setting(500, "texts per split, from the start of the file", minimum=2)
    max_length: int = setting(512, "longest text in tokens; the rest is cut", minimum=1)
    batch_size: int = setting(8, "texts per forward pass; changes speed and memory only", minimum=1)
    seeds: tuple[int, ...] = seeds()


@dataclass(frozen=True)
class PlainRow:
    """``representation_similarity.csv``: one depth on one split."""

    layer: int = column("depth: 0 is the embedding output, l the output of block l (before the final norm)")
    split: str = column("forget or retain")
    linear_cka: float = column("linear CKA of the texts' mean states in A and B, 0 to 1; 1 for equal geometry")
    cka_above_chance: float = column("(linear_cka − expected_cka) / (1 − expected_cka); empty with two texts alone")
    mean_shift: float = column("‖mean over tokens of h_b − h_a‖₂, in activation units")
    relative_mean_shift: float = column("mean_shift / ‖mean over tokens of h_a‖₂")
    cosine_distance: float = column("1 − cosine between a text's mean state in A and in B, mean over texts; 0 to 2")
    expected_cka: float = column("linear_cka of the same states with texts matched at random (mean of all matchings)")
    texts: int = column("texts of the split")


MEASURES = ("linear_cka", "cka_above_chance", "mean_shift", "relative_mean_shift", "cosine_distance")
Row = with_spread(PlainRow, MEASURES)
FIGURES = tuple(
    Figure(
        f"representation_similarity_{split}", "representation_similarity", "layer",
        ("linear_cka", "relative_mean_shift"),
        f"Likeness of the two models' hidden states on {split} texts",
        "Where CKA falls, the texts stand differently to each other; a shift moves all of them and leaves it at 1.",
        where={"split": split}, expected={"linear_cka": "expected_cka"},
    )
    for split in ("forget", "retain")
)  # fmt: skip
HEADLINES = (Headline("forget.linear_cka", "likeness of hidden states on forget texts (CKA)", 1.0, "above"),)


class Fitter:
    """Keeps each text's mean state in A and its movement to B, float32, and its number of tokens."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.states: dict[str, TextValues] = {}
        self.tokens: dict[str, TextValues] = {}

    def update(self, observation: ActivationObservation) -> Fitter:
        """Take in one batch that both models saw."""
        import torch

        if observation.split not in ("forget", "retain"):
            return self
        a, b = observation.text_means("a"), observation.text_means("b")
        for kept, values in (
            (self.states, torch.stack([a, b - a], dim=1).float()),
            (self.tokens, observation.tokens_per_text),
        ):
            texts = kept.setdefault(observation.split, mathematics.text_values.TextValues())
            texts.update(observation.keys, observation.text_indices, values)
        return self

    def finish(self) -> Findings:
        """One row per split and depth; the summary has each split's means over depths."""
        rows, summary = [], {}
        for index, (split, texts) in enumerate(self.states.items()):
            if len(texts) < 2:
                raise BadInput(f"{NAME} needs at least two {split} texts; there is {len(texts)}")
            states, tokens = texts.stacked(), self.tokens[split].stacked()
            weights = mathematics.intervals.weights_of_texts(len(texts), self.settings.seeds, index)
            own = [self._row(split, depth, states[:, :, depth], tokens, weights) for depth in range(states.shape[2])]
            rows += own
            summary[split] = {name: sum(getattr(row, name) for row in own) / len(own) for name in MEASURES}
        return Findings({"representation_similarity": rows}, summary)

    def _row(self, split: str, depth: int, states: Tensor, tokens: Tensor, weights: Tensor) -> Any:
        """``states`` ``[texts, 2, width]``: the mean in A and the movement to B."""
        import torch

        a, moved = states.double().unbind(dim=1)
        similarity = mathematics.similarity
        grams = [similarity.centred_gram(side) for side in (a, a + moved)]
        alignment, chance = similarity.centred_kernel_alignment(*grams, weights)
        shift, length = (_length(side * tokens[:, None], weights) for side in (moved, a))
        values = {
            "linear_cka": alignment,
            "cka_above_chance": similarity.above_chance(alignment, chance),
            "mean_shift": shift / (weights @ tokens),
            "relative_mean_shift": shift / length,
            "cosine_distance": weights @ similarity.half_squared_chord(a, a + moved) / weights.sum(dim=1),
        }
        found = mathematics.intervals.spreads(torch.stack(list(values.values()), dim=1), len(self.settings.seeds))
        columns: dict[str, Any] = {}
        for name, spread in zip(values, found, strict=True):
            columns |= spread_columns(name, spread)
        return Row(layer=depth, split=split, expected_cka=float(chance[0]), texts=len(a), **columns)


def _length(sums: Tensor, weights: Tensor) -> Tensor:
    """Length of the weighted sum of rows ``[texts, width]`` for each row of weights, ``[draws]``."""
    return (((weights @ (sums @ sums.T)) * weights).sum(dim=1)).clamp(min=0).sqrt()
