"""Leading directions of a matrix, how far two sets of them are apart, and where an update lies among them.

Everything comes from the eigenvectors of the smaller Gram matrix: the other side's vectors are the matrix times these,
``u_i = A v_i / σ_i``, so that no factor is larger than the matrix itself.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from brittle.mathematics import spectra

RESOLVED = 1e-6
"""Directions whose singular value is below this share of the largest are noise of the decomposition."""


@dataclass(frozen=True)
class Decomposition:
    """Singular values, largest first, ``[side]``, and the leading singular vectors of the shorter side, ``[side, kept]``.

    Float64. ``outputs_short`` says which side that is: outputs (left vectors) where rows <= columns, else inputs.
    """

    singular_values: Tensor
    vectors: Tensor
    outputs_short: bool

    @property
    def resolved(self) -> int:
        """How many directions stand out of the noise of the decomposition."""
        return int((self.singular_values > RESOLVED * self.singular_values[0]).sum())

    def gap(self, count: int) -> float:
        """``(σ_k − σ_{k+1}) / σ_k``: near 0 the k leading directions are arbitrary, and any noise turns them."""
        if not 0 < count <= self.resolved:
            return 0.0
        following = float(self.singular_values[count]) if count < len(self.singular_values) else 0.0
        return 1.0 - following / float(self.singular_values[count - 1])


def decompose(matrix: Tensor, keep: int | None = None) -> Decomposition:
    """All singular values of ``[rows, columns]`` and ``keep`` (all by default) vectors of its shorter side.

    Accuracy as :func:`brittle.mathematics.spectra.singular_values`; one symmetric eigenproblem of the shorter side.
    """
    values, vectors = torch.linalg.eigh(spectra.gram(matrix))
    leading = vectors.flip(1)[:, :keep].clone() if keep else vectors.flip(1)
    return Decomposition(values.clamp(min=0).sqrt().flip(0), leading, matrix.shape[0] <= matrix.shape[1])


def leading_basis(matrix: Tensor, decomposition: Decomposition, count: int, outputs: bool) -> Tensor:
    """Orthonormal basis of the ``count`` leading output (or input) directions, ``[outputs or inputs, count]``."""
    vectors = decomposition.vectors[:, :count]
    if outputs == decomposition.outputs_short:
        return vectors
    orthonormal: Tensor = torch.linalg.qr(spectra.times(matrix, vectors))[0]
    return orthonormal


def principal_angles(left: Tensor, right: Tensor) -> Tensor:
    """Angles between two subspaces of equal dimension, smallest first, ``[k]`` in radians, each in [0, π/2].

    ``left`` and ``right`` are orthonormal, ``[dimension, k]``. Cosines are the singular values of ``LᵀR``, sines those
    of ``R − L LᵀR``; the arctangent of both keeps small angles, which a cosine loses below 1e-8.
    Björck and Golub 1973.
    """
    overlap = left.T @ right
    cosines = torch.linalg.svdvals(overlap)
    sines = torch.linalg.svdvals(right - left @ overlap)[: len(cosines)].flip(0)
    return torch.atan2(sines, cosines)


def mean_cosine(angles: Tensor) -> float:
    """``mean_i cos θ_i``: 1 for equal subspaces, 0 for orthogonal ones; NaN without angles."""
    return float(angles.cos().mean())


def chordal_distance(angles: Tensor) -> float:
    """``√(Σ sin² θ_i) = √(k − Σ cos² θ_i)``, at most √k: the distance of the two projections over √2."""
    return float(angles.sin().square().sum().sqrt())


def geodesic_distance(angles: Tensor) -> float:
    """``√(Σ θ_i²)`` in radians, at most ``√k π/2``: the length of the shortest path on the Grassmann manifold."""
    return float(angles.square().sum().sqrt())


@dataclass(frozen=True)
class Shares:
    """Shares of an update's energy ``‖ΔW‖_F²``; inside and outside add to 1 on each side, all 0 without an update."""

    outputs_inside: float = 0.0
    """``‖U_rᵀ ΔW‖² / ‖ΔW‖²``: what it adds along outputs that W already produces."""
    outputs_outside: float = 0.0
    inputs_inside: float = 0.0
    """``‖ΔW V_r‖² / ‖ΔW‖²``: what it reads from inputs that W already reads."""
    inputs_outside: float = 0.0


def update_shares(base: Decomposition, rank: int, update_gram: Tensor, cross_gram: Tensor) -> Shares:
    """Where an update lies among the ``rank`` leading output and input directions of W.

    With S the eigenvectors of the shorter side, ``update_gram`` G of the update and ``cross_gram`` C of W with the
    update (:mod:`brittle.mathematics.spectra`): on the shorter side direction i holds ``s_iᵀ G s_i``, on the longer
    ``‖s_iᵀ C‖² / σ_i²``, since its vector is ``W s_i / σ_i``. Needs all vectors of ``base``. Shares are right to about
    ``1e-16 (σ₁/σ_r)²``, which is 1e-9 at worst for a rank that holds 99 % of the energy of a 4096-wide matrix.
    """
    total = float(update_gram.trace())
    if not total > 0:
        return Shares()
    energy = (base.vectors * (update_gram @ base.vectors)).sum(0).clamp(min=0)
    inside, outside = float(energy[:rank].sum()), float(energy[rank:].sum())
    short = inside / (inside + outside), outside / (inside + outside)
    leading = base.vectors[:, :rank].T @ cross_gram
    along = float((leading.square().sum(1) / base.singular_values[:rank].square()).sum()) / total
    long = min(along, 1.0), max(1.0 - along, 0.0)
    return Shares(*short, *long) if base.outputs_short else Shares(*long, *short)
