"""Linear classifiers between two sets of texts, judged on texts that they were not fitted to.

Scores are above 0 for the first class. Statistics are taken of every row of weights that the bootstrap draws
(:func:`brittle.mathematics.intervals.weights_of_texts`), so that an interval and a paired difference cost a product.
The interval resamples the texts held out; classifiers are not fitted again.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from brittle.mathematics import intervals

HELD_OUT = 0.2
TIE = 1e-6
"""Scores closer than this share of the largest are equal: rounding decides no comparison."""
LEAST_SHRINKAGE = 1e-6
ROUNDING = 1e-13


@dataclass(frozen=True)
class Trial:
    """Two classes of texts, each text once and none in both, with those held out for every seed."""

    first: Tensor
    """Places of the first class in the list of its texts, ``[texts]``."""
    second: Tensor
    held_out: Tensor
    """``[seeds, first + second]`` bool: a fifth of each class."""
    weights: Tensor
    """``[1 + seeds + DRAWS, first + second]``: how often a text counts."""

    @property
    def positive(self) -> Tensor:
        """``[first + second]`` bool: whether a text is of the first class."""
        return torch.arange(len(self.first) + len(self.second)) < len(self.first)

    @property
    def enough(self) -> bool:
        """Whether each class has a text to learn from and one to be judged on."""
        return min(len(self.first), len(self.second)) >= 2


def trial(first: Sequence[str], second: Sequence[str], seeds: Sequence[int]) -> Trial:
    """Split two classes, given by the keys of their texts, once for every seed, stratified 80/20.

    A text that stands in both classes belongs to neither and is left out; of equal texts one is kept, lest the same
    text be learnt and judged.
    """
    own, other = ({key: index for index, key in enumerate(keys)} for keys in (first, second))
    places = [[place for key, place in a.items() if key not in b] for a, b in ((own, other), (other, own))]
    kept = [[keys[place] for place in part] for keys, part in zip((first, second), places)]
    held = [torch.tensor([*_held_out(kept[0], seed), *_held_out(kept[1], seed)]).bool() for seed in seeds]
    drawn = [intervals.weights_of_texts(len(keys), seeds, split) for split, keys in enumerate(kept) if keys]
    weights = torch.cat(drawn, dim=1) if drawn else torch.zeros(1, 0)
    return Trial(torch.tensor(places[0]).long(), torch.tensor(places[1]).long(), torch.stack(held), weights)


def _held_out(keys: Sequence[str], seed: int) -> list[bool]:
    """A fifth of the texts, at least one, never all: those with the smallest hashes of seed and key."""
    lots = [hashlib.sha256(f"{seed} {key}".encode()).hexdigest() for key in keys]
    number = max(1, round(HELD_OUT * len(keys)))
    chosen = set(sorted(lots)[:number])
    return [lot in chosen for lot in lots]


def logistic_scores(features: Tensor, trial: Trial, strength: float, iterations: int) -> Tensor:
    """Decision values of an L2-regularised logistic regression, ``[seeds, texts]`` float64, one fit for every seed.

    ``features`` ``[first + second, width]``, standardised by the mean and deviation of the texts learnt from;
    ``strength`` is scikit-learn's C, the inverse of the penalty. Where there are more features than texts the fit runs
    in the span of the texts, which holds the solution (Kimeldorf and Wahba 1971): same result, less work.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    features, labels, found = features.double(), trial.positive, []
    for held in trial.held_out:
        learnt = features[~held]
        deviation = learnt.std(dim=0, correction=0)
        constant = deviation <= 1e-6 * learnt.abs().mean(dim=0)
        standard = ((features - learnt.mean(dim=0)) / deviation).masked_fill(constant, 0.0)
        if standard.shape[1] > int((~held).sum()):
            standard = standard @ torch.linalg.qr(standard[~held].T).Q
        model = LogisticRegression(C=strength, max_iter=iterations)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # --max-iter is the user's to choose
            model.fit(standard[~held].numpy(), labels[~held].numpy())
        found.append(torch.from_numpy(model.decision_function(standard.numpy())))
    return torch.stack(found)


def discriminant_scores(gram: Tensor, width: int, trial: Trial) -> Tensor:
    """Projections on Fisher's discriminant with a shrunk covariance, ``[seeds, texts]`` float64.

    ``w = ((1 − ρ) S + ρ (tr S / width) I)⁻¹ (m₁ − m₂)`` with S the pooled within-class covariance and m the class
    means of the texts learnt from; ρ is Ledoit and Wolf's (2004), which keeps S invertible where there are fewer texts
    than dimensions. Only inner products are read: ``gram`` ``[first + second, first + second]``, whose smaller system
    takes the place of the width² one (Woodbury). Scale and rotation of the features change no order.
    """
    return torch.stack([_discriminant(gram.double(), width, trial.positive, ~held) for held in trial.held_out])


