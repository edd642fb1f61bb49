"""What is the same for every model of a sweep is asked once: where a base lies, what its texts are, how attacks are set.

Only within :func:`remembering`, so that elsewhere a file that changes is read as it is.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any, TypeVar

Answer = TypeVar("Answer")
_known: ContextVar[dict[Any, Any] | None] = ContextVar("known", default=None)


@contextlib.contextmanager
def remembering() -> Iterator[None]:
    """Within the block :func:`asked` answers the same question from memory; a block within it shares its memory."""
    token = _known.set({} if (there := _known.get()) is None else there)
    try:
        yield
    finally:
        _known.reset(token)


def asked(function: Callable[..., Answer], *arguments: Any) -> Answer:
    """``function(*arguments)``; arguments that read alike (``repr``) are the same. The answer is shared: change nothing in it.

    What a function refuses, it is asked again.
    """
    known = _known.get()
    if known is None:
        return function(*arguments)
    key = function, repr(arguments)
    if key not in known:
        known[key] = function(*arguments)
    answer: Answer = known[key]
    return answer


__all__ = ["asked", "remembering"]
