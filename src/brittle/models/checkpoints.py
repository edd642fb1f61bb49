"""Two checkpoints as one stream of matching weight matrices; the models themselves are never built."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import safe_open
from torch import Tensor

from brittle.mathematics.matrix_pair import MatrixPair
from brittle.models.anatomy import Anatomy, Place, anatomy_of
from brittle.models.weight_files import is_finite, read_json, weight_files
from brittle.settings import BadInput


def matrix_pairs(
    folder_a: Path,
    folder_b: Path,
    device: str | Sequence[str] = "cpu",
    dtype: torch.dtype | None = None,
    layers: Collection[int] | None = None,
) -> Iterator[MatrixPair]:
    """Every weight matrix that the architecture's table names, from both checkpoints, in the order of A's files.

    Each tensor goes straight to ``device`` and to float32, after a rounding to ``dtype`` if one is given (rounding
    before subtracting can destroy small updates, so it is off by default); several devices take turns. Rows are outputs, columns inputs; ``.name``
    is A's. ``layers`` restricts the stream. A thread reads the next pair while the caller works on this one, so that
    at most four matrices are held here. The two may be sharded differently and differ in the base-model prefix.

    Before the first pair, BadInput if the two differ in architecture, in the set of matrices or in a shape; on the
    way, if a matrix has NaN or infinite values.
    """
    anatomy = anatomy_of(read_json(Path(folder_a) / "config.json"))
    other = anatomy_of(read_json(Path(folder_b) / "config.json"))
    if anatomy.model_type != other.model_type:
        types = f"{folder_a} is {anatomy.model_type} but {folder_b} is {other.model_type}"
        raise BadInput(f"{types}; compare models of one architecture")
    first, second = (_Checkpoint.survey(Path(folder), anatomy, layers) for folder in (folder_a, folder_b))
    _check_matching(first, second)
    devices = itertools.cycle([device] if isinstance(device, str) else device)
    with ThreadPoolExecutor(max_workers=1) as reader:

        def read(key: str) -> MatrixPair:
            stored, place, where = first.matrices[key], first.matrices[key].place, next(devices)
            base, modified = (side.read(key, anatomy.transposed, where, dtype) for side in (first, second))
            return MatrixPair(stored.name, place.layer, place.component, place.group, base, modified)

        keys = list(first.matrices)
        pending = reader.submit(read, keys[0])
        for following in [*keys[1:], None]:
            pair = pending.result()
            if following is not None:
                pending = reader.submit(read, following)
            yield pair
            del pair  # or the caller's pair would outlive its turn


def matrix_names(folder: Path) -> list[str]:
    """The names of all matrices that :func:`matrix_pairs` would show of this checkpoint; reads headers only."""
    anatomy = anatomy_of(read_json(Path(folder) / "config.json"))
    return [stored.name for stored in _Checkpoint.survey(Path(folder), anatomy, None).matrices.values()]


@dataclass(frozen=True)
class _Stored:
    """One matrix in a file: the file, its name there, its place in the model, its shape as stored."""

    path: Path
    name: str
    place: Place
    shape: tuple[int, ...]


@dataclass(frozen=True)
class _Checkpoint:
    folder: Path
    matrices: dict[str, _Stored]

    @classmethod
    def survey(cls, folder: Path, anatomy: Anatomy, layers: Collection[int] | None) -> _Checkpoint:
        """Read the headers: which matrices there are and where."""
        matrices: dict[str, _Stored] = {}
        for path in weight_files(folder):
            with safe_open(path, framework="pt") as file:
                for name in file.keys():  # noqa: SIM118 (not a dictionary); sorted, which is how files are written
                    place = anatomy.place(name)
                    if place is None or (layers is not None and place.layer not in layers):
                        continue
                    shape = tuple(file.get_slice(name).get_shape())
                    if len(shape) == 2:
                        matrices[place.key] = _Stored(path, name, place, shape)
        return cls(folder, matrices)

    def read(self, key: str, transposed: bool, device: str, dtype: torch.dtype | None) -> Tensor:
        """The matrix in float32, outputs x inputs."""
        stored = self.matrices[key]
        # Opened anew for each matrix: a file kept open keeps every page that was read in memory until the end.
        with safe_open(stored.path, framework="pt", device=device) as file:
            tensor = file.get_tensor(stored.name)
        if not tensor.is_floating_point():
            raise BadInput(f"{self.folder}: {stored.name} is quantised ({tensor.dtype}); use the unquantised model")
        tensor = tensor.to(dtype or tensor.dtype).to(torch.float32)
        if not is_finite(tensor):
            advice = f" as {dtype}; try --dtype fp32" if dtype else "; use another checkpoint"
            raise BadInput(f"{self.folder}: tensor {stored.name} has NaN or infinite values{advice}")
        return tensor.T if transposed else tensor


def _check_matching(first: _Checkpoint, second: _Checkpoint) -> None:
    for here, there in ((first, second), (second, first)):
        for key, stored in here.matrices.items():
            if key not in there.matrices:
                raise BadInput(f"{there.folder} lacks {stored.name} of {here.folder}; compare models of one size")
            shapes = stored.shape, there.matrices[key].shape
            if shapes[0] != shapes[1]:
                raise BadInput(
                    f"{stored.name} has shape {shapes[0]} in {here.folder} but {shapes[1]} in {there.folder}; "
                    "compare models of one architecture and size"
                )
    if not first.matrices:
        raise BadInput(f"{first.folder} holds no weight matrices to compare; is it a complete checkpoint?")
