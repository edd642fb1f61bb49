"""How far two classes of vectors are apart, from inner products alone; weights say how often a vector counts."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Class:
    """A class of vectors within a list whose Gram matrix is known."""

    places: slice
    shares: Tensor
    """Weights of its vectors, each row sums to 1, ``[draws, vectors]``."""

    @classmethod
    def of(cls, places: slice, weights: Tensor) -> Class:
        """From how often each vector counts, ``[draws, vectors]``."""
        return cls(places, weights / weights.sum(dim=1, keepdim=True))


@dataclass(frozen=True, eq=False)
class Gram:
    """The inner products of a list of vectors; those of centroids are kept, because all measures read the same few."""

    matrix: Tensor
    """``[vectors, vectors]`` float64."""
    centroids: dict[tuple[Class, Class], Tensor] = field(default_factory=dict)


def inner_product(gram: Gram, first: Class, second: Class) -> Tensor:
    """Of the two centroids, ``[draws]``."""
    if (first, second) not in gram.centroids:
        products = first.shares @ gram.matrix[first.places, second.places]
        gram.centroids[first, second] = (products * second.shares).sum(dim=1)
    return gram.centroids[first, second]


def norm(gram: Gram, one: Class) -> Tensor:
    """Length of the centroid, ``[draws]``."""
    return inner_product(gram, one, one).clamp(min=0).sqrt()


def cosine_distance(gram: Gram, first: Class, second: Class) -> Tensor:
    """``1 − cos(c₁, c₂)`` of the centroids, 0 to 2, ``[draws]``; NaN beside a zero centroid."""
    return 1 - inner_product(gram, first, second) / (norm(gram, first) * norm(gram, second))


def euclidean_distance(gram: Gram, first: Class, second: Class) -> Tensor:
    """``‖c₁ − c₂‖₂`` of the centroids, ``[draws]``."""
    own, other = (inner_product(gram, each, each) for each in (first, second))
    return (own + other - 2 * inner_product(gram, first, second)).clamp(min=0).sqrt()


def variance_ratio(gram: Gram, first: Class, second: Class) -> Tensor:
    """Variance of the two centroids over the mean variance within a class, both per dimension, ``[draws]``.

    ``‖c₁ − c₂‖² / 4`` over ``(tr Σ₁ + tr Σ₂) / 2``, population variances. Scale and rotation change nothing. Infinite
    or NaN where neither class varies.
    """
    within = [
        each.shares @ gram.matrix.diagonal()[each.places] - inner_product(gram, each, each) for each in (first, second)
    ]
    return euclidean_distance(gram, first, second).square() / 4 / ((within[0] + within[1]) / 2)


def expected_variance_ratio(first: int, second: int) -> float:
    """About the variance ratio of two samples of these sizes from one distribution (a ratio of expectations).

    ``E‖c₁ − c₂‖² = tr Σ (1/n₁ + 1/n₂)``, and the population variance within falls short by 1/n.
    """
    share = 1 / first + 1 / second
    return share / 4 / (1 - share / 2)


def gram(vectors: Tensor) -> Gram:
    """Of ``[vectors, width]``."""
    vectors = vectors.double()
    return Gram(vectors @ vectors.T)


def places(sizes: list[int]) -> list[slice]:
    """Where each class lies when their vectors stand one after the other."""
    ends = torch.tensor(sizes).cumsum(0).tolist()
    return [slice(end - size, end) for end, size in zip(ends, sizes)]
