"""What chance gives: the same quantities of Gaussian matrices and of random subspaces of the same shape.

Means over a few draws from a fixed seed, remembered by shape; the global random state is left alone.
"""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor

DRAWS = 16
SUBSPACE_DRAWS = 400
SEED = 0


def haar(rows: int, columns: int, generator: torch.Generator, device: torch.device | str = "cpu") -> Tensor:
    """Orthonormal columns ``[rows, columns]``, float32, uniform among all such (``columns`` ≤ ``rows``); drawn on the CPU.

    Q of the QR decomposition of a Gaussian matrix, each column with the sign of R's diagonal, without which the
    decomposition's own convention decides.  Mezzadri 2007, section 4.
    """
    drawn = torch.randn(rows, columns, generator=generator).to(device)
    orthonormal, upper = torch.linalg.qr(drawn)
    signs: Tensor = torch.where(upper.diagonal() < 0, -1.0, 1.0)
    columns_of_q: Tensor = orthonormal * signs
    return columns_of_q


def of_spectrum(singular_values: Tensor, rows: int, columns: int, seed: int) -> Tensor:
    """U diag(σ) Vᵀ ``[rows, columns]``, float32, with these singular values and independent Haar vectors U, V.

    ``singular_values`` are ``[min(rows, columns)]``; the result lies on their device, the same for a seed but for rounding.
    """
    generator = torch.Generator().manual_seed(seed)
    count, device = len(singular_values), singular_values.device
    left, right = (haar(side, count, generator, device) for side in (rows, columns))
    return left * singular_values.to(left.dtype) @ right.T


@cache
def expected_top_share(rows: int, columns: int, count: int = 10) -> float:
    """Mean share of the energy in the ``count`` leading singular values of a Gaussian ``[rows, columns]`` matrix.

    Its singular values are those of a bidiagonal matrix with independent chi entries (degrees of freedom L, L−1, …
    on the diagonal, S−1, S−2, … beside it; L and S the longer and the shorter side), so nothing of the matrix's size
    is drawn; the Gram matrix of that is tridiagonal, and only its leading eigenvalues are computed.
    Dumitriu and Edelman 2002.
    """
    from scipy.linalg import eigvalsh_tridiagonal

    longer, shorter = max(rows, columns), min(rows, columns)
    if shorter <= count:
        return 1.0
    degrees = torch.arange(shorter, dtype=torch.float64)
    shares = []
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        for _ in range(DRAWS):
            diagonal = torch.distributions.Chi2(longer - degrees).sample().numpy()  # squares of the entries
            beside = torch.distributions.Chi2(shorter - degrees[1:]).sample().numpy()
            gram = diagonal.copy()
            gram[1:] += beside
            off = (diagonal[:-1] * beside) ** 0.5
            leading = eigvalsh_tridiagonal(gram, off, select="i", select_range=(shorter - count, shorter - 1))
            shares.append(float(leading.sum() / gram.sum()))
    return sum(shares) / DRAWS


@cache
def expected_alignment(dimension: int, count: int) -> float:
    """Mean cosine of the principal angles between two random ``count``-dimensional subspaces of ``dimension``.

    One of the two may be the first coordinates; the other is spanned by a Gaussian matrix, of whose rows below these
    only the triangular factor matters, and that is drawn directly (Bartlett 1933). NaN without directions.
    """
    if not 0 < count <= dimension:
        return float("nan")
    below = dimension - count
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        upper = torch.randn(SUBSPACE_DRAWS, count, count, dtype=torch.float64)
        lower = torch.randn(SUBSPACE_DRAWS, min(below, count), count, dtype=torch.float64)
        if below > count:
            degrees = below - torch.arange(count, dtype=torch.float64)
            diagonal = torch.distributions.Chi2(degrees).sample((SUBSPACE_DRAWS,)).sqrt()
            lower = lower.triu(1) + torch.diag_embed(diagonal)
    orthonormal = torch.linalg.qr(torch.cat([upper, lower], dim=1))[0]
    return float(torch.linalg.svdvals(orthonormal[:, :count]).clamp(max=1).mean())
