"""One weight matrix before and after an intervention; every quantity is computed once, when first asked for."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from brittle.mathematics import spectra


@dataclass(frozen=True, eq=False)
class MatrixPair:
    """A matrix of the base model, the same one of the modified model, and where it sits.

    ``base`` and ``modified`` are ``[outputs, inputs]``. The change is ``ΔW = modified − base``. A pair that is
    bit-identical is found by one comparison; everything about its change is then exactly zero and costs nothing.
    """

    name: str
    layer: int
    component: str
    group: str
    base: Tensor
    modified: Tensor
    lanczos_steps: int = 20
    """Fewest steps of every spectral norm here, see :func:`brittle.mathematics.spectra.spectral_norm`."""

    @cached_property
    def identical(self) -> bool:
        """Whether no entry differs."""
        return torch.equal(self.base, self.modified)

    @cached_property
    def difference(self) -> Tensor:
        """ΔW in float32 at least: half-precision matrices are converted before, not after, subtracting."""
        precision = torch.promote_types(torch.promote_types(self.base.dtype, self.modified.dtype), torch.float32)
        if self.identical:
            return torch.zeros((), dtype=precision, device=self.base.device).expand(self.base.shape)
        return self.modified.to(precision) - self.base.to(precision)

    @cached_property
    def base_norm(self) -> float:
        """Frobenius norm of the base matrix."""
        return float(spectra.frobenius_norm(self.base))

    @cached_property
    def modified_norm(self) -> float:
        """Frobenius norm of the modified matrix."""
        return self.base_norm if self.identical else float(spectra.frobenius_norm(self.modified))

    @cached_property
    def difference_norm(self) -> float:
        """Frobenius norm of ΔW."""
        return 0.0 if self.identical else float(spectra.frobenius_norm(self.difference))

    @cached_property
    def base_spectral_norm(self) -> float:
        """Largest singular value of the base matrix."""
        return self._spectral_norm(self.base)

    @cached_property
    def modified_spectral_norm(self) -> float:
        """Largest singular value of the modified matrix."""
        return self.base_spectral_norm if self.identical else self._spectral_norm(self.modified)

    @cached_property
    def difference_spectral_norm(self) -> float:
        """Largest singular value of ΔW."""
        return 0.0 if self.identical else self._spectral_norm(self.difference)

    @cached_property
    def base_stable_rank(self) -> float:
        """Stable rank of the base matrix."""
        return _stable_rank(self.base_norm, self.base_spectral_norm)

    @cached_property
    def modified_stable_rank(self) -> float:
        """Stable rank of the modified matrix."""
        return _stable_rank(self.modified_norm, self.modified_spectral_norm)

    @cached_property
    def difference_stable_rank(self) -> float:
        """Stable rank of ΔW; 0 where nothing changed."""
        return _stable_rank(self.difference_norm, self.difference_spectral_norm)

    @cached_property
    def base_singular_values(self) -> Tensor:
        """All singular values of the base matrix, largest first, float64 ``[min(outputs, inputs)]``."""
        return spectra.singular_values(self.base)

    @cached_property
    def modified_singular_values(self) -> Tensor:
        """All singular values of the modified matrix."""
        return self.base_singular_values if self.identical else spectra.singular_values(self.modified)

    @cached_property
    def difference_singular_values(self) -> Tensor:
        """All singular values of ΔW."""
        if self.identical:
            return torch.zeros(min(self.base.shape), dtype=torch.float64)
        return spectra.singular_values(self.difference)

    @cached_property
    def cosine_similarity(self) -> float:
        """Cosine between the matrices as vectors, ``⟨A, B⟩ / (‖A‖_F ‖B‖_F)``; 1 if identical, 0 beside a zero one."""
        if self.identical:
            return 1.0
        scale = self.base_norm * self.modified_norm
        return float(spectra.inner_product(self.base, self.modified)) / scale if scale > 0 else 0.0

    @cached_property
    def difference_mean(self) -> float:
        """Mean entry of ΔW."""
        return 0.0 if self.identical else float(self.difference.cpu().sum(dtype=torch.float64)) / self.base.numel()

    @cached_property
    def difference_absolute_mean(self) -> float:
        """Mean absolute entry of ΔW."""
        if self.identical:
            return 0.0
        return float(self.difference.cpu().abs().sum(dtype=torch.float64)) / self.base.numel()

    @cached_property
    def difference_standard_deviation(self) -> float:
        """Standard deviation of ΔW's entries (divided by their number less one)."""
        entries = self.base.numel()
        # ‖ΔW‖² − n·mean² is safe in float64: it only cancels where the mean is a million standard deviations.
        squares = max(self.difference_norm**2 - entries * self.difference_mean**2, 0.0)
        return (squares / (entries - 1)) ** 0.5 if entries > 1 else 0.0

    def _spectral_norm(self, matrix: Tensor) -> float:
        return float(spectra.spectral_norm(matrix, self.lanczos_steps))


def _stable_rank(frobenius: float, spectral: float) -> float:
    norms = (torch.tensor(norm, dtype=torch.float64) for norm in (frobenius, spectral))
    return float(spectra.stable_rank_from_norms(*norms))
