"""How long a result took: the seconds that its diagnostic computed, and those of the passes that it was shown.

Every second of a session belongs to the innermost :func:`working` block around it. What one diagnostic does alone (its
fitters, its tables and figures, a pass that is run for it) is its own. A pass that several are shown (loading models, reading
matrices, hidden states of texts) counts in full for each of them and is named in ``shared_seconds`` and ``shared_with``, so
that ``seconds`` is what one would have waited for this result alone. The waiting of a whole session is therefore less than
the sum of its records' ``seconds``. What an earlier record of the session has computed already, such as a base's responses
to noise, counts there and not again.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field

from brittle import records

_counted = 0.0
"""Seconds that blocks which have ended were given."""


@dataclass
class WorkTime:
    """The seconds that went into one result so far; ``name`` is the diagnostic's."""

    name: str
    own: float = 0.0
    shared: float = 0.0
    shared_with: set[str] = field(default_factory=set)

    @property
    def seconds(self) -> float:
        """All of them."""
        return self.own + self.shared


@contextlib.contextmanager
def working(*times: WorkTime) -> Iterator[None]:
    """The block is work for these results, apart from the blocks inside it, which are counted for theirs."""
    global _counted
    began, inside = records.clock(), _counted
    try:
        yield
    finally:
        seconds = max(0.0, records.clock() - began - (_counted - inside))
        _counted += seconds
        for each in times:
            if len(times) > 1:
                each.shared += seconds
                each.shared_with |= {other.name for other in times if other is not each}
            else:
                each.own += seconds
