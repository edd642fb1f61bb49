"""Norms, singular values and ranks of one matrix. Scalars come back as float64 tensors without axes.

Apple GPUs have no float64: matrices there are computed with on the CPU.
"""

from __future__ import annotations

import torch
from torch import Tensor

EXACT_UP_TO = 128
"""Shorter sides up to this get their largest singular value from a full decomposition, which is as fast there."""
MOST_STEPS = 300
"""Where Lanczos gives up on its tolerance: only a cluster of equal leading singular values comes near it."""
ROWS_AT_ONCE = 4096
"""Rows turned into float64 at a time, so that a large matrix is never held twice."""


def frobenius_norm(matrix: Tensor) -> Tensor:
    """Root of the sum of squared entries, ``‖A‖_F = √(Σ_ij A_ij²)``, summed in float64; in the entries' unit."""
    return inner_product(matrix, matrix).sqrt()


def inner_product(left: Tensor, right: Tensor) -> Tensor:
    """Sum of products of matching entries, ``⟨A, B⟩ = Σ_ij A_ij B_ij``, in float64. Both ``[rows, columns]``."""
    pairs = zip(torch.split(left, ROWS_AT_ONCE), torch.split(right, ROWS_AT_ONCE))
    return torch.stack([(_float64(a) * _float64(b)).sum() for a, b in pairs]).sum()


