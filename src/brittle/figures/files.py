"""Where declared figures lie, and which pictures are ours. Loads nothing that draws."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from brittle.contracts import Figure

SOFTWARE = "brittle"
"""What our pictures say about the program that wrote them."""


def place_of(figure: Figure, folder: Path, plots: Path | None = None) -> Path:
    """Where a figure goes: to ``plots`` if given, else to the result's folder or the one beside it that it names."""
    return (plots or (folder.parent / figure.folder if figure.folder else folder)) / f"{figure.name}.png"


def outside(figures: Iterable[Figure], folder: Path, plots: Path | None = None) -> list[Path]:
    """The figures of a result that do not lie in its own folder."""
    places = [place_of(figure, folder, plots) for figure in figures]
    own = os.path.realpath(folder)  # unlike Path.resolve it lets a circle of links be
    return [path for path in places if not Path(os.path.realpath(path)).is_relative_to(own)]


def is_ours(path: Path) -> bool:
    """Whether a file is a picture that :func:`brittle.figures.declared.write_png` wrote."""
    with open(path, "rb") as file:
        return f"Software\x00{SOFTWARE}".encode() in file.read(4096)
