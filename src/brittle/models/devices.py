"""On which device, in which number type: the documented words turned into what torch takes."""

from __future__ import annotations

import contextlib
import math
import re
from pathlib import Path
from typing import TYPE_CHECKING

from brittle.settings import BadInput

if TYPE_CHECKING:  # torch takes seconds to load, and where the CPU is named nothing needs it
    import torch

DTYPES = {"fp32": "float32", "fp16": "float16", "bf16": "bfloat16"}
"""The documented words, and what torch calls these number types."""


def resolve_device(text: str = "auto") -> str:
    """A documented word as a device name that torch takes.

    ``auto`` is the CUDA GPU with most free memory, else MPS, else the CPU; ``cuda`` the first GPU; ``cuda:N``, ``mps``
    and ``cpu`` are themselves. BadInput if this machine lacks it.
    """
    if text == "cpu":
        return text
    import torch

    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    mps = torch.backends.mps.is_available()
    if text == "auto":
        return f"cuda:{max(range(gpus), key=_free_memory)}" if gpus else "mps" if mps else "cpu"
    if match := re.fullmatch(r"cuda(?::(\d+))?", text):
        number = int(match[1] or 0)
        if number >= gpus:
            raise BadInput(f"--device {text}: this machine shows {gpus} CUDA GPUs; use auto or cpu")
        return f"cuda:{number}"
    if text == "mps" and not mps:
        raise BadInput("--device mps: no Apple GPU is available here; use auto or cpu")
    if text != "mps":
        raise BadInput(f"--device: '{text}' is not one of auto, cuda, cuda:N, mps, cpu")
    return text


def resolve_devices(text: str = "auto") -> list[str]:
    """As :func:`resolve_device`, but ``auto`` is every CUDA GPU where there are several."""
    import torch

    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    return [f"cuda:{number}" for number in range(gpus)] if text == "auto" and gpus > 1 else [resolve_device(text)]


def _free_memory(gpu: int) -> int:
    import torch

    try:
        return torch.cuda.mem_get_info(gpu)[0]
    except RuntimeError:  # some rented machines forbid the query; such a GPU is the last choice, not an error
        return 0


def free_memory(device: torch.device) -> float:
    """Bytes that can still be had on a device; infinity where the system does not say."""
    import torch

    with contextlib.suppress(OSError, ValueError, RuntimeError, StopIteration):
        if device.type == "cuda":
            return float(torch.cuda.mem_get_info(device)[0])
        lines = Path("/proc/meminfo").read_text(encoding="utf-8").splitlines()
        return 1024.0 * next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable"))
    return math.inf


def word_of(text: str, device: str) -> str:
    """``fp32``, ``fp16`` or ``bf16``: as named, or what ``auto`` is on a device (bf16 on CUDA, fp16 on MPS, fp32 on CPU)."""
    if text == "auto":
        return "bf16" if device.startswith("cuda") else "fp16" if device == "mps" else "fp32"
    if text not in DTYPES:
        raise BadInput(f"--dtype: '{text}' is not one of auto, {', '.join(DTYPES)}")
    return text


def resolve_dtype(text: str, device: str) -> torch.dtype:
    """As :func:`word_of`, but what torch takes; ``device`` as resolved."""
    return _torchs(word_of(text, device))


def trained_in(text: str, device: str) -> str:
    """As :func:`word_of`, for training beside float32 weights, which a CPU does not do in fp16: that is refused."""
    found = word_of(text, device)
    if device == "cpu" and found == "fp16":
        raise BadInput("--dtype fp16: a CPU trains in fp32 or bf16; name one of them, or a GPU with --device")
    return found


def mixed_precision(text: str, device: str) -> torch.dtype:
    """As :func:`trained_in`, but what torch takes."""
    return _torchs(trained_in(text, device))


def _torchs(word: str) -> torch.dtype:
    import torch

    dtype: torch.dtype = getattr(torch, DTYPES[word])
    return dtype


def word_for(dtype: torch.dtype) -> str:
    """The documented word for a number type."""
    name = str(dtype).removeprefix("torch.")
    return next((word for word, known in DTYPES.items() if known == name), name)


def what_runs(device: str = "auto", dtype: str = "auto") -> dict[str, str]:
    """What the two documented words stand for on this machine, for records and identities: ``auto`` and what it chooses
    are one. ``{"device": "cpu", "dtype": "fp32"}``; of several GPUs it does not matter which."""
    place = resolve_device(device)
    return {"device": place.partition(":")[0], "dtype": word_of(dtype, place)}
