"""Means and covariances from a stream of rows, and what the covariance's spectrum says.

Several weightings of the texts run along in the same stream, one set of sums each. A weight that is drawn from the
text itself needs neither the number of texts nor a second pass: the Bayesian bootstrap (Rubin 1981), whose weights are
exponential with mean 1, so that no text ever vanishes and no resampled covariance loses rank.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence

import torch
from torch import Tensor

BUFFER = 1024
"""Rows that are gathered before a product is formed: many short texts make one large product."""
NEGLIGIBLE = 1e-10
"""Shares of the spectrum below this are rounding."""


def text_weight(key: str, seed: int) -> float:
    """The weight of a text under a seed: exponential with mean 1, the same wherever the text stands."""
    digest = hashlib.sha256(f"{seed} {key}".encode()).digest()
    return -math.log1p(-(int.from_bytes(digest[:8], "big") >> 11) / 2**53)


class Moments:
    """Sums over rows ``[rows, width]`` under several weightings; holds ``weightings · width²`` numbers in float64.

    Rows are gathered to a thousand and shifted by their mean before their product is formed, in float32 (in float64
    for float64 rows); products are moved to a common shift and added in float64. ``Σ xx' − n·mean·mean'`` of float32
    rows would cancel where the mean is large.  Chan, Golub and LeVeque 1983.
    """

    def __init__(self, weightings: int = 1) -> None:
        self.weightings = weightings
        self.seen = 0
        self.total: Tensor | None = None
        self.first: Tensor | None = None
        self.second: Tensor | None = None
        self.shift: Tensor | None = None
        self._waiting: list[tuple[Tensor, Tensor]] = []
        self._gathered = 0

    def update(self, rows: Tensor, weights: Tensor | None = None) -> Moments:
        """Take in rows ``[rows, width]`` and what each counts under every weighting, ``[rows, weightings]`` (1)."""
        if weights is None:
            weights = torch.ones(len(rows), self.weightings, dtype=torch.float64, device=rows.device)
        self._waiting.append((rows if rows.dtype == torch.float64 else rows.float(), weights.double()))
        self.seen += len(rows)
        self._gathered += len(rows)
        if self._gathered >= BUFFER:
            self._add()
        return self

    def _add(self) -> None:
        if not self._gathered:
            return
        rows, weights = (torch.cat(parts) for parts in zip(*self._waiting))
        self._waiting, self._gathered = [], 0
        centre = rows.mean(dim=0)
        if self.shift is None or self.total is None or self.first is None or self.second is None:
            self.shift = centre.double()
            self.total = torch.zeros_like(weights[0])
            self.first = self.shift.new_zeros(self.weightings, len(centre))
            self.second = self.shift.new_zeros(self.weightings, len(centre), len(centre))
        centred, moved = rows - centre, centre.double() - self.shift
        total, first = weights.sum(dim=0), weights.T @ centred.double()
        for index, own in enumerate(weights.T):
            cross = torch.outer(first[index] + 0.5 * total[index] * moved, moved)
            self.second[index] += centred.T @ (centred * own[:, None].to(rows.dtype))
            self.second[index] += cross + cross.T
        self.total += total
        self.first += first + total[:, None] * moved

    def means(self) -> Tensor:
        """``[weightings, width]`` float64."""
        self._add()
        if self.shift is None or self.first is None or self.total is None:
            raise ValueError("no rows were seen")
        return self.shift + self.first / self.total[:, None]

    def covariances(self) -> Tensor:
        """``[weightings, width, width]`` float64, symmetric; divided by n − 1, NaN for a single row.

        Under weights w: ``Σ w (x − m)(x − m)' / Σ w · n / (n − 1)`` with the weighted mean m.
        """
        self._add()
        if self.second is None or self.first is None or self.total is None:
            raise ValueError("no rows were seen")
        means = self.first / self.total[:, None]
        centred = self.second / self.total[:, None, None] - means[:, :, None] * means[:, None, :]
        factor = self.seen / (self.seen - 1) if self.seen > 1 else math.nan
        return factor * (centred + centred.mT) / 2


def eigenvalues(covariance: Tensor) -> Tensor:
    """Eigenvalues of a covariance, largest first, ``[width]`` float64 on the CPU; rounding below 0 is cut off."""
    values: Tensor = torch.linalg.eigvalsh(covariance)
    return values.clamp(min=0).flip(0).cpu()


def effective_rank(values: Tensor, share: float = 0.99) -> int:
    """Fewest leading eigenvalues that hold ``share`` of their sum, ``min k: Σ_{i≤k} λ_i ≥ share · Σ λ_i``; 0 of 0."""
    total = float(values.sum())
    if total == 0:
        return 0
    return min(int((values.cumsum(0) < share * total).sum()) + 1, len(values))


def spectral_entropy(values: Tensor) -> float:
    """``−Σ p ln p`` of the shares ``p_i = λ_i / Σ λ`` in nats: 0 for one direction, ln(width) for equal ones."""
    if not float(values.sum()):
        return 0.0
    shares = values / values.sum()
    shares = shares[shares > NEGLIGIBLE]
    return float(-(shares * shares.log()).sum()) + 0.0


def wasserstein(left: Tensor, right: Tensor) -> float:
    """Wasserstein-1 distance of two equally long lists, ``mean |left_(i) − right_(i)|`` of their sorted values."""
    return float((left.sort().values - right.sort().values).abs().mean())


def top_change(before: Tensor, after: Tensor, count: int = 10) -> float:
    """``mean |after_i − before_i| / mean before_i`` over the ``count`` leading values; NaN beside zeros."""
    before, after = before[:count], after[:count]
    return float((after - before).abs().mean() / before.mean()) if float(before.mean()) else math.nan


def mean_log_ratio(before: Tensor, after: Tensor, resolved: float = 1e-6) -> float:
    """``mean |ln(after_i / before_i)|`` over the leading values that both lists resolve.

    Free of scale in both directions and not ruled by the largest value. Values below ``resolved`` of a list's largest
    do not count, for there both hold rounding; NaN if nothing is left.
    """
    kept = (before > resolved * before[0]) & (after > resolved * after[0])
    return float((after[kept] / before[kept]).log().abs().mean()) if kept.any() else math.nan


def resampled_spread(values: Sequence[float]) -> tuple[float, float, float]:
    """Mean, standard deviation and half width of a 95 % interval from replicates, one per seed.

    The half width is Student's t with one degree of freedom less than there are replicates, times their deviation; a
    few replicates give a wide interval, a single one none (NaN).  Efron and Tibshirani 1993, section 12.4.
    """
    from scipy.stats import t

    replicates = torch.tensor(values, dtype=torch.float64)
    mean = float(replicates.mean())
    if len(values) < 2:
        return mean, 0.0, math.nan
    deviation = float(replicates.std())
    return mean, deviation, float(t.ppf(0.975, len(values) - 1)) * deviation
