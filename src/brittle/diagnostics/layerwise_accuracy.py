"""At which layer does the model "know" the answers to hazardous multiple-choice questions?

At every depth the hidden state goes through the model's own final norm and unembedding, which gives each choice a mean
log-probability per answer token; the highest is the prediction. Depth 0 is the embedding, the last depth is the model's
own output. Accuracy high inside and low at the end is knowledge hidden, not erased. Guessing is right in one over the number
of choices, which is recorded beside it.

*Logit lens*: the hidden state as it is. nostalgebraist 2020, "interpreting GPT: the logit lens".
*Tuned lens*: the hidden state after a translation that was learned on ``tuned_train_frac`` of the forget, retain and
benign texts, to predict what the model itself goes on to predict (:mod:`brittle.models.tuned_lens`). It never sees a
question or an answer. Belrose et al. 2023 (arXiv 2303.08112). The residual form of the next:
*Linear lens*: a plain affine map to the vocabulary per depth, learned on the same texts to predict the next token
(:mod:`brittle.models.linear_lens`); what it knows may be its own. In the folder ``wmdp_linear_lens``, and only when asked
for: a map of a large model has as many numbers as its unembedding. (The original trained it on the correct answers of
30 % of the questions.)
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from brittle import mathematics
from brittle.contracts import Figure, Findings, Headline, seeds
from brittle.records import column, spread_columns, with_spread
from brittle.settings import setting

if TYPE_CHECKING:
    import numpy as np

    from brittle.models.likelihood import Scores

NAMES = ("wmdp_logit_lens", "wmdp_tuned_lens", "wmdp_linear_lens")
VARIANTS = {
    "wmdp_logit_lens": {"lens": "logit"}, "wmdp_tuned_lens": {"lens": "tuned"}, "wmdp_linear_lens": {"lens": "linear"},
}  # fmt: skip
ON_REQUEST = ("wmdp_linear_lens",)
STEP = 6
PROGRAM = "layerwise_wmdp_accuracy"
NEEDS = "questions"
SCOPE = "model"


@dataclass(frozen=True)
class Settings:
    """Which lens reads the hidden states, and how many questions it answers."""

    lens: str = setting("logit", "how hidden states are read: as they are (logit), after a learned translation (tuned), by a "
                        "learned map to the vocabulary (linear)",
                        choices=("logit", "tuned", "linear"))  # fmt: skip
    max_samples: int = setting(500, "questions, from the start of the file", minimum=1)
    max_length: int = setting(512, "longest question with choice in tokens; its beginning is cut", minimum=2)
    batch_size: int = setting(8, "rows per forward pass; changes speed and memory only", minimum=1)
    tuned_lr: float = setting(1e-3, "Adam's learning rate of a learned lens; falls to zero in a straight line", above=0)
    tuned_epochs: int = setting(3, "passes of a learned lens over its texts", minimum=1)
    tuned_train_frac: float = setting(
        0.3, "share of the texts that a learned lens learns from; its error is measured on the rest", above=0, below=1
    )
    seeds: tuple[int, ...] = seeds()


@dataclass(frozen=True)
class DocumentedRow:
    """``wmdp_lens_results.csv``: one depth."""

    layer: int = column("depth: 0 is the embedding output, l the output of block l")
    accuracy: float = column("share of questions answered correctly (0 to 1)")
    correct: int = column("questions answered correctly")
    total: int = column("questions asked")
    delta_from_final: float = column("accuracy less that at the last depth, the model's own output")
    expected_accuracy: float = column("accuracy of guessing: the mean of one over the number of choices (0 to 1)")


@dataclass(frozen=True)
class DivergenceRow(DocumentedRow):
    """The same of a tuned or linear lens."""

    divergence: float = column("mean KL from the model's prediction to the lens's on held-out text, nats per token")
    divergence_untuned: float = column("the same of the logit lens")


LogitRow, TunedRow = (with_spread(kind, ("accuracy",)) for kind in (DocumentedRow, DivergenceRow))
FIGURES = (
    Figure(
        "wmdp_lens_analysis", "wmdp_lens_results", "layer", ("accuracy",), "Accuracy on hazardous questions by depth",
        "A rise shows where answers become readable; a fall before the end is knowledge hidden by the last layers.",
        expected={"accuracy": "expected_accuracy"},
    ),
)  # fmt: skip
HEADLINES = (Headline("best_layer_accuracy", "hazardous answers read at the best depth", None, "above"),)


class Fitter:
    """Keeps which questions are answered correctly, by depth."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.model = ""
        self.correct: list[np.ndarray] = []
        self.guessing: list[float] = []
        self.divergences: tuple[tuple[float, ...], tuple[float, ...]] = ((), ())

    def update(self, scores: Scores) -> Fitter:
        """Take in the scores of some questions at all depths."""
        if scores.depths != tuple(range(len(scores.depths))):
            raise ValueError('the lens needs scores at every depth: score(..., depths="all")')
        self.correct.append(scores.correct)
        there = scores.log_probabilities[-1] > float("-inf")  # of a question with fewer choices than the longest
        self.guessing += (1 / there.sum(axis=-1)).tolist()
        self.model, self.divergences = scores.model, scores.lens_divergences
        return self

    def finish(self) -> Findings:
        """One row per depth; the best depth is the first of equals. Intervals draw the questions anew."""
        import torch

        chance = math.fsum(self.guessing) / len(self.guessing)
        correct = torch.cat([torch.from_numpy(part) for part in self.correct], dim=1)
        depths, total = correct.shape
        ordered = torch.tensor(
            sorted(correct.T.int().tolist()), dtype=torch.float64
        )  # the same in whatever order asked
        weights = mathematics.intervals.weights_of_texts(total, self.settings.seeds)
        spreads = mathematics.intervals.spreads(weights @ ordered / total, len(self.settings.seeds))
        kind = LogitRow if self.settings.lens == "logit" else TunedRow
        more: list[dict[str, float]] = [{}] * depths
        if kind is TunedRow:
            more = [
                {"divergence": own, "divergence_untuned": other} for own, other in zip(*self.divergences, strict=True)
            ]
        rows: list[Any] = [
            kind(
                layer=depth, correct=int(correct[depth].sum()), total=total,
                delta_from_final=spread.value - spreads[-1].value, expected_accuracy=chance,
                **spread_columns("accuracy", spread), **more[depth],
            )
            for depth, spread in enumerate(spreads)
        ]  # fmt: skip
        best = max(rows, key=lambda row: row.accuracy)
        summary = {
            "model": self.model,
            "lens": self.settings.lens,
            "num_layers": len(rows) - 1,
            "max_samples": self.settings.max_samples,
            "questions": total,
            "chance": chance,
            "final_layer_accuracy": rows[-1].accuracy,
            "best_layer": best.layer,
            "best_layer_accuracy": best.accuracy,
            "best_layer_accuracy_low": best.accuracy_low,
            "best_layer_accuracy_high": best.accuracy_high,
        }
        return Findings({"wmdp_lens_results": rows}, summary)
