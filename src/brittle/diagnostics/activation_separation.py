"""Can forget-text activations be told from retain-text activations, and does the intervention change this?

A text's feature at a depth is the mean hidden state over its real tokens; depth 0 is the embedding output, depth l the
output of block l, before the final norm. With c the centroids of the two classes and v their variances per dimension,

  cosine distance     1 − cos(c₁, c₂)
  euclidean distance  ‖c₁ − c₂‖₂, in activation units
  AUC                 chance that Fisher's linear discriminant with a shrunk covariance (Ledoit and Wolf 2004) ranks a
                      held-out text of the first class above one of the second; fitted to 80 % of each class, judged on
                      the other 20 %. Seeds give the split, the column is the mean over seeds. 0.5 is chance
  variance ratio      ‖c₁ − c₂‖² / (4 width) / mean of the two classes' v: between over within. Two samples of one
                      distribution do not give 0 but ``expected_variance_ratio``

Topic, genre and length separate any two kinds of text in any model. Where a third split ``benign`` holds benign text
of the forget texts' form and length, ``_benign`` columns are benign against retain (what form alone gives) and
``_matched`` columns forget against benign. Changes are B − A on the same texts and splits, so their intervals are
paired.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

from brittle import mathematics
from brittle.contracts import SPLITS, Figure, Findings, Headline, seeds
from brittle.records import column, spread_columns, with_spread
from brittle.settings import BadInput, setting

if TYPE_CHECKING:
    from torch import Tensor

    from brittle.mathematics.probes import Trial
    from brittle.mathematics.separation import Class
    from brittle.mathematics.text_values import TextValues
    from brittle.models.observation import ActivationObservation

NAME = "activation_separation"
STEP = 8
PROGRAM = "activation_separation_analysis"
NEEDS = "activations"
SCOPE = "pair"
CONTRASTS = {"": ("forget", "retain"), "_benign": ("benign", "retain"), "_matched": ("forget", "benign")}
"""Which two splits a column's ending stands for."""


@dataclass(frozen=True)
class Settings:
    """How much text the pass reads."""

    max_samples: int = setting(500, "texts per split, from the start of the file", minimum=2)
    max_length: int = setting(512, "longest text in tokens; the rest is cut", minimum=1)
    batch_size: int = setting(8, "texts per forward pass; changes speed and memory only", minimum=1)
    seeds: tuple[int, ...] = seeds()


@dataclass(frozen=True)
class DocumentedRow:
    """``separation_metrics_model_a.csv`` and ``separation_metrics_model_b.csv``: one depth of one model."""

    layer: int = column("depth: 0 is the embedding output, l the output of block l (before the final norm)")
    cosine_distance: float = column("1 − cosine between the forget and the retain centroid, 0 to 2")
    euclidean_distance: float = column("distance of the two centroids, in activation units")
    linear_discriminability_auc: float = column("AUC of the shrunk discriminant on held-out texts; 0.5 is chance")
    variance_ratio: float = column("variance between the classes over variance within")
    forget_centroid_norm: float = column("length of the forget centroid")
    retain_centroid_norm: float = column("length of the retain centroid")
    cosine_distance_benign: float = column("cosine_distance of benign against retain; empty without benign texts")
    euclidean_distance_benign: float = column("euclidean_distance of benign against retain")
    linear_discriminability_auc_benign: float = column("AUC of benign against retain")
    variance_ratio_benign: float = column("variance_ratio of benign against retain")
    cosine_distance_matched: float = column("cosine_distance of forget against benign; empty without benign texts")
    euclidean_distance_matched: float = column("euclidean_distance of forget against benign")
    linear_discriminability_auc_matched: float = column("AUC of forget against benign")
    variance_ratio_matched: float = column("variance_ratio of forget against benign")
    expected_variance_ratio: float = column("about what samples of these sizes from one distribution give")


@dataclass(frozen=True)
class PlainChangeRow:
    """``separation_changes.csv``: B − A at one depth."""

    layer: int = column("depth, as in the other tables")
    cosine_distance_change: float = column("cosine_distance of B less that of A")
    linear_discriminability_auc_change: float = column("the same of the AUC")
    variance_ratio_change: float = column("the same of the variance ratio")
    cosine_distance_change_benign: float = column("of benign against retain; empty without benign texts")
    linear_discriminability_auc_change_benign: float = column("of benign against retain")
    variance_ratio_change_benign: float = column("of benign against retain")
    cosine_distance_change_matched: float = column("of forget against benign; empty without benign texts")
    linear_discriminability_auc_change_matched: float = column("of forget against benign")
    variance_ratio_change_matched: float = column("of forget against benign")


MEASURES = ("cosine_distance", "euclidean_distance", "linear_discriminability_auc", "variance_ratio")
CHANGES = ("cosine_distance", "linear_discriminability_auc", "variance_ratio")
Row = with_spread(DocumentedRow, [f"{name}{ending}" for ending in CONTRASTS for name in MEASURES])
ChangeRow = with_spread(PlainChangeRow, [each.name for each in fields(PlainChangeRow)[1:]])
FIGURES = (
    Figure(
        "activation_separation_analysis", "separation_changes", "layer",
        tuple(f"{name}_change" for name in CHANGES),
        "Change of the separation of forget from retain text",
        "Above 0 the two kinds of text were pushed apart: the model routes forget text elsewhere.", reference=0,
    ),
    *(
        Figure(
            f"activation_separation_model_{side}", f"separation_metrics_model_{side}", "layer",
            ("cosine_distance", "linear_discriminability_auc", "variance_ratio"),
            f"Separation of forget from retain text in model {side.upper()}",
            "An AUC near 1 is no sign of knowledge: topic, genre and length alone can give it.",
            expected={"variance_ratio": "expected_variance_ratio"},
        )
        for side in "ab"
    ),
)  # fmt: skip
HEADLINES = (Headline("avg_cosine_change", "change of the distance of forget from retain texts", thesis="above"),)


