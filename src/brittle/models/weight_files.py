"""The safetensors files of a model folder: which they are, and whether they are whole. No other weights are read."""

from __future__ import annotations

import json
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


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in a model folder's file, or BadInput."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
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
    for path in files:
        check_header(path)
    return files


def check_header(path: Path) -> None:
    """Refuse a corrupt or truncated safetensors file; reads its header and length only."""
    try:
        with safe_open(path, framework="np"):
            pass
    except (SafetensorError, OSError) as error:
        raise BadInput(f"{path} is corrupt or truncated ({error}); download or copy it again") from None


def is_finite(tensor: Tensor) -> bool:
    """Whether no entry is NaN or infinite.

    One sum decides almost always, and needs no mask as large as the tensor: a NaN or an infinity makes it NaN or
    infinite. Only a sum that overflows by itself takes the second look.
    """
    import torch

    return bool(tensor.sum(dtype=torch.float32).isfinite()) or bool(tensor.isfinite().all())
