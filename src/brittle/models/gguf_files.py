"""GGUF files, in which llama.cpp keeps a model: unpacked once to a folder of float32 safetensors, then a model like any other.

The folder lies in the cache (``gguf/`` under the home folder) and is found there by the file's content. It is written whole or
not at all, and its record says where it came from. Stored codes become the numbers that they stand for; nothing is trained or
rounded, and nothing of the file stays quantised.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib
import importlib.util
import math
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from brittle import leases, progress
from brittle.models.configuration import quiet
from brittle.records import Identity, check_writable, is_complete, parents_of, writing
from brittle.settings import BadInput, home

MAGIC, SUFFIX = b"GGUF", ".gguf"
KIND, VERSION = "converted model", 1
"""The version is raised when this file writes something else: half a gigabyte is not written again for a better comment."""
ARCHITECTURES = ("llama", "qwen2", "qwen3", "gpt2")
"""What a file calls its architecture, of those that transformers restores whole and :mod:`brittle.models.anatomy` knows; Mistral
is a llama. Files of Gemma and Phi-3 do not say, or transformers does not read, the scale of attention, rotary shares and windows:
what came out would be another model.
"""
EXTRA = "uv sync --extra real, or pip install gguf"
AGAIN = "download or copy it again"
SPLITS_DIGITS = ("smollm", "starcoder", "refact", "command-r", "codeshell", "exaone", "minerva-7b")
"""Pre-tokenizers that take each digit alone before they split as GPT-2's does, by their names in a file."""
SPLITS_AS_GPT2 = ("default", "gpt-2", "gpt2")
WORKING_COPIES = 3
"""Copies in float32 of the largest tensor that stand beside the weights at the peak (measured: two)."""
GIB = 2**30


@dataclass(frozen=True)
class Header:
    """What a file says of itself: architecture, counts of numbers, how words are split, its name and licence."""

    architecture: str
    numbers: int
    largest: int
    words: str
    name: str
    licence: str
    rotary_scaling: bool
    """Whether rotary positions are scaled for longer contexts, which transformers does not read."""

    @property
    def disk(self) -> int:
        """Bytes of the weights in float32."""
        return 4 * self.numbers


def file_in(path: Path) -> Path | None:
    """The GGUF file that a path names: itself, or the only one in a folder without ``config.json``; None if there is none.

    Raises:
        BadInput: a folder holds several, and nothing says which.
    """
    if path.is_file():
        return path if path.suffix == SUFFIX or _begins_as_one(path) else None
    if not path.is_dir() or (path / "config.json").exists():
        return None
    found = sorted(each for each in path.iterdir() if each.suffix == SUFFIX and each.is_file())
    if len(found) > 1:
        names = ", ".join(each.name for each in found[:4])
        raise BadInput(f"model folder {path} holds {len(found)} GGUF files ({names}); name one of them as the model")
    return found[0] if found else None


def converted(path: Path, digest: str) -> Path:
    """The folder with the model of a GGUF file; made if it is not there. ``digest`` is the file's content hash.

    Raises:
        BadInput: the package ``gguf`` is missing, the file is damaged or of an unknown architecture, or disk or memory do
            not suffice, which is estimated before anything is unpacked.
    """
    identity = Identity(KIND, {"gguf": digest}, {"version": VERSION})
    stem = re.sub(r"[^A-Za-z0-9._-]+", "_", path.stem).lstrip(".")[:60] or "model"
    folder = home() / "gguf" / f"{stem}-{identity.fingerprint[:8]}"
    if not is_complete(folder, identity):
        header = read_header(path)
        _check_room(path, header, folder)
        with parents_of(folder), leases.held(folder, wait=True):  # two commands may need the same
            if not is_complete(folder, identity):
                _convert(path, header, folder, identity)
    return folder


def read_header(path: Path) -> Header:
    """What a file says of itself; all of its tensors must lie within it.

    Raises:
        BadInput: the package is missing, or the file is none, is damaged, is one part of several, or of an unknown architecture.
    """
    if importlib.util.find_spec("gguf") is None:
        raise BadInput(f"{path} is a GGUF file, and the package gguf, which reads it, is not installed; {EXTRA}")
    if not _begins_as_one(path):
        raise BadInput(f"{path} does not begin as a GGUF file does; {AGAIN}")
    from gguf import GGUFReader

    try:
        reader = GGUFReader(path)
        said = {
            name: field.contents() for name, field in reader.fields.items() if not name.endswith(("tokens", "merges"))
        }
        sizes = [(tensor.name, math.prod(map(int, tensor.shape))) for tensor in reader.tensors]
    except Exception as error:  # numpy's, the enums' or the reader's own, by what is damaged
        reason = " ".join(str(error).split())[:120]
        raise BadInput(f"{path} is truncated or damaged ({type(error).__name__}: {reason}); {AGAIN}") from None
    if int(said.get("split.count") or 0) > 1:
        raise BadInput(
            f"{path} is one of {said['split.count']} parts of a model; merge them with llama-gguf-split --merge"
        )
    architecture = str(said.get("general.architecture"))
    if architecture not in ARCHITECTURES:
        raise BadInput(
            f"{path} is of architecture '{architecture[:60]}', which is not read from GGUF; of these it is: "
            f"{', '.join(ARCHITECTURES)} (for another use its safetensors)"
        )
    if not sizes or "tokenizer.ggml.model" not in said:
        raise BadInput(f"{path} has no {'tokenizer' if sizes else 'weights'}; use the whole model")
    return Header(
        architecture, sum(size for _, size in sizes), max(size for _, size in sizes),
        str(said.get("tokenizer.ggml.pre", "default")) if said["tokenizer.ggml.model"] == "gpt2" else "",
        str(said.get("general.name", path.stem)), str(said.get("general.license", "not said in the file")),
        said.get(f"{architecture}.rope.scaling.type", "none") != "none" or any(name.startswith("rope_f") for name, _ in sizes),
    )  # fmt: skip


