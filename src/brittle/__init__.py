"""Brittle: after unlearning, is the knowledge gone or only hidden?"""

from typing import TYPE_CHECKING, Any

from brittle.version import __version__

if TYPE_CHECKING:
    from brittle.python_interface import compare, diagnose

    __all__ = ["__version__", "compare", "diagnose"]


def __getattr__(name: str) -> Any:
    """``brittle.compare`` and ``brittle.diagnose``, imported when first used (PEP 562)."""
    if name not in ("compare", "diagnose"):
        raise AttributeError(f"module brittle has no attribute {name}")
    from brittle import python_interface

    return getattr(python_interface, name)
