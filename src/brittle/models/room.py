"""Whether models fit into the memory that is free, before any of their weights is read or fetched."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from brittle.models.configuration import configuration, skeleton
from brittle.models.devices import free_memory, resolve_device, word_of
from brittle.models.references import Located, configuration_folder
from brittle.models.weight_files import shard_names, stored_tensors
from brittle.settings import BadInput

ITEM = {"fp32": 4, "fp16": 2, "bf16": 2}
"""Bytes of a number."""
TOKENS = 2048
"""Tokens of prompt and answer whose keys and values are held, where a model's context is not shorter."""
GIB = 2**30


def bytes_needed(folder: Path, dtype: str = "fp32", tokens: int = TOKENS) -> float:
    """Bytes of a model's weights in a number type (``fp32``, ``fp16``, ``bf16``) and of the keys and values of ``tokens`` tokens.

    The weights are counted in the headers of the files or, where these are not there yet, in the model that
    ``config.json`` describes.
    """
    config = configuration(folder)
    if all((folder / name).is_file() for name in shard_names(folder)):
        numbers = sum(math.prod(tensor.shape) for tensor in stored_tensors(folder).values())
    else:
        numbers = sum(parameter.numel() for parameter in skeleton(folder).parameters())
    heads = config.num_attention_heads
    width = getattr(config, "head_dim", None) or config.hidden_size // heads
    positions = min(tokens, getattr(config, "max_position_embeddings", None) or tokens)
    cached = 2 * config.num_hidden_layers * (getattr(config, "num_key_value_heads", None) or heads) * width * positions
    return float(ITEM[dtype] * (numbers + cached))


def check_fits(
    models: Sequence[Located | Path], device: str = "auto", dtype: str = "auto", tokens: int = TOKENS
) -> None:
    """Refuse models that do not fit together into the memory that is free on a device now (on all GPUs for ``auto``).

    Takes located models or folders with a ``config.json``; ``device`` and ``dtype`` are the documented words.

    Raises:
        BadInput: what they need, what is free, and what to do.
    """
    place = resolve_device(device)
    kind = word_of(dtype, place)
    folders = [model.folder if isinstance(model, Located) else model for model in models]
    needed, free = sum(bytes_needed(folder, kind, tokens) for folder in folders), _free(place, device == "auto")
    if needed > free:
        names = ", ".join(model.text if isinstance(model, Located) else model.name for model in models)
        raise BadInput(
            f"{names}: too large for the memory of {place}: {needed / GIB:.1f} GiB in {kind} (weights, keys and values), "
            f"{free / GIB:.1f} GiB are free; use a smaller model, fewer at a time, "
            f"{'--dtype bf16, ' if kind == 'fp32' else ''}another --device, or end what else uses the memory"
        )


def check_download_fits(reference: str, device: str = "auto", dtype: str = "auto") -> None:
    """As :func:`check_fits` for a model on the hub, of which only its ``config.json`` is fetched."""
    folder = configuration_folder(reference)
    check_fits([Located(reference, reference, folder, "")], device, dtype)


def _free(place: str, spread: bool) -> float:
    import torch

    if spread and place.startswith("cuda"):
        return sum(free_memory(torch.device(f"cuda:{number}")) for number in range(torch.cuda.device_count()))
    return free_memory(torch.device(place))
