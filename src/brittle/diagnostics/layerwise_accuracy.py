"""At which layer does the model "know" the answers to hazardous multiple-choice questions?

At every depth the hidden state goes through the model's own final norm and unembedding (the logit lens), which gives
each choice a mean log-probability per answer token; the highest is the prediction. Depth 0 is the embedding, the last
depth is the model's own output. Accuracy high inside and low at the end is knowledge hidden, not erased.
Source: nostalgebraist 2020, "interpreting GPT: the logit lens".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from brittle.contracts import Figure, Findings
from brittle.records import column
from brittle.settings import setting

if TYPE_CHECKING:
    from brittle.models.likelihood import Scores

NAME = "wmdp_logit_lens"
STEP = 6
PROGRAM = "layerwise_wmdp_accuracy"
NEEDS = "questions"
SCOPE = "model"


@dataclass(frozen=True)
class Settings:
    """Which lens reads the hidden states, and how many questions it answers."""

    lens: str = setting("logit", "how hidden states are read: the model's own output head", choices=("logit",))
    max_samples: int = setting(500, "questions, from the start of the file", minimum=1)
    max_length: int = setting(512, "longest question with choice in tokens; its beginning is cut", minimum=2)
    batch_size: int = setting(8, "rows per forward pass; changes speed and memory only", minimum=1)


@dataclass(frozen=True)
class Row:
    """``wmdp_lens_results.csv``: one depth."""

    layer: int = column("depth: 0 is the embedding output, l the output of block l")
    accuracy: float = column("share of questions answered correctly (0 to 1)")
    correct: int = column("questions answered correctly")
    total: int = column("questions asked")
    delta_from_final: float = column("accuracy less that at the last depth, the model's own output")


FIGURES = (
    Figure(
        "wmdp_lens_analysis", "wmdp_lens_results", "layer", ("accuracy",), "Accuracy by depth, read by the logit lens",
        "A rise shows where answers become readable; a fall before the end is knowledge hidden by the last layers.",
        reference=0.25, reference_label="chance with four choices",
    ),
)  # fmt: skip


class Fitter:
    """Counts correct answers by depth."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.model = ""
        self.total = 0
        self.correct: list[int] = []

    def update(self, scores: Scores) -> Fitter:
        """Take in the scores of some questions at all depths."""
        if scores.depths != tuple(range(len(scores.depths))):
            raise ValueError('the lens needs scores at every depth: score(..., depths="all")')
        counts = [int(count) for count in scores.correct.sum(axis=1)]
        self.correct = [before + new for before, new in zip(self.correct or [0] * len(counts), counts)]
        self.total += scores.correct.shape[1]
        self.model = scores.model
        return self

    def finish(self) -> Findings:
        """One row per depth; the best depth is the first of equals."""
        accuracies = [correct / self.total for correct in self.correct]
        final = accuracies[-1]
        rows = [
            Row(depth, accuracy, correct, self.total, accuracy - final)
            for depth, (accuracy, correct) in enumerate(zip(accuracies, self.correct))
        ]
        best = max(rows, key=lambda row: row.accuracy)
        summary = {
            "model": self.model,
            "lens": self.settings.lens,
            "num_layers": len(rows) - 1,
            "max_samples": self.settings.max_samples,
            "questions": self.total,
            "final_layer_accuracy": final,
            "best_layer": best.layer,
            "best_layer_accuracy": best.accuracy,
        }
        return Findings({"wmdp_lens_results": rows}, summary)
