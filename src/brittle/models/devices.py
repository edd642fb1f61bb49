"""On which device, in which number type: the documented words turned into what torch takes."""

from __future__ import annotations

import contextlib
import math
import re
from pathlib import Path

import torch

from brittle.settings import BadInput

DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


def resolve_device(text: str = "auto") -> str:
    """A documented word as a device name that torch takes.

    ``auto`` is the CUDA GPU with most free memory, else MPS, else the CPU; ``cuda`` the first GPU; ``cuda:N``, ``mps``
    and ``cpu`` are themselves. BadInput if this machine lacks it.
    """
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
    if text not in ("mps", "cpu"):
        raise BadInput(f"--device: '{text}' is not one of auto, cuda, cuda:N, mps, cpu")
    return text


def resolve_devices(text: str = "auto") -> list[str]:
    """As :func:`resolve_device`, but ``auto`` is every CUDA GPU where there are several."""
    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    return [f"cuda:{number}" for number in range(gpus)] if text == "auto" and gpus > 1 else [resolve_device(text)]


def _free_memory(gpu: int) -> int:
    try:
        return torch.cuda.mem_get_info(gpu)[0]
    except RuntimeError:  # some rented machines forbid the query; such a GPU is the last choice, not an error
        return 0


def free_memory(device: torch.device) -> float:
    """Bytes that can still be had on a device; infinity where the system does not say."""
    with contextlib.suppress(OSError, ValueError, RuntimeError, StopIteration):
        if device.type == "cuda":
            return float(torch.cuda.mem_get_info(device)[0])
        lines = Path("/proc/meminfo").read_text(encoding="utf-8").splitlines()
        return 1024.0 * next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable"))
    return math.inf


def resolve_dtype(text: str, device: str) -> torch.dtype:
    """``auto`` (bf16 on CUDA, fp16 on MPS, fp32 on CPU), ``fp32``, ``fp16`` or ``bf16``; ``device`` as resolved."""
    if text == "auto":
        return DTYPES["bf16" if device.startswith("cuda") else "fp16" if device == "mps" else "fp32"]
    if text not in DTYPES:
        raise BadInput(f"--dtype: '{text}' is not one of auto, {', '.join(DTYPES)}")
    return DTYPES[text]


def mixed_precision(text: str, device: str) -> torch.dtype:
    """As :func:`resolve_dtype`, for training beside float32 weights, which a CPU does not do in fp16: that is refused."""
    found = resolve_dtype(text, device)
    if device == "cpu" and found == torch.float16:
        raise BadInput("--dtype fp16: a CPU trains in fp32 or bf16; name one of them, or a GPU with --device")
    return found


def word_for(dtype: torch.dtype) -> str:
    """The documented word for a number type."""
    return next((word for word, known in DTYPES.items() if known == dtype), str(dtype).removeprefix("torch."))


def what_runs(device: str = "auto", dtype: str = "auto") -> dict[str, str]:
    """What the two documented words stand for on this machine, for records and identities: ``auto`` and what it chooses
    are one. ``{"device": "cpu", "dtype": "fp32"}``; of several GPUs it does not matter which."""
    place = resolve_device(device)
    return {"device": place.partition(":")[0], "dtype": word_for(resolve_dtype(dtype, place))}
