"""Tiny models written as GGUF files with the package ``gguf``, as llama.cpp's converter writes them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gguf
import numpy
import pytest
import torch
from tiny_models import tiny_model, tiny_tokenizer

from brittle.command_line import main
from brittle.settings import BadInput

TEMPLATE = "{% for message in messages %}<{{ message['role'] }}>{{ message['content'] }}{% endfor %}"
MEMBER = {
    "llama": gguf.MODEL_ARCH.LLAMA,
    "qwen2": gguf.MODEL_ARCH.QWEN2,
    "qwen3": gguf.MODEL_ARCH.QWEN3,
    "gpt2": gguf.MODEL_ARCH.GPT2,
}

OF_ITS_SIZES: dict[str, dict[str, Any]] = {
    "qwen3": {"intermediate_size": 64, "head_dim": 128},
    "gpt2": {"n_inner": 128, "max_position_embeddings": 1024},
}
"""What transformers does not read from the file but takes as it is in every published model of the architecture."""


def model_for(architecture: str, **changes: Any) -> Any:
    """A random model of 4 layers whose rows are whole blocks of 32 numbers, its vectors random too."""
    usual = OF_ITS_SIZES.get(architecture, {"intermediate_size": 64})
    model: Any = tiny_model(architecture, num_hidden_layers=4, **{**usual, **changes})
    generator = torch.Generator().manual_seed(1)
    for parameter in model.parameters():
        if parameter.dim() == 1:
            parameter.data += 0.2 * torch.randn(parameter.shape, generator=generator)
    return model


def write_gguf(
    path: Path, model: Any, codes: gguf.GGMLQuantizationType | None = None, words: str = "gpt-2", name: str | None = None,
    leave_out: tuple[str, ...] = (), more: dict[str, Any] | None = None,
) -> Path:  # fmt: skip
    """Write a model with the tiny tokenizer: matrices in ``codes`` (None: float32), vectors in float32.

    ``name`` is what the file calls its architecture, ``words`` how it splits text, ``leave_out`` are tensors (by their
    GGUF names) that it lacks, ``more`` are numbers and words that it says besides.
    """
    config, architecture = model.config, model.config.model_type
    member = MEMBER[architecture]
    writer = gguf.GGUFWriter(path, name or gguf.MODEL_ARCH_NAMES[member])
    writer.add_name("Tiny")
    writer.add_license("apache-2.0")
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(getattr(config, "intermediate_size", None) or config.n_inner)
    writer.add_head_count(config.num_attention_heads)
    writer.add_vocab_size(config.vocab_size)
    if architecture == "gpt2":
        writer.add_layer_norm_eps(config.layer_norm_epsilon)
    else:
        width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        writer.add_head_count_kv(config.num_key_value_heads)
        writer.add_layer_norm_rms_eps(config.rms_norm_eps)
        writer.add_rope_freq_base(10000.0)
        writer.add_rope_dimension_count(width)
        writer.add_key_length(width)
        writer.add_value_length(width)
    for key, value in (more or {}).items():
        (writer.add_uint32 if isinstance(value, int) else writer.add_string)(key, value)
    _add_tokenizer(writer, words)
    names = gguf.get_tensor_name_map(member, config.num_hidden_layers)
    for key, tensor in model.state_dict().items():
        stem, _, kind = key.rpartition(".")
        if key == "lm_head.weight" and config.tie_word_embeddings or (found := names.get_name(stem)) is None:
            continue
        if f"{found}.{kind}" in leave_out:
            continue
        array = _as_stored(architecture, config, found, kind, tensor).contiguous().numpy()
        if codes is not None and array.ndim == 2:
            writer.add_tensor(f"{found}.{kind}", gguf.quants.quantize(array, codes), raw_dtype=codes)
        else:
            writer.add_tensor(f"{found}.{kind}", array.astype(numpy.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _add_tokenizer(writer: gguf.GGUFWriter, words: str) -> None:
    backend = json.loads(tiny_tokenizer().backend_tokenizer.to_str())["model"]
    tokens = sorted(backend["vocab"], key=backend["vocab"].get)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(words)
    writer.add_token_list(tokens)
    writer.add_token_types([3 if token == "<|endoftext|>" else 1 for token in tokens])
    writer.add_token_merges([pair if isinstance(pair, str) else " ".join(pair) for pair in backend["merges"]])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(0)
    writer.add_pad_token_id(0)
    writer.add_add_bos_token(False)
    writer.add_chat_template(TEMPLATE)


def _as_stored(architecture: str, config: Any, name: str, kind: str, tensor: torch.Tensor) -> torch.Tensor:
    """A tensor as llama.cpp keeps it: Llama's rotary halves interleaved, GPT-2's matrices turned."""
    if architecture == "llama" and name.endswith(("attn_q", "attn_k")):
        heads = config.num_attention_heads if name.endswith("attn_q") else config.num_key_value_heads
        return tensor.reshape(heads, 2, tensor.shape[0] // heads // 2, -1).transpose(1, 2).reshape(tensor.shape)
    turned = ("attn_qkv", "attn_output", "ffn_up", "ffn_down")
    return tensor.T if architecture == "gpt2" and kind == "weight" and name.endswith(turned) else tensor


def run(arguments: list[str]) -> Any:
    """The exit code of a command in this process."""
    with pytest.raises(SystemExit) as ended:
        main(None, arguments)
    return ended.value.code


def one_line(action: Callable[[], Any]) -> str:
    """What bad input is told, which is one line."""
    with pytest.raises(BadInput) as caught:
        action()
    message = str(caught.value)
    assert "\n" not in message
    return message
