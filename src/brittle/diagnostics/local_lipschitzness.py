"""Did the intervention make the model's output more or less sensitive to noise on its input embeddings?

For a text with embeddings e (all its tokens, entries of one matrix) and Gaussian noise δ of standard deviation ε per
entry, the same for both models:

  Lipschitz estimate  max over δ of max(‖Δh‖_F, ‖Δlogits‖_F) / ‖δ‖_F, a lower bound of the true local constant
  gradient norm       ‖∇_e mean(logits)‖_F, as documented. A constant added to all logits changes no probability but
                      does change their mean, so this also sees what no output shows
  likelihood gradient ‖∇_e NLL‖_F, NLL in nats per predicted token: what an attack on the input would climb
  output variance     variance of a logit over the noise, mean over all logits
  divergence          KL(clean ‖ noisy) per ε² of the next-token distributions, mean over tokens: free of the logits'
                      scale, about half the trace of their Fisher information in embedding space

h is the last hidden state after the final norm. Averages are over texts and over seeds, each of which makes its own
noise; a change is B's average over A's, less one, on the same texts and noise. Everything is computed in float32.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from brittle import mathematics
from brittle.contracts import Figure, Findings, Headline, seeds
from brittle.records import column, spread_columns, with_spread
from brittle.settings import setting

if TYPE_CHECKING:
    from torch import Tensor

    from brittle.mathematics.intervals import Spread
    from brittle.models.perturbation import Responses
    from brittle.models.sensitivity import SensitivityObservation

NAME = "lipschitzness"
STEP = 12
PROGRAM = "local_lipschitzness_analysis"
NEEDS = "sensitivity"
SCOPE = "pair"
SMOOTHER, ROUGHER, UNTOUCHED = 0.9, 1.1, 0.95
"""Documented bounds on B's estimate over A's: below the first is smoother, above the second rougher; retain text above
the third counts as untouched."""


@dataclass(frozen=True)
class Settings:
    """How much noise on how many texts. Each number of texts counts from the start of the file."""

    epsilon: float = setting(0.01, "standard deviation of the noise on each entry of the embeddings", above=0)
    num_perturbations: int = setting(10, "noisy copies of a text from which the output variance is taken", minimum=2)
    max_samples: int = setting(500, "texts per split at most, whatever the next three say", minimum=1)
    lipschitz_texts: int = setting(500, "texts whose Lipschitz estimate and divergence are taken", minimum=1)
    lipschitz_perturbations: int = setting(5, "noisy copies of each for every seed; more find larger ones", minimum=1)
    gradient_texts: int = setting(500, "texts whose gradients are taken", minimum=1)
    variance_texts: int = setting(500, "texts whose output variance is taken", minimum=1)
    max_length: int = setting(512, "longest text in tokens; the rest is cut", minimum=1)
    batch_size: int = setting(8, "noisy copies per forward pass; changes speed and memory only", minimum=1)
    seeds: tuple[int, ...] = seeds()


@dataclass(frozen=True)
class DocumentedRow:
    """``lipschitzness_summary.csv``: one model on one split."""

    model: str = column("A or B")
    data: str = column("forget or retain")
    avg_lipschitz: float = column("Lipschitz estimate, mean over texts and seeds")
    std_lipschitz: float = column("its standard deviation over texts (of their means over seeds)")
    avg_gradient_norm: float = column("‖∇ mean(logits)‖_F with respect to the embeddings, mean over texts")
    std_gradient_norm: float = column("its standard deviation over texts")
    avg_output_variance: float = column("variance of a logit over noisy copies, mean over logits, texts and seeds")
    std_output_variance: float = column("its standard deviation over texts")
    avg_likelihood_gradient: float = column("‖∇ NLL‖_F, NLL in nats per token, mean over texts of two tokens or more")
    avg_divergence: float = column("KL(clean ‖ noisy) in nats per token over ε², mean over texts and seeds")
    lipschitz_change: float = column("avg_lipschitz of B over that of A, less 1; 0 for A")
    likelihood_gradient_change: float = column("the same of avg_likelihood_gradient")
    divergence_change: float = column("the same of avg_divergence")
    share_smoother: float = column(f"share of texts whose Lipschitz estimate falls below {SMOOTHER} of A's; 0 for A")
    share_rougher: float = column(f"share of texts whose Lipschitz estimate rises above {ROUGHER} of A's; 0 for A")
    noise_share: float = column("‖δ‖_F / ‖e‖_F, mean over texts: how local the estimates are")
    texts: int = column("texts behind the Lipschitz estimate")


MEASURES = {
    "avg_lipschitz": "lipschitz",
    "avg_gradient_norm": "gradient",
    "avg_output_variance": "variance",
    "avg_likelihood_gradient": "likelihood_gradient",
    "avg_divergence": "divergence",
}
DEVIATIONS = ("avg_lipschitz", "avg_gradient_norm", "avg_output_variance")
CHANGES = {
    "lipschitz_change": "lipschitz",
    "likelihood_gradient_change": "likelihood_gradient",
    "divergence_change": "divergence",
}
Measured = Sequence[dict[str, list[float]]]
"""Measures of each text by seed."""
Row = with_spread(DocumentedRow, (*MEASURES, *CHANGES))
FIGURES = (
    Figure(
        "lipschitzness_analysis", "lipschitzness_summary", "data",
        ("avg_lipschitz", "avg_likelihood_gradient", "avg_divergence"),
        "Sensitivity to noise on the input embeddings",
        "B above A is rougher, below is smoother. Equal bars on retain texts mean that general ability was left alone.",
        by="model", kind="bar",
    ),
)  # fmt: skip
HEADLINES = (
    Headline("forget_lipschitz_change", "response to noise on forget texts, B over A", 1.0, "above", log=True),
    Headline(
        "forget_likelihood_gradient_change", "slope of the likelihood on forget texts, B over A", 1.0, "above", log=True
    ),
)


class Fitter:
    """Keeps each text's responses, a few numbers; texts are told apart by their tokens, not by their order."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.seen: dict[str, list[SensitivityObservation]] = {}

    def update(self, observation: SensitivityObservation) -> Fitter:
        """Take in one text that both models saw."""
        if observation.b is None:
            raise ValueError("lipschitzness needs both models of a pair")
        self.seen.setdefault(observation.split, []).append(observation)
        return self

    def finish(self) -> Findings:
        """Two rows per split, and in the summary whether forget text alone became smoother."""
        rows: list[Any] = []
        for split in ("forget", "retain"):
            observed = sorted(self.seen[split], key=lambda each: (each.digest, each.text_index))
            a, b = ([self._measured(getattr(each, side), each.text_index) for each in observed] for side in "ab")
            rows += [self._row("A", split, a, a), self._row("B", split, a, b)]
        forget, retain = (1 + rows[index].lipschitz_change for index in (1, 3))
        first = self.seen["forget"][0]
        summary = {
            "model_a": first.model_a,
            "model_b": first.model_b,
            "forget_lipschitz_change": forget,
            "retain_lipschitz_change": retain,
            "forget_smoother": forget < SMOOTHER,
            "forget_rougher": forget > ROUGHER,
            "selective_smoothing": forget < SMOOTHER and retain > UNTOUCHED,
            "forget_divergence_change": 1 + rows[1].divergence_change,
            "retain_divergence_change": 1 + rows[3].divergence_change,
            "forget_likelihood_gradient_change": 1 + rows[1].likelihood_gradient_change,
            "retain_likelihood_gradient_change": 1 + rows[3].likelihood_gradient_change,
            "epsilon": self.settings.epsilon,
            "num_perturbations": self.settings.num_perturbations,
        }
        return Findings({"lipschitzness_summary": rows}, summary, "lipschitz_summary")

    def _measured(self, response: Responses, index: int) -> dict[str, list[float]]:
        """Every measure of one text by seed; NaN where the text was not in that part of the plan."""
        number = len(self.settings.seeds)
        copies = self.settings.lipschitz_perturbations if index < self.settings.lipschitz_texts else 0
        found = {name: [math.nan] * number for name in ("lipschitz", "divergence", "noise")}
        if copies:
            noise = response.noise[:, :copies]
            ratios = response.hidden_change[:, :copies].maximum(response.logit_change[:, :copies]) / noise
            found["lipschitz"] = ratios.amax(dim=1).tolist()
            found["divergence"] = (response.divergence[:, :copies].mean(dim=1) / self.settings.epsilon**2).tolist()
            found["noise"] = (noise.mean(dim=1) / response.embedding).tolist()
        found["variance"] = response.variance.tolist()
        found["gradient"] = [response.gradient] * number
        found["likelihood_gradient"] = [response.likelihood_gradient] * number
        return found

    def _row(self, model: str, split: str, a: Measured, own: Measured) -> Any:
        columns: dict[str, Any] = {}
        for name, measure in MEASURES.items():
            _, values = _values(a, own, measure)
            columns |= spread_columns(name, _spread(_mean, [values], self.settings.seeds))
            if name in DEVIATIONS:
                columns[name.replace("avg_", "std_")] = float(values.mean(dim=1).std(correction=0))
        for name, measure in CHANGES.items():
            columns |= spread_columns(name, _spread(_relative_change, _values(a, own, measure), self.settings.seeds))
        before, after = (values.mean(dim=1) for values in _values(a, own, "lipschitz"))
        return Row(
            model=model,
            data=split,
            share_smoother=float((after < SMOOTHER * before).double().mean()),
            share_rougher=float((after > ROUGHER * before).double().mean()),
            noise_share=float(_values(a, own, "noise")[1].mean()),
            texts=len(after),
            **columns,
        )