def spectral_norm(matrix: Tensor, steps: int = 20, tolerance: float = 1e-6) -> Tensor:
    """Largest singular value ``σ₁(A) = max_x ‖A x‖ / ‖x‖``: the most that the matrix amplifies any direction.

    Golub-Kahan-Lanczos bidiagonalisation with full reorthogonalisation, from a start vector of fixed seed. It takes at
    least ``steps`` steps (a start almost orthogonal to the leading direction looks converged before it is) and goes on
    until the bound on σ₁'s relative error is below ``tolerance`` and has been for half as many steps again, because a
    start with little of the leading direction first settles on σ₂: about thirty steps where the spectrum decays, ninety
    to 150 for Gaussian noise, which power iteration with five steps underestimates by 5 %. One step is two
    matrix-vector products in the matrix's own precision, float32 at least.
    Golub and Van Loan 2013, section 10.4; Parlett 1998, chapter 13.
    """
    if min(matrix.shape) <= EXACT_UP_TO:
        values: Tensor = torch.linalg.svdvals(_float64(matrix))
        return values[0]
    if not matrix.any():
        return torch.zeros((), dtype=torch.float64)
    matrix = matrix.to(torch.promote_types(matrix.dtype, torch.float32))
    start = torch.randn(matrix.shape[1], generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    right = [_unit(_float64(start.to(matrix.device, torch.float32)))]
    left: list[Tensor] = []
    alphas: list[float] = []
    betas: list[float] = []
    settled = 0  # the step from which on the bound has held
    for step in range(1, min(MOST_STEPS, *matrix.shape) + 1):
        forward = _orthogonal_to(left, _product(matrix, right[-1]))
        alphas.append(float(forward.norm()))
        left.append(_unit(forward))
        backward = _orthogonal_to(right, _product(matrix.T, left[-1]))
        betas.append(float(backward.norm()))
        largest, error = _largest_and_error(alphas, betas)
        settled = (settled or step) if error <= tolerance * largest else 0
        if (settled and step >= max(steps, 1.5 * settled)) or betas[-1] <= 1e-14 * largest:
            break
        right.append(_unit(backward))
    return torch.tensor(largest, dtype=torch.float64)


def stable_rank(matrix: Tensor, steps: int = 20) -> Tensor:
    """Squared Frobenius norm over squared spectral norm: ``‖A‖_F² / σ₁(A)²``.

    A smooth stand-in for rank: 1 for a rank-one matrix, at most min(rows, columns), 0 for the zero matrix.
    Dimensionless; scaling and rotating the matrix change nothing. ``steps`` is that of :func:`spectral_norm`.
    Rudelson and Vershynin 2007, section 1.
    """
    return stable_rank_from_norms(frobenius_norm(matrix), spectral_norm(matrix, steps))


def stable_rank_from_norms(frobenius: Tensor, spectral: Tensor) -> Tensor:
    """:func:`stable_rank` of a matrix whose two norms are known already."""
    return (frobenius / spectral) ** 2 if spectral > 0 else torch.zeros((), dtype=torch.float64)


def singular_values(matrix: Tensor) -> Tensor:
    """All singular values, largest first, ``[min(rows, columns)]`` in float64: roots of the Gram matrix's eigenvalues.

    The Gram matrix is several times cheaper to decompose than the matrix. Squaring costs accuracy at the end of the
    spectrum: errors are about ``1e-16 σ₁² / σ_i``, so a value is right to a relative 1e-6 down to ``1e-5 σ₁``, and
    values below ``1e-8 σ₁`` are noise (a float32 Gram matrix is lost below ``1e-3 σ₁``).
    """
    return singular_values_of_gram(gram(matrix))


def singular_values_of_gram(gram: Tensor) -> Tensor:
    """The same from a Gram matrix that is known already."""
    squares: Tensor = torch.linalg.eigvalsh(gram)
    return squares.clamp(min=0).sqrt().flip(0)


def gram(matrix: Tensor) -> Tensor:
    """The smaller of ``A Aᵀ`` and ``Aᵀ A`` (the former if square), ``[side, side]``, summed in float64.

    Only the blocks on and below the diagonal are multiplied, which saves a third of the work; the rest is mirrored.
    """
    tall = upright(matrix)
    side = tall.shape[1]
    block = max(-(-side // 4), 1)
    total = torch.zeros(side, side, dtype=torch.float64, device=_place(matrix))
    for rows in torch.split(tall, ROWS_AT_ONCE):
        precise = _float64(rows)
        for start in range(0, side, block):
            columns = slice(start, start + block)
            total[start:, columns].addmm_(precise[:, start:].T, precise[:, columns])
    for start in range(0, side, block):
        columns = slice(start, start + block)
        total[columns, start + block :] = total[start + block :, columns].T
    return total


def cross_gram(left: Tensor, right: Tensor) -> Tensor:
    """``A Bᵀ`` or ``Aᵀ B``, whichever is smaller, of two matrices of one shape: as :func:`gram`, which is of A with A."""
    tall = upright(left), upright(right)
    total = torch.zeros(tall[0].shape[1], tall[0].shape[1], dtype=torch.float64, device=_place(left))
    for ours, theirs in zip(*(torch.split(side, ROWS_AT_ONCE) for side in tall)):
        total.addmm_(_float64(ours).T, _float64(theirs))
    return total


def times(matrix: Tensor, vectors: Tensor) -> Tensor:
    """The upright matrix times a few float64 columns, in float64: ``[longer side, columns]``."""
    return torch.cat([_float64(rows) @ vectors for rows in torch.split(upright(matrix), ROWS_AT_ONCE)])


def upright(matrix: Tensor) -> Tensor:
    """The matrix or its transpose, so that columns are the shorter side; a square matrix is transposed."""
    return matrix if matrix.shape[0] > matrix.shape[1] else matrix.T


def top_share(singular_values: Tensor, count: int = 10) -> float:
    """Share of the energy in the leading values, ``Σ_{i≤count} σ_i² / Σ_i σ_i²``; 0 for the zero matrix."""
    energy = singular_values.double().square()
    total = float(energy.sum())
    return float(energy[:count].sum()) / total if total > 0 else 0.0


def elbow(singular_values: Tensor) -> tuple[int, float]:
    """Where a spectrum bends: index (from 0) of the value farthest below the chord from first to last, and how far.

    ``argmax_i c_i − σ_i/σ₁`` with the chord ``c_i = 1 + (σ_s/σ₁ − 1)·i/(s − 1)``; the depth is that gap, in units of
    σ₁. Index k means that k values stand before the bend. A shape, not a rank: it moves with the smallest value, and
    where the depth is near 0 the spectrum is close to a line and the index says nothing. (0, 0) where no value lies
    below the chord, and for the zero matrix.  Satopaa et al. 2011 (Kneedle), without smoothing.
    """
    values = singular_values.double()
    if len(values) < 3 or not values[0] > 0:
        return 0, 0.0
    values = values / values[0]
    chord = torch.linspace(1, float(values[-1]), len(values), dtype=torch.float64, device=values.device)
    gap = chord - values
    gap[0] = gap[-1] = 0.0  # on the chord by definition, whatever rounding says
    index = int(gap.argmax())
    return index, float(gap[index])


def empirical_rank(singular_values: Tensor, threshold: float = 0.99) -> int:
    """How many leading singular values hold a share of the energy: ``min k: Σ_{i≤k} σ_i² ≥ threshold · Σ_i σ_i²``.

    ``singular_values`` are sorted, largest first. 0 for the zero matrix.
    """
    energy = singular_values.double().square().cumsum(0)
    if not energy[-1] > 0:
        return 0
    return int((energy < threshold * energy[-1]).sum()) + 1


def _largest_and_error(alphas: list[float], betas: list[float]) -> tuple[float, float]:
    """Largest singular value of the bidiagonal matrix and a bound on its distance from the true one.

    The residual is the last beta times the last entry of the left vector; the error is at most the residual, and at
    most its square over the gap to the next value (both in squared singular values; Parlett 1998, theorem 11.7.1).
    """
    bidiagonal = torch.diag(torch.tensor(alphas, dtype=torch.float64))
    bidiagonal += torch.diag(torch.tensor(betas[:-1], dtype=torch.float64), 1)
    vectors, values, _ = torch.linalg.svd(bidiagonal)
    largest, residual = float(values[0]), betas[-1] * abs(float(vectors[-1, 0]))
    gap = largest - float(values[1]) if len(values) > 1 else 0.0
    return largest, min(residual, residual**2 / gap) if gap > 0 else residual


def _product(matrix: Tensor, vector: Tensor) -> Tensor:
    """Matrix times vector in the matrix's precision; the vectors themselves are kept in float64."""
    return _float64(matrix @ vector.to(matrix.device, matrix.dtype))


def _orthogonal_to(basis: list[Tensor], vector: Tensor) -> Tensor:
    """What is left of a vector outside the span of orthonormal ones; twice is enough (Kahan)."""
    if basis:
        columns = torch.stack(basis, dim=1)
        for _ in range(2):
            vector = vector - columns @ (columns.T @ vector)
    return vector


def _unit(vector: Tensor) -> Tensor:
    norm = vector.norm()
    return vector / norm if norm > 0 else vector


def _place(tensor: Tensor) -> torch.device:
    return torch.device("cpu") if tensor.device.type == "mps" else tensor.device


def _float64(tensor: Tensor) -> Tensor:
    return tensor.to(_place(tensor)).to(torch.float64)
