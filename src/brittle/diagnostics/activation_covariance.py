"""Does the intervention change the shape of the activation distribution?

Per depth and split, λ are the eigenvalues, largest first, of the covariance (divided by n − 1) of the hidden states of
all real tokens; depth 0 is the embedding output, depth l the output of block l, before the final norm.

  effective rank     fewest eigenvalues that hold 99 % of their sum
  spectral entropy   −Σ p ln p of their shares p, in nats
  Wasserstein        mean |λ_b,i − λ_a,i| over the 100 largest (Wasserstein-1 of the two lists), in squared activation
                     units: it grows with the square of their scale and is ruled by the largest eigenvalues
  relative           the same over the mean of A's list: free of units, still ruled by the largest
  log change         mean |ln(λ_b,i / λ_a,i)| over the same: free of units, every eigenvalue counts alike
  top-10 change      mean |λ_b,i − λ_a,i| over mean λ_a,i of the ten largest
  selectivity ratio  Wasserstein on forget text over Wasserstein on retain text

Seeds draw the texts anew by the Bayesian bootstrap (Rubin 1981): each text counts as an exponential number that is
drawn from the text itself, the same for both models, so that one pass serves all. Each seed costs a covariance, hence
they stay few, and ``_low`` and ``_high`` are the value minus and plus Student's t times their deviation.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING

from brittle import mathematics
from brittle.contracts import Figure, Findings, Headline, seeds
from brittle.records import column, spread_columns, with_spread
from brittle.settings import BadInput, setting

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from brittle.mathematics.intervals import Spread
    from brittle.mathematics.moments import Moments
    from brittle.models.observation import ActivationObservation

NAME = "activation_covariance"
STEP = 9
PROGRAM = "activation_covariance_analysis"
NEEDS = "activations"
SCOPE = "pair"
TOP = 100
"""Eigenvalues that the two spectra are compared by, as documented."""
SPLITS = ("forget", "retain")


@dataclass(frozen=True)
class Settings:
    """How much text is read, and at which depths.

    Memory is (1 + seeds) · width² · 8 bytes per depth, split and model, and as much again for the random control:
    70 GB each with 33 depths of width 4096. A stride of 4 takes a quarter of that.
    """

    max_samples: int = setting(500, "texts per split, from the start of the file", minimum=2)
    max_length: int = setting(512, "longest text in tokens; the rest is cut", minimum=1)
    batch_size: int = setting(8, "texts per forward pass; changes speed and memory only", minimum=1)
    layers_to_analyze: tuple[int, ...] = setting((), "depths such as 0,4,8; 0 is the embedding output (default: all)")
    layer_stride: int = setting(1, "where no depths are named: every so manieth, and the last", minimum=1)
    seeds: tuple[int, ...] = seeds()


@dataclass(frozen=True)
class DocumentedRow:
    """``covariance_metrics.csv``: one depth."""

    layer: int = column("depth: 0 is the embedding output, l the output of block l (before the final norm)")
    forget_eff_rank_a: float = column("eigenvalues that hold 99 % of the variance on forget texts, model A")
    forget_eff_rank_b: float = column("the same of model B")
    retain_eff_rank_a: float = column("the same on retain texts, model A")
    retain_eff_rank_b: float = column("the same of model B")
    forget_entropy_a: float = column("spectral entropy in nats on forget texts, model A; at most ln(width)")
    forget_entropy_b: float = column("the same of model B")
    retain_entropy_a: float = column("the same on retain texts, model A")
    retain_entropy_b: float = column("the same of model B")
    forget_wasserstein: float = column("mean |λ_b − λ_a| of the 100 largest eigenvalues on forget texts (units²)")
    retain_wasserstein: float = column("the same on retain texts")
    forget_top10_change: float = column("mean |λ_b − λ_a| / mean λ_a of the ten largest eigenvalues on forget texts")
    retain_top10_change: float = column("the same on retain texts")
    forget_relative_wasserstein: float = column("forget_wasserstein over the mean of A's 100 largest eigenvalues")
    retain_relative_wasserstein: float = column("the same on retain texts")
    forget_log_change: float = column("mean |ln(λ_b / λ_a)| of the 100 largest eigenvalues on forget texts")
    retain_log_change: float = column("the same on retain texts")
    selectivity_ratio: float = column("forget_wasserstein / retain_wasserstein; empty where retain did not change")
    relative_selectivity_ratio: float = column("forget_relative_wasserstein / retain_relative_wasserstein")


MEASURES = tuple(each.name for each in fields(DocumentedRow)[1:])
Row = with_spread(DocumentedRow, MEASURES)
FIGURES = (
    Figure(
        "covariance_analysis", "covariance_metrics", "layer",
        ("forget_relative_wasserstein", "retain_relative_wasserstein", "forget_log_change", "retain_log_change"),
        "Change of the activations' covariance spectrum",
        "Forget above retain: the intervention reshapes forget text alone. Equal curves: it reshapes everything.",
    ),
    Figure(
        "covariance_spectra", "covariance_metrics", "layer",
        ("forget_eff_rank_a", "forget_eff_rank_b", "forget_entropy_a", "forget_entropy_b"),
        "Dimensions that forget-text activations occupy",
        "One giant direction brings both to their floor; then the change of logarithms says more.",
    ),
)  # fmt: skip
HEADLINES = (
    Headline("avg_forget_wasserstein", "change of the covariance spectrum on forget texts", thesis="below", log=True),
)


@dataclass
class Fitter:
    """Keeps weighted moments per split, depth and model, one set for the texts as they are and one per seed."""

    settings: Settings
    moments: dict[tuple[str, int, str], Moments] = field(default_factory=dict)
    depths: tuple[int, ...] = ()
    models: tuple[str, str] = ("", "")

    def update(self, observation: ActivationObservation) -> Fitter:
        """Take in one batch that both models saw."""
        import torch

        split = observation.split
        if split not in SPLITS:
            return self
        if not self.depths:
            self.depths = _depths(self.settings, observation.depths - 1)
            hidden = observation.tokens("a", 0)
            _check_memory(len(self.depths), 1 + len(self.settings.seeds), hidden.shape[1], hidden.device)
        self.models = observation.model_a, observation.model_b
        drawn = [
            [1.0, *(mathematics.moments.text_weight(f"{split} {key}", seed) for seed in self.settings.seeds)]
            for key in observation.keys
        ]
        texts = observation.text_of_token
        weights = torch.tensor(drawn, dtype=torch.float64, device=texts.device)[texts]
        for depth in self.depths:
            for side in "ab":
                moments = self.moments.setdefault(
                    (split, depth, side), mathematics.moments.Moments(1 + len(self.settings.seeds))
                )
                moments.update(observation.tokens(side, depth), weights)
        return self

    def finish(self) -> Findings:
        """One row per depth, and ratios of the means over depths in the summary."""
        found = {depth: self._at(depth) for depth in self.depths}
        rows = [
            Row(layer=depth, **_columns({name: [own[name] for own in each] for name in MEASURES}))
            for depth, each in found.items()
        ]
        replicates = range(1 + len(self.settings.seeds))
        averages = [
            {name: sum(each[index][name] for each in found.values()) / len(found) for name in MEASURES}
            for index in replicates
        ]
        first = averages[0]
        ratio = [_quotient(own["forget_wasserstein"], own["retain_wasserstein"]) for own in averages]
        summary = {
            "model_a": self.models[0],
            "model_b": self.models[1],
            "avg_forget_wasserstein": first["forget_wasserstein"],
            "avg_retain_wasserstein": first["retain_wasserstein"],
            "forget_more_affected": first["forget_wasserstein"] > first["retain_wasserstein"],
            **spread_columns("selective_ratio", _spread(ratio)),
            "relative_selective_ratio": _quotient(
                first["forget_relative_wasserstein"], first["retain_relative_wasserstein"]
            ),
            "log_selective_ratio": _quotient(first["forget_log_change"], first["retain_log_change"]),
            "layers_analyzed": list(self.depths),
        }
        return Findings({"covariance_metrics": rows}, summary, "covariance_summary")

    def _at(self, depth: int) -> list[dict[str, float]]:
        """Every measure at one depth: of the texts as they are, then by seed. Moments are freed as they are read."""
        found: list[dict[str, float]] = [{} for _ in range(1 + len(self.settings.seeds))]
        for split in SPLITS:
            a, b = (self._spectra(split, depth, side) for side in "ab")
            for own, before, after in zip(found, a, b):
                own |= _measures(split, before, after)
        for own in found:
            for kind in ("", "relative_"):
                sides = (own[f"{split}_{kind}wasserstein"] for split in SPLITS)
                own[f"{kind}selectivity_ratio"] = _quotient(*sides)
        return found

    def _spectra(self, split: str, depth: int, side: str) -> list[Tensor]:
        moments = self.moments.pop((split, depth, side))
        if moments.seen < 2:
            raise BadInput(f"{NAME} needs at least two tokens of {split} text")
        return [mathematics.moments.eigenvalues(each) for each in moments.covariances()]


def check_layers(settings: Settings, blocks: int) -> None:
    """Refuse depths that a model with so many blocks does not have."""
    for depth in settings.layers_to_analyze:
        if not 0 <= depth <= blocks:
            raise BadInput(f"--layers-to-analyze: depth {depth} is not among the model's depths 0 to {blocks}")


def _depths(settings: Settings, blocks: int) -> tuple[int, ...]:
    check_layers(settings, blocks)
    return tuple(sorted(set(settings.layers_to_analyze or (*range(0, blocks, settings.layer_stride), blocks))))


def _check_memory(depths: int, weightings: int, width: int, device: torch.device) -> None:
    from brittle.models import devices

    needed, free = 2 * len(SPLITS) * depths * weightings * width**2 * 8, devices.free_memory(device)
    if needed > free:
        raise BadInput(
            f"the covariances of {depths} depths need {needed / 2**30:.1f} GiB and {free / 2**30:.1f} GiB are free on "
            f"{device}; give a larger --layer-stride, or --layers-to-analyze"
        )


def _measures(split: str, a: Tensor, b: Tensor) -> dict[str, float]:
    moments = mathematics.moments
    distance = moments.wasserstein(a[:TOP], b[:TOP])
    return {
        f"{split}_eff_rank_a": moments.effective_rank(a),
        f"{split}_eff_rank_b": moments.effective_rank(b),
        f"{split}_entropy_a": moments.spectral_entropy(a),
        f"{split}_entropy_b": moments.spectral_entropy(b),
        f"{split}_wasserstein": distance,
        f"{split}_top10_change": moments.top_change(a, b),
        f"{split}_relative_wasserstein": _quotient(distance, float(a[:TOP].mean())),
        f"{split}_log_change": moments.mean_log_ratio(a[:TOP], b[:TOP]),
    }


def _quotient(above: float, below: float) -> float:
    return above / below if below > 0 else math.nan


def _columns(values: dict[str, list[float]]) -> dict[str, float]:
    columns: dict[str, float] = {}
    for name, replicates in values.items():
        columns |= spread_columns(name, _spread(replicates))
    return columns


def _spread(replicates: list[float]) -> Spread:
    """From the value and one replicate per seed; no measure of this file is below 0."""
    value, *by_seed = replicates
    mean, deviation, half = mathematics.moments.resampled_spread(by_seed)
    return mathematics.intervals.Spread(value, mean, deviation, max(value - half, 0.0), value + half)