def _values(a: Measured, own: Measured, measure: str) -> tuple[Tensor, Tensor]:
    """One measure of A and of the row's own model on all texts that have it, ``[texts, seeds]`` float64 each.

    A text that was not measured is NaN on both sides. NaN on one side alone is a broken model, and stays to be seen.
    """
    import torch

    sides = [torch.tensor([each[measure] for each in side], dtype=torch.float64) for side in (a, own)]
    measured = ~(sides[0].isnan() & sides[1].isnan()).any(dim=1)
    return sides[0][measured], sides[1][measured]


def _mean(average: Tensor) -> Tensor:
    return average


def _relative_change(before: Tensor, after: Tensor) -> Tensor:
    return after / before - 1


def _spread(combine: Callable[..., Tensor], sides: Sequence[Tensor], seeds: Sequence[int]) -> Spread:
    """A combination of averages over texts, ``[texts, seeds]`` each, with its uncertainty.

    A seed's value rests on its own noise and on its own draw of texts; the interval resamples texts, noise averaged.
    """
    import torch

    intervals = mathematics.intervals
    number = len(sides[0])
    if not number:
        return intervals.Spread(*[math.nan] * 5)

    def combined(weights: Tensor, seed: slice) -> Tensor:
        return combine(*(weights @ side[:, seed].mean(dim=1) / number for side in sides))

    value = float(combined(torch.ones(1, number, dtype=torch.float64), slice(None)))
    by_seed = torch.cat([combined(intervals.resampled(number, seed), slice(i, i + 1)) for i, seed in enumerate(seeds)])
    draws = combined(intervals.resampled(number, seeds[0], intervals.DRAWS), slice(None))
    low, high = torch.quantile(draws, torch.tensor([0.025, 0.975], dtype=draws.dtype)).tolist()
    deviation = float(by_seed.std()) if len(seeds) > 1 else 0.0
    return intervals.Spread(value, float(by_seed.mean()), deviation, low, high)
