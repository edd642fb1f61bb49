"""Two checkpoints as one stream of matching weight matrices; the models themselves are never built.

Where the two are stored in different number types, both are rounded to the coarser one before they are subtracted: what
only the finer one can hold is storage, not a change. A weight that did not change is then exactly equal.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor

from brittle.mathematics.matrix_pair import MatrixPair
from brittle.models.anatomy import anatomy_of
from brittle.models.inventory import Parameter, inventory, read_tensor
from brittle.models.weight_files import is_finite, read_json, weight_files
from brittle.settings import BadInput


def matrix_pairs(
    folder_a: Path,
    folder_b: Path,
    device: str | Sequence[str] = "cpu",
    dtype: torch.dtype | None = None,
    layers: Collection[int] | None = None,
    everything: bool = False,
) -> Iterator[MatrixPair]:
    """Every weight matrix that the architecture's table names, from both checkpoints, in the order of A's files.

    Each tensor goes straight to ``device`` and to float32, after a rounding to ``dtype`` if one is given (rounding
    before subtracting can destroy small updates, so it is off by default); several devices take turns. Rows are outputs,
    columns inputs; ``.name`` is A's. ``layers`` restricts the stream. With ``everything`` all other parameters come too:
    embeddings and unembedding (once if they are tied), and norms and biases as matrices of one row (group ``vector``),
    all with layer -1. A thread reads the next pair while the caller works on this one, so that at most four matrices are
    held here. The two may be sharded differently and differ in the base-model prefix.

    Before the first pair, BadInput if either folder's tensors are not those of its configuration, or the two differ in
    architecture, in the set of matrices or in a shape; on the way, if a matrix has NaN or infinite values.
    """
    anatomy, other = (anatomy_of(read_json(Path(folder) / "config.json")) for folder in (folder_a, folder_b))
    if anatomy.model_type != other.model_type:
        types = f"{folder_a} is {anatomy.model_type} but {folder_b} is {other.model_type}"
        raise BadInput(f"{types}; compare models of one architecture")
    first, second = (_chosen(Path(folder), layers, everything) for folder in (folder_a, folder_b))
    _check_matching(Path(folder_a), first, Path(folder_b), second)
    devices = itertools.cycle([device] if isinstance(device, str) else device)
    with ThreadPoolExecutor(max_workers=1) as reader:

        def read(name: str) -> MatrixPair:
            sides, where = (first[name], second[name]), next(devices)
            stored = sides[0].stored.dtype, sides[1].stored.dtype
            common = rounded_to(*stored, dtype)
            base, modified = (_read(side, anatomy.transposed, where, common, dtype) for side in sides)
            place = sides[0].place
            return MatrixPair(
                sides[0].stored.name, place.layer, place.component, place.group, base, modified,
                stored_as=stored, rounded_to=common,
            )  # fmt: skip

        names = list(first)
        pending = reader.submit(read, names[0])
        for following in [*names[1:], None]:
            pair = pending.result()
            if following is not None:
                pending = reader.submit(read, following)
            yield pair
            del pair  # or the caller's pair would outlive its turn


def matrix_names(folder: Path) -> list[str]:
    """The names of all matrices that :func:`matrix_pairs` would show of this checkpoint; reads headers only."""
    return [side.stored.name for side in _chosen(Path(folder), None, False).values()]


def rounded_to(first: str, second: str, asked: torch.dtype | None = None) -> torch.dtype | None:
    """The coarsest of two storage types and the type that was asked for; None if both are stored in it: no rounding."""
    stored = [getattr(torch, name) for name in (first, second)]
    coarsest = max([*stored, asked or stored[0]], key=lambda each: torch.finfo(each).eps)
    return None if stored == [coarsest, coarsest] else coarsest


def _chosen(folder: Path, layers: Collection[int] | None, everything: bool) -> dict[str, Parameter]:
    """The parameters to compare by their names in the model, in the order of the folder's files."""
    return {
        name: side
        for name, side in inventory(folder).items()
        if (everything or side.place.layer >= 0) and (layers is None or side.place.layer in layers)
    }


def _read(
    side: Parameter, transposed: bool, device: str, common: torch.dtype | None, dtype: torch.dtype | None
) -> Tensor:
    """The parameter in float32, outputs x inputs, a vector as one row, rounded on the way as far as is asked."""
    tensor = read_tensor(side.stored, device)
    for kind in (common, dtype, torch.float32):
        tensor = tensor.to(kind or tensor.dtype)
    if not is_finite(tensor):
        folder, name = side.stored.path.parent, side.stored.name
        advice = f" as {dtype or common}" if dtype or common else "; use another checkpoint"
        raise BadInput(
            f"{folder}: tensor {name} has NaN or infinite values{advice + '; try --dtype fp32' * bool(dtype)}"
        )
    if tensor.dim() != 2:
        return tensor.reshape(1, -1)
    return tensor.T if transposed and side.place.layer >= 0 else tensor


def _check_matching(folder_a: Path, first: dict[str, Parameter], folder_b: Path, second: dict[str, Parameter]) -> None:
    for here, own, there, others in ((folder_a, first, folder_b, second), (folder_b, second, folder_a, first)):
        for key, side in own.items():
            if key not in others:
                raise BadInput(f"{there} lacks {side.stored.name} of {here}; compare models of one size")
            shapes = side.stored.shape, others[key].stored.shape
            if shapes[0] != shapes[1]:
                raise BadInput(
                    f"{side.stored.name} has shape {shapes[0]} in {here} but {shapes[1]} in {there}; "
                    "compare models of one architecture and size"
                )
    if not first:
        raise BadInput(f"{folder_a} holds no weight matrices to compare; is it a complete checkpoint?")


@torch.no_grad()
def unmoved_share(model: Any, base: Path) -> float:
    """The share of weights that training left exactly as they are in the base's files (0 to 1)."""
    names = {_key(name): parameter for name, parameter in model.named_parameters()}
    same = total = 0
    for path in weight_files(base):
        with safe_open(path, framework="pt") as file:
            for name in file.keys():  # noqa: SIM118 (not a dictionary)
                if _key(name) in names:
                    parameter = names[_key(name)]
                    tensor = file.get_tensor(name).to(parameter.device, parameter.dtype)
                    same += int((tensor == parameter).sum())
                    total += tensor.numel()
    return same / total if total else float("nan")


def _key(name: str) -> str:
    """A parameter's name without what differs between the file and the model in memory: the prefix and the head's name."""
    name = name.replace("embed_out.", "lm_head.")
    return name.split(".", 1)[1] if name.partition(".")[0] in ("gpt_neox", "model", "transformer") else name
