"""One weight matrix before and after an intervention; every quantity is computed once, when first asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from brittle.mathematics import quantisation, spectra, subspaces

LEADING = 20
"""Directions of the modified matrix that are kept; of the base all are."""


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
    stored_as: tuple[str, str] = ("float32", "float32")
    """The number types that the two are stored in."""
    rounded_to: torch.dtype | None = None
    """The coarser of them where they differ: both were rounded to it first."""

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
    def within_rounding(self) -> bool:
        """Whether rounding may be half of the change's energy or more, where the two are stored in different types.

        A rounding errs evenly by up to half a step, step² / 12 on average; a difference of two roundings by twice that.
        The step at w is eps · 2^⌊log₂|w|⌋ of the coarser type. Entries that moved by more than a step were changed, so
        a change that lies in few of them counts however small it is. False between equal types: no rounding, all exact.
        """
        if self.rounded_to is None or self.identical:
            return False
        _, exponents = torch.frexp(self.base)
        steps = torch.exp2((exponents - 1).float()) * torch.finfo(self.rounded_to).eps * (self.base != 0)
        moved = torch.where(self.difference.abs() > 1.5 * steps, self.difference, 0.0)
        energy, certain = self.difference_norm**2, float(spectra.frobenius_norm(moved)) ** 2
        return energy <= 2 * float(spectra.frobenius_norm(steps)) ** 2 / 6 and certain <= energy / 2

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
    def base_decomposition(self) -> subspaces.Decomposition:
        """Singular values and all vectors of the base's shorter side."""
        return subspaces.decompose(self.base)

    @cached_property
    def modified_decomposition(self) -> subspaces.Decomposition:
        """Singular values and the leading vectors of the modified matrix."""
        return self.base_decomposition if self.identical else subspaces.decompose(self.modified, LEADING)

    @property
    def base_singular_values(self) -> Tensor:
        """All singular values of the base matrix, largest first, float64 ``[min(outputs, inputs)]``."""
        return self.base_decomposition.singular_values

    @property
    def modified_singular_values(self) -> Tensor:
        """All singular values of the modified matrix."""
        return self.modified_decomposition.singular_values

    @cached_property
    def difference_gram(self) -> Tensor:
        """The smaller Gram matrix of ΔW, see :func:`brittle.mathematics.spectra.gram`."""
        return spectra.gram(self.difference)

    @cached_property
    def difference_singular_values(self) -> Tensor:
        """All singular values of ΔW."""
        if self.identical:
            return torch.zeros(min(self.base.shape), dtype=torch.float64)
        return spectra.singular_values_of_gram(self.difference_gram)

    def update_shares(self, rank: int) -> subspaces.Shares:
        """Where ΔW lies among the ``rank`` leading directions of the base."""
        if self.identical:
            return subspaces.Shares()
        cross = spectra.cross_gram(self.base, self.difference)
        return subspaces.update_shares(self.base_decomposition, rank, self.difference_gram, cross)

    def principal_angles(self, count: int, outputs: bool = True) -> Tensor:
        """Angles between the ``count`` leading output (or input) directions before and after; exactly 0 if identical."""
        if self.identical:
            return torch.zeros(count, dtype=torch.float64)
        bases = (
            subspaces.leading_basis(matrix, decomposition, count, outputs)
            for matrix, decomposition in (
                (self.base, self.base_decomposition),
                (self.modified, self.modified_decomposition),
            )
        )
        return subspaces.principal_angles(*bases)

    @cached_property
    def share_unmoved(self) -> float:
        """Share of the entries that did not change at all."""
        return 1.0 if self.identical else int((self.base == self.modified).sum()) / self.base.numel()

    @cached_property
    def share_same_four_bit_code(self) -> float:
        """Share of the entries whose four-bit code did not change, see :mod:`brittle.mathematics.quantisation`."""
        return 1.0 if self.identical else quantisation.share_of_equal_codes(self.base, self.modified)

    def base_quantities(self) -> dict[str, Any]:
        """What was computed of the base alone so far, by property: a cache may hand it to pairs with the same base."""
        return {name: value for name, value in vars(self).items() if name.startswith("base_")}

    def with_base_quantities(self, known: Mapping[str, Any]) -> MatrixPair:
        """This pair, with :meth:`base_quantities` of another one whose base is bit-identical and has the same steps."""
        vars(self).update(known)
        return self

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