def _begins_as_one(path: Path) -> bool:
    with open(path, "rb") as file:
        return file.read(len(MAGIC)) == MAGIC


def _check_room(path: Path, header: Header, folder: Path) -> None:
    """Refuse a conversion that disk or memory would not suffice for."""
    import torch

    from brittle.models.devices import free_memory

    check_writable(folder)
    place = next(parent for parent in folder.absolute().parents if parent.exists())
    free = shutil.disk_usage(place).free
    if header.disk > free:
        raise BadInput(
            f"{path} takes {header.disk / GIB:.1f} GiB of disk as float32, and {free / GIB:.1f} GiB are free under {place}; make "
            "room, or set BRITTLE_HOME to a folder on a larger disk"
        )
    needed = header.disk + 4 * WORKING_COPIES * header.largest + path.stat().st_size
    memory = free_memory(torch.device("cpu"))
    if needed > memory:
        raise BadInput(
            f"{path} takes {needed / GIB:.1f} GiB of memory to unpack, and {memory / GIB:.1f} GiB are free; use a smaller model, or "
            "end what else uses the memory"
        )


def _convert(path: Path, header: Header, folder: Path, identity: Identity) -> None:
    from brittle.models.construction import save

    size = f"{header.numbers / 1e6:.0f} million weights, {header.disk / GIB:.1f} GiB"
    progress.say(f"{path.name}: unpacking to float32, once ({size} in {folder})")
    with writing(folder, identity) as draft:
        model, tokenizer = _unpacked(path)
        notes = [*_split_words(tokenizer, header.words), *_not_carried_over(header)]
        tokenizer.model_max_length = getattr(model.config, "max_position_embeddings", tokenizer.model_max_length)
        for name in ("is_local", "local_files_only", "gguf_file"):  # how it was read, not what it is
            tokenizer.init_kwargs.pop(name, None)
        save(model, tokenizer, draft.folder)
        with open(path, "rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        draft.note(source=path.name, sha256=sha256, name=header.name, licence=header.licence, notes=notes)
    for note in notes:
        progress.say(f"note: {path.name}: {note}")


def _unpacked(path: Path) -> tuple[Any, Any]:
    """The model in float32, no longer marked as quantised, and its tokenizer."""
    import torch
    import transformers

    quiet()
    try:
        with _without_bar():
            loaded: Any = transformers.AutoModelForCausalLM.from_pretrained(
                path.parent, gguf_file=path.name, dtype=torch.float32, local_files_only=True, output_loading_info=True,
                ignore_mismatched_sizes=True,
            )  # fmt: skip
            tokenizer = transformers.AutoTokenizer.from_pretrained(
                path.parent, gguf_file=path.name, local_files_only=True
            )
    except Exception as error:  # whatever a value in the file does inside transformers
        reason = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
        raise BadInput(f"{path} cannot be unpacked ({reason}); {AGAIN}, or use its safetensors") from error
    model, report = loaded
    odd = [*((name, "is not in it") for name in report["missing_keys"]),
           *((name, "has another shape than follows from what it says") for name, *_ in report["mismatched_keys"])]  # fmt: skip
    if odd:
        name, what = min(odd)
        raise BadInput(f"{path} does not hold its architecture's weights: {name} {what}; use its safetensors")
    model.hf_quantizer, model.is_quantized = None, False
    for name in ("quantization_config", "_pre_quantization_dtype"):
        if hasattr(model.config, name):
            delattr(model.config, name)
    return model, tokenizer


def _split_words(tokenizer: Any, words: str) -> list[str]:
    """Split text into words as the file says where transformers leaves that to GPT-2's way; what cannot be done is returned."""
    from tokenizers import pre_tokenizers

    backend = tokenizer.backend_tokenizer
    if not words or words in SPLITS_AS_GPT2 or not isinstance(backend.pre_tokenizer, pre_tokenizers.ByteLevel):
        return []
    if words not in SPLITS_DIGITS:
        return [f"its way to split words, '{words}', is not known; texts are split as GPT-2 does"]
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    return []


def _not_carried_over(header: Header) -> list[str]:
    told = "its scaling of rotary positions is not read: at long distances the model differs from its source"
    return [told] if header.rotary_scaling else []


@contextlib.contextmanager
def _without_bar() -> Iterator[None]:
    """transformers shows a bar of its own while it unpacks, whatever its verbosity."""
    module: Any = importlib.import_module("transformers.modeling_gguf_pytorch_utils")
    bar = getattr(module, "tqdm", None)
    if bar is None:
        yield
        return
    module.tqdm = functools.partial(bar, disable=True)
    try:
        yield
    finally:
        module.tqdm = bar
