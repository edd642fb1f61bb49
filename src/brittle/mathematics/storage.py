"""In which number types two models are stored, and in which they were compared where the two differ."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from brittle.mathematics.matrix_pair import MatrixPair


class Storage:
    """Takes pairs one by one and says of all of them what they are stored in."""

    def __init__(self) -> None:
        self.stored: set[tuple[str, str]] = set()
        self.rounded: set[str] = set()

    def update(self, pair: MatrixPair) -> Storage:
        """Take in one pair."""
        self.stored.add(pair.stored_as)
        if pair.rounded_to is not None:
            self.rounded.add(str(pair.rounded_to).removeprefix("torch."))
        return self

    def finish(self) -> dict[str, Any]:
        """``stored_as`` by side, and ``compared_at`` where rounding came before subtracting."""
        a, b = (" and ".join(sorted({pair[side] for pair in self.stored})) for side in (0, 1))
        return {"stored_as": {"a": a, "b": b}} | (
            {"compared_at": " and ".join(sorted(self.rounded))} if self.rounded else {}
        )
