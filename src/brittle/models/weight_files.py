"""The safetensors files of a model folder: which they are, whether they are whole, and which tensors they hold.

No other weights are read. Tensors are floating-point numbers, each stored once: codes of a quantised model, integers
and a tensor that stands in two files are refused from the headers alone.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError, safe_open

from brittle.settings import BadInput

if TYPE_CHECKING:
    from torch import Tensor

SINGLE = "model.safetensors"
INDEX = "model.safetensors.index.json"
PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt")
PICKLE_ADVICE = (
    "pickle weights (.bin, .pt) are refused because reading them can run code; if you trust them, convert them: "
    "AutoModelForCausalLM.from_pretrained(MODEL).save_pretrained(FOLDER), and the tokenizer likewise"
)
FLOATS = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16"}
"""The number types of weights, by what safetensors calls them; torch's names."""
HARMLESS = re.compile(r"(.+\.)?(rotary_emb\.inv_freq|attn\.(masked_)?bias|attention\.(masked_)?bias)")
"""Constants that older versions of transformers saved beside the weights: causal masks and rotary frequencies."""


@dataclass(frozen=True)
class StoredTensor:
    """One tensor in a weight file: its file, its name and number type there (``float32`` …) and its shape."""

    path: Path
    name: str
    dtype: str
    shape: tuple[int, ...]


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in a model folder's file, or BadInput."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise BadInput(f"{path} cannot be read ({reason}); download or save the model again") from None
    if not isinstance(content, dict):
        raise BadInput(f"{path} is not a JSON object; download or save the model again")
    return content


def shard_names(folder: Path) -> list[str]:
    """The names of the weight files that a folder says it has: one file, or the shards of its index, sorted.

    The single file wins where both exist, as in transformers.
    """
    if (folder / SINGLE).exists() or not (folder / INDEX).exists():
        return [SINGLE]
    weight_map = read_json(folder / INDEX).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise BadInput(f"{folder / INDEX} has no weight_map; download or save the model again")
    for name in weight_map.values():
        if not isinstance(name, str) or Path(name).name != name or not name.endswith(".safetensors"):
            raise BadInput(
                f"{folder / INDEX} names {str(name)[:80]!r}, which is no safetensors file beside it; "
                "download or save the model again"
            )
    return sorted(set(weight_map.values()))


def weight_files(folder: Path) -> list[Path]:
    """The weight files of a folder, all present and each with a valid header that its length matches, or BadInput."""
    files = [folder / name for name in shard_names(folder)]
    missing = [path for path in files if not path.is_file()]
    if missing and files != [folder / SINGLE]:
        raise BadInput(f"{folder}: weight file {missing[0].name} is missing; download or copy the model again")
    if missing and any(path for pattern in PICKLES for path in folder.glob(pattern)):
        raise BadInput(f"{folder} has no safetensors; {PICKLE_ADVICE}")
    if missing:
        raise BadInput(f"{folder} has no {SINGLE}; save the model with model.save_pretrained(folder)")
    return files


def stored_tensors(folder: Path) -> dict[str, StoredTensor]:
    """The tensors of a folder by their names in its files, read from the headers; :data:`HARMLESS` ones left out.

    BadInput for a corrupt or truncated file, a tensor that stands in two files and one that is not floating-point.
    """
    found: dict[str, StoredTensor] = {}
    for path in weight_files(folder):
        for tensor in _header(path):
            if HARMLESS.fullmatch(tensor.name):
                continue
            if tensor.name in found:
                both = f"{found[tensor.name].path.name} and in {path.name}"
                raise BadInput(f"{folder}: tensor {tensor.name} is stored in {both}; download or save the model again")
            if tensor.dtype not in FLOATS.values():
                raise BadInput(
                    f"{folder}: {tensor.name} is quantised or no weight ({tensor.dtype}); use the unquantised model"
                )
            found[tensor.name] = tensor
    return found


def _header(path: Path) -> list[StoredTensor]:
    """What a safetensors file says of its tensors; its length must match."""
    try:
        with safe_open(path, framework="np") as file:
            slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118 (not a dictionary)
            return [
                StoredTensor(path, name, FLOATS.get(part.get_dtype(), part.get_dtype()), tuple(part.get_shape()))
                for name, part in slices.items()
            ]
    except (SafetensorError, OSError) as error:
        raise BadInput(f"{path} is corrupt or truncated ({error}); download or copy it again") from None


def is_finite(tensor: Tensor) -> bool:
    """Whether no entry is NaN or infinite.

    One sum decides almost always, and needs no mask as large as the tensor: a NaN or an infinity makes it NaN or
    infinite. Only a sum that overflows by itself takes the second look.
    """
    import torch

    return bool(tensor.sum(dtype=torch.float32).isfinite()) or bool(tensor.isfinite().all())
