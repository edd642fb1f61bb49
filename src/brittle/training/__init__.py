"""The one optimisation loop and what losses read. Submodules are imported when first used, as in ``mathematics``."""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from brittle.training import adversary, before, terms

    __all__ = ["adversary", "before", "terms"]


def __getattr__(name: str) -> ModuleType:
    """Import the submodule of that name (PEP 562)."""
    try:
        return importlib.import_module(f"{__name__}.{name}")
    except ModuleNotFoundError as error:
        if error.name != f"{__name__}.{name}":
            raise
        raise AttributeError(f"module {__name__} has no submodule {name}") from None
