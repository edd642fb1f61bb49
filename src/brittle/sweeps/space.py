"""From blocks of values to configurations: every combination, or some that are drawn."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from brittle.settings import BadInput

Given = dict[str, str]
"""Settings of one model by name, as they would be typed."""
SCALES = ("linear", "log")
ENOUGH = 100
"""Draws that may repeat earlier ones, for each trial that is asked for, before a search counts as exhausted."""


class Alternatives(list[str]):
    """Values to choose from."""


@dataclass(frozen=True)
class Range:
    """Numbers between two bounds, drawn evenly, or evenly in their logarithm."""

    low: float
    high: float
    scale: str = "linear"

    def __post_init__(self) -> None:
        if self.scale not in SCALES:
            raise ValueError(f"scale {self.scale} is neither linear nor log")
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low < self.high):
            raise ValueError(f"{self.low} is not below {self.high}")
        if self.scale == "log" and self.low <= 0:
            raise ValueError("a logarithm needs numbers above 0")

    def draw(self, generator: random.Random) -> str:
        """One number, with four digits: as many as a folder's name should have."""
        if self.scale == "log":
            value = math.exp(generator.uniform(math.log(self.low), math.log(self.high)))
        else:
            value = generator.uniform(self.low, self.high)
        return f"{value:.4g}"


Values: TypeAlias = Alternatives | Range


@dataclass(frozen=True)
class Block:
    """One item of a file's ``models``."""

    place: str
    """File and line, for what is said of it."""
    methods: tuple[str, ...]
    values: Mapping[str, Values]

    @property
    def size(self) -> int:
        """Combinations of a grid."""
        return len(self.methods) * math.prod(len(v) for v in self.values.values() if isinstance(v, Alternatives))


def grid(blocks: Sequence[Block], bases: Sequence[str], seeds: Sequence[int]) -> Iterator[Given]:
    """Every combination, in the order of the file; of each the seeds follow each other, and the bases come first."""
    for base, block in itertools.product(bases or [""], blocks):
        lists = [value for value in block.values.values() if isinstance(value, Alternatives)]
        for method, *chosen in itertools.product(block.methods, *lists):
            for seed in _seeds(seeds):
                yield _given(method, dict(zip(block.values, chosen)), base, seed)


def corners(blocks: Sequence[Block], bases: Sequence[str]) -> Iterator[Given]:
    """Of every block the first configuration, and those that differ from it in one value, a method among them, or a range's end."""
    for base, block in itertools.product(bases or [""], blocks):
        values = {name: _ends(value) for name, value in block.values.items()}
        usual = {name: some[0] for name, some in values.items()}
        yield _given(block.methods[0], usual, base, None)
        for name, some in values.items():
            for value in some[1:]:
                yield _given(block.methods[0], {**usual, name: value}, base, None)
        for method in block.methods[1:]:
            yield _given(method, usual, base, None)


def _ends(value: Values) -> list[str]:
    return [*value] if isinstance(value, Alternatives) else [f"{value.low:.4g}", f"{value.high:.4g}"]


def drawn(
    blocks: Sequence[Block], bases: Sequence[str], seeds: Sequence[int], trials: int, search_seed: int
) -> Iterator[Given]:
    """``trials`` different combinations: a block, its method and each of its values drawn evenly.

    Raises:
        BadInput: there are not so many.
    """
    generator = random.Random(search_seed)
    found: set[tuple[tuple[str, str], ...]] = set()
    for _ in range(ENOUGH * trials):
        if len(found) == trials:
            return
        block = generator.choice(blocks)
        values = {
            name: generator.choice(value) if isinstance(value, Alternatives) else value.draw(generator)
            for name, value in block.values.items()
        }
        given = _given(generator.choice(block.methods), values, generator.choice(bases or [""]), None)
        key = tuple(sorted(given.items()))
        if key in found:
            continue
        found.add(key)
        for seed in _seeds(seeds):
            yield given | ({} if seed is None else {"seed": str(seed)})
    if len(found) < trials:
        raise BadInput(
            f"trials: {trials} different configurations were asked for, and {len(found)} were found; ask for fewer, or "
            "give more values"
        )


def _seeds(seeds: Sequence[int]) -> list[int | None]:
    return [*seeds] or [None]


def _given(method: str, values: Mapping[str, str], base: str, seed: int | None) -> Given:
    given = {"method": method, **values}
    if base:
        given["model"] = base
    if seed is not None:
        given["seed"] = str(seed)
    return given
