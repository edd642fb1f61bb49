"""Tensors in, tensors out. Submodules are imported when first used, so that a plugin's ``--help`` needs no torch."""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from brittle.mathematics import intervals, matrix_pair, spectra, vectors

    __all__ = ["intervals", "matrix_pair", "spectra", "vectors"]


def __getattr__(name: str) -> ModuleType:
    """Import the submodule of that name (PEP 562); the folder itself is the list of submodules."""
    try:
        return importlib.import_module(f"{__name__}.{name}")
    except ModuleNotFoundError as error:
        if error.name != f"{__name__}.{name}":
            raise
        raise AttributeError(f"module {__name__} has no submodule {name}") from None
