"""Brittle: after unlearning, is the knowledge gone or only hidden?"""

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from brittle.workflows.interface import compare, diagnose

    __all__ = ["__version__", "compare", "diagnose"]


def __getattr__(name: str) -> Any:
    """``brittle.compare`` and ``brittle.diagnose``, imported when first used (PEP 562)."""
    if name not in ("compare", "diagnose"):
        raise AttributeError(f"module brittle has no attribute {name}")
    from brittle.workflows import interface

    return getattr(interface, name)
