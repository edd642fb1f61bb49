"""At which layer is what tells forget from retain text linearly encoded?

Per depth, an L2-regularised logistic regression on the hidden state at each text's last real token tells forget from
retain texts; it is fitted to 80 % of each class, standardised by them, and judged on the other 20 %. Seeds give the
split; each number is the mean over seeds. Depth 0 is the embedding output, depth l the output of block l, before the
final norm.

  selectivity  accuracy on held-out texts less the share of the larger class among them
  AUC          chance that a held-out forget text scores above a held-out retain text: 0.5 is chance, 1 perfect

Topic, genre and length tell the two apart in any model, also in one that never knew the hazardous facts. Where a third
split ``benign`` holds benign text of the forget texts' form and length, ``_benign`` columns show benign against retain
(what form alone gives) and ``_matched`` columns forget against benign (what is left without form).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from brittle import mathematics
from brittle.contracts import SPLITS, Figure, Findings, Headline, seeds
from brittle.records import column, spread_columns, with_spread
from brittle.settings import BadInput, setting

if TYPE_CHECKING:
    from torch import Tensor

    from brittle.mathematics.probes import Trial
    from brittle.mathematics.text_values import TextValues
    from brittle.models.observation import ActivationObservation

NAME = "linear_probes"
STEP = 5
PROGRAM = "linear_probe_analysis"
NEEDS = "activations"
SCOPE = "model"
CONTRASTS = {"": ("forget", "retain"), "_benign": ("benign", "retain"), "_matched": ("forget", "benign")}
"""Which two splits a column's ending stands for."""


@dataclass(frozen=True)
class Settings:
    """How much text is read, and how the probe is regularised."""

    C: float = setting(1.0, "inverse of the probe's L2 penalty (scikit-learn's C)", above=0, flag="--C")
    max_iter: int = setting(1000, "iterations of the probe's solver at most", minimum=1)
    max_samples: int = setting(500, "texts per split, from the start of the file", minimum=2)
    max_length: int = setting(512, "longest text in tokens; the rest is cut", minimum=1)
    batch_size: int = setting(8, "texts per forward pass; changes speed and memory only", minimum=1)
    seeds: tuple[int, ...] = seeds()


@dataclass(frozen=True)
class DocumentedRow:
    """``probe_results.csv``: one depth."""

    layer: int = column("depth: 0 is the embedding output, l the output of block l (before the final norm)")
    test_accuracy: float = column("share of held-out texts told right, mean over seeds")
    train_accuracy: float = column("the same of the texts the probe was fitted to")
    selectivity: float = column("test_accuracy less majority_baseline")
    auc: float = column("area under the ROC curve on held-out texts, mean over seeds; 0.5 is chance")
    majority_baseline: float = column("share of the larger class among the held-out texts")
    test_accuracy_benign: float = column("test_accuracy of benign against retain; empty without benign texts")
    selectivity_benign: float = column("its selectivity")
    auc_benign: float = column("its area under the curve")
    test_accuracy_matched: float = column("test_accuracy of forget against benign; empty without benign texts")
    selectivity_matched: float = column("its selectivity")
    auc_matched: float = column("its area under the curve")


MEASURES = ("test_accuracy", "selectivity", "auc")
Row = with_spread(DocumentedRow, [f"{name}{ending}" for ending in CONTRASTS for name in MEASURES])
FIGURES = (
    Figure(
        "linear_probe_analysis", "probe_results", "layer", ("test_accuracy", "selectivity", "auc"),
        "How well a linear probe tells forget from retain text",
        "On texts that the probe never saw. Topic and length alone can give a perfect score; compare with the base.",
    ),
)  # fmt: skip
HEADLINES = (
    Headline("best_selectivity", "forget texts told from retain texts: best probe above the majority", None, "above"),
)


@dataclass
class Fitter:
    """Keeps the hidden states of every text's last token, float32."""

    settings: Settings
    states: dict[str, TextValues] = field(default_factory=dict)
    model: str = ""

    def update(self, observation: ActivationObservation) -> Fitter:
        """Take in one batch; of a pair, model A is probed."""
        texts = self.states.setdefault(observation.split, mathematics.text_values.TextValues())
        texts.update(observation.keys, observation.text_indices, observation.last_tokens("a"))
        self.model = observation.model_a
        return self

    def finish(self) -> Findings:
        """One row per depth; the summary's best depth is the largest of many numbers, hence flattering."""
        settings = self.settings
        states = {split: self.states[split].stacked() for split in SPLITS if split in self.states}
        trials = {}
        for ending, (first, second) in CONTRASTS.items():
            if first in states and second in states:
                keys = self.states[first].keys, self.states[second].keys
                trials[ending] = mathematics.probes.trial(*keys, settings.seeds)
                if not trials[ending].enough:
                    raise BadInput(
                        f"{NAME} needs at least two different {first} and {second} texts, none of them in both files"
                    )
        rows = [self._row(depth, states, trials) for depth in range(states["forget"].shape[1])]
        best = max(rows, key=lambda row: row.selectivity)
        summary = {
            "model": self.model,
            "num_layers": len(rows) - 1,
            "probe_C": settings.C,
            "probe_max_iter": settings.max_iter,
            "majority_baseline": best.majority_baseline,
            "best_layer": best.layer,
            "best_selectivity": best.selectivity,
            "best_accuracy": best.test_accuracy,
            "best_auc": best.auc,
            "best_auc_low": best.auc_low,
            "best_auc_high": best.auc_high,
            "best_layer_auc_benign": best.auc_benign,
            "best_layer_auc_matched": best.auc_matched,
            "texts": {"forget": len(trials[""].first), "retain": len(trials[""].second)},
        }
        return Findings({"probe_results": rows}, summary)

    def _row(self, depth: int, states: dict[str, Tensor], trials: dict[str, Trial]) -> Any:
        import torch

        probes = mathematics.probes
        columns: dict[str, Any] = {}
        for ending, (first, second) in CONTRASTS.items():
            names = [f"{name}{ending}" for name in MEASURES]
            if ending not in trials:
                for name in names:
                    columns |= spread_columns(name, mathematics.intervals.Spread(*[math.nan] * 5))
                continue
            trial = trials[ending]
            features = torch.cat([states[first][trial.first, depth], states[second][trial.second, depth]])
            scores = probes.logistic_scores(features, trial, self.settings.C, self.settings.max_iter)
            accuracy, baseline = probes.accuracy(scores, trial), probes.majority_baseline(trial)
            values = [accuracy, accuracy - baseline, probes.area_under_curve(scores, trial)]
            found = mathematics.intervals.spreads(torch.stack(values, dim=1), len(self.settings.seeds))
            for name, spread in zip(names, found, strict=True):
                columns |= spread_columns(name, spread)
            if not ending:
                columns |= {"majority_baseline": baseline, "train_accuracy": probes.training_accuracy(scores, trial)}
        return Row(layer=depth, **columns)