def _discriminant(gram: Tensor, width: int, positive: Tensor, learnt: Tensor) -> Tensor:
    own = positive[learnt].long()
    averaging = torch.stack([1 - own, own]).to(gram)
    averaging /= averaging.sum(dim=1, keepdim=True)

    def centred(rows: Tensor) -> Tensor:
        """Less the mean of their class, ``[learnt, ...]``."""
        return rows - (averaging @ rows)[own]

    direction, across = averaging[1] - averaging[0], gram[:, learnt]
    half = centred(across[learnt])
    within, scores = centred(half.T), across @ direction
    shrinkage = _shrinkage(within, width)
    if shrinkage is not None:
        number = len(own)
        within.diagonal().add_(number * shrinkage)
        solved = torch.cholesky_solve((half @ direction)[:, None], torch.linalg.cholesky(within))[:, 0]
        scores = scores - across @ centred(solved)
    return scores.masked_fill(scores.abs() < ROUNDING * gram.abs().max(), 0.0)


def _shrinkage(within: Tensor, width: int) -> float | None:
    """``ρ μ / (1 − ρ)``, what is added to the diagonal of S, from the Gram matrix of centred rows; None: all of it."""
    number = len(within)
    mean = float(within.trace()) / number / width
    size = float(within.square().sum()) / number**2
    distance = size - width * mean**2
    error = (float(within.diagonal().square().sum()) / number - size) / number
    if mean <= 0 or distance <= 0 or error >= distance:
        return None
    share = max(error / distance, LEAST_SHRINKAGE)
    return share * mean / (1 - share)


def accuracy(scores: Tensor, trial: Trial) -> Tensor:
    """Share of held-out texts on the right side of 0, ``[1 + seeds + DRAWS]``: mean over seeds, by seed, draws.

    A score of 0 (to rounding) counts half.
    """
    right = _above(scores * torch.where(trial.positive, 1.0, -1.0).double(), _tolerance(scores))
    by_seed = torch.stack([own[held].mean() for own, held in zip(right, trial.held_out)])
    judged = trial.held_out.double()
    draws = _draws(trial)
    pooled = (draws @ (right * judged).sum(0)) / (draws @ judged.sum(0))
    return torch.cat([by_seed.mean()[None], by_seed, pooled])


def training_accuracy(scores: Tensor, trial: Trial) -> float:
    """Share of the texts learnt from on the right side of 0, mean over seeds."""
    right = _above(scores * torch.where(trial.positive, 1.0, -1.0).double(), _tolerance(scores))
    return float(right[~trial.held_out].mean())


def majority_baseline(trial: Trial) -> float:
    """Share of the larger class among the texts held out, mean over seeds: what answering it always would score."""
    shares = torch.stack([trial.positive[held].double().mean() for held in trial.held_out])
    return float(torch.maximum(shares, 1 - shares).mean())


def area_under_curve(scores: Tensor, trial: Trial) -> Tensor:
    """Chance that a held-out text of the first class scores above one of the second, ties counting half.

    ``[1 + seeds + DRAWS]``: mean over seeds, by seed, draws. 0.5 is chance, 1 perfect.  Hanley and McNeil 1982.
    """
    draws, by_seed = _draws(trial), []
    above = torch.zeros(len(draws), dtype=torch.float64)
    pairs = torch.zeros_like(above)
    for own, held, tolerance in zip(scores, trial.held_out, _tolerance(scores)):
        first, second = held & trial.positive, held & ~trial.positive
        wins = _above(own[first, None] - own[None, second], tolerance)
        by_seed.append(wins.mean())
        above += ((draws[:, first] @ wins) * draws[:, second]).sum(dim=1)
        pairs += draws[:, first].sum(dim=1) * draws[:, second].sum(dim=1)
    seeds = torch.stack(by_seed)
    return torch.cat([seeds.mean()[None], seeds, above / pairs])


def _draws(trial: Trial) -> Tensor:
    return trial.weights[1 + len(trial.held_out) :]


def _tolerance(scores: Tensor) -> Tensor:
    """``[seeds, 1]``."""
    return TIE * (scores - scores.mean(dim=1, keepdim=True)).abs().amax(dim=1, keepdim=True)


def _above(differences: Tensor, tolerance: Tensor) -> Tensor:
    """1 where above 0, ½ where 0 to within the tolerance, else 0."""
    return (differences > tolerance).double() + 0.5 * (differences.abs() <= tolerance).double()