@dataclass
class Fitter:
    """Keeps every text's mean state in both models, float32."""

    settings: Settings
    states: dict[str, TextValues] = field(default_factory=dict)
    models: tuple[str, str] = ("", "")

    def update(self, observation: ActivationObservation) -> Fitter:
        """Take in one batch that both models saw."""
        import torch

        means = torch.stack([observation.text_means(side).float() for side in "ab"], dim=1)
        texts = self.states.setdefault(observation.split, mathematics.text_values.TextValues())
        texts.update(observation.keys, observation.text_indices, means)
        self.models = observation.model_a, observation.model_b
        return self

    def finish(self) -> Findings:
        """A table per model, one of the changes, and their means over depths."""
        splits = [split for split in SPLITS if split in self.states]
        states = {split: self.states[split].stacked() for split in splits}
        trials, number = self._trials(splits), len(self.settings.seeds)
        sizes = [len(each) for each in states.values()]
        places = mathematics.separation.places(sizes)
        classes = {
            split: mathematics.separation.Class.of(
                places[index], mathematics.intervals.weights_of_texts(sizes[index], self.settings.seeds, index)
            )
            for index, split in enumerate(splits)
        }
        expected = mathematics.separation.expected_variance_ratio(*sizes[:2])
        rows: dict[str, list[Any]] = {"a": [], "b": []}
        changes = []
        for depth in range(states["forget"].shape[2]):
            found = [_measures([each[:, side, depth] for each in states.values()], classes, trials) for side in (0, 1)]
            for side, own in zip("ab", found):
                rows[side].append(_row(Row, depth, own, number, expected_variance_ratio=expected))
            changes.append(_row(ChangeRow, depth, _changes(*found), number))
        tables = {f"separation_metrics_model_{side}": rows[side] for side in "ab"} | {"separation_changes": changes}
        return Findings(tables, self._summary(changes, dict(zip(splits, sizes))), "separation_summary")

    def _trials(self, splits: list[str]) -> dict[str, Trial]:
        trials = {}
        for ending, (first, second) in CONTRASTS.items():
            if first in splits and second in splits:
                keys = self.states[first].keys, self.states[second].keys
                trials[ending] = mathematics.probes.trial(*keys, self.settings.seeds)
                if not trials[ending].enough:
                    raise BadInput(
                        f"{NAME} needs at least two different {first} and {second} texts, none of them in both files"
                    )
        return trials

    def _summary(self, changes: list[Any], sizes: dict[str, int]) -> dict[str, Any]:
        def mean(name: str) -> float:
            values: list[float] = [getattr(row, name) for row in changes]
            return sum(values) / len(changes)

        largest = max(changes, key=lambda row: row.cosine_distance_change)
        summary: dict[str, Any] = {"model_a": self.models[0], "model_b": self.models[1]}
        for ending in CONTRASTS:
            summary[f"avg_cosine_change{ending}"] = mean(f"cosine_distance_change{ending}")
            summary[f"avg_auc_change{ending}"] = mean(f"linear_discriminability_auc_change{ending}")
        return summary | {
            "max_separation_layer": largest.layer,
            "max_separation_value": largest.cosine_distance_change,
            "max_separation_value_low": largest.cosine_distance_change_low,
            "max_separation_value_high": largest.cosine_distance_change_high,
            "texts": sizes,
        }


def _measures(features: list[Tensor], classes: dict[str, Class], trials: dict[str, Trial]) -> dict[str, Tensor]:
    """Every measure of one model at one depth for every row of weights, ``[1 + seeds + DRAWS]`` each.

    ``features`` are ``[texts, width]`` of each split; all is computed from their inner products.
    """
    import torch

    separation, probes = mathematics.separation, mathematics.probes
    vectors = torch.cat(features)
    gram = separation.gram(vectors)
    values: dict[str, Tensor] = {}
    for ending, pair in CONTRASTS.items():
        if ending not in trials:
            continue
        first, second = (classes[split] for split in pair)
        for name in ("cosine_distance", "euclidean_distance", "variance_ratio"):
            values[f"{name}{ending}"] = getattr(separation, name)(gram, first, second)
        trial = trials[ending]
        chosen = torch.cat([trial.first + first.places.start, trial.second + second.places.start])
        scores = probes.discriminant_scores(gram.matrix[chosen][:, chosen], vectors.shape[1], trial)
        values[f"linear_discriminability_auc{ending}"] = probes.area_under_curve(scores, trial)
    for split in ("forget", "retain"):
        values[f"{split}_centroid_norm"] = separation.norm(gram, classes[split])
    return values


def _changes(a: dict[str, Tensor], b: dict[str, Tensor]) -> dict[str, Tensor]:
    return {
        f"{name}_change{ending}": b[f"{name}{ending}"] - a[f"{name}{ending}"]
        for ending in CONTRASTS
        for name in CHANGES
        if f"{name}{ending}" in a
    }


def _row(row_type: Any, depth: int, values: dict[str, Tensor], seeds: int, **more: float) -> Any:
    """A row with the spread of every column that has one; what was not measured is NaN."""
    import torch

    names = {each.name for each in fields(row_type)}
    found = mathematics.intervals.spreads(torch.stack(list(values.values()), dim=1), seeds)
    columns: dict[str, Any] = dict.fromkeys(names, math.nan) | more
    for name, spread in zip(values, found, strict=True):
        columns |= {key: value for key, value in spread_columns(name, spread).items() if key in names}
    return row_type(**columns | {"layer": depth})
