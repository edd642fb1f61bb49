"""New models and tokenizers from scratch, for the laboratory."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import GPTNeoXConfig, GPTNeoXForCausalLM, PreTrainedTokenizerFast

from brittle.models.configuration import quiet
from brittle.models.model_files import copy_tokenizer

END_OF_TEXT = "<|endoftext|>"


def new_tokenizer(corpus: Iterable[str], vocabulary: int) -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer trained on ``corpus``; token 0 ends texts and pads."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[END_OF_TEXT],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(corpus, trainer)
    wrapped: Callable[..., PreTrainedTokenizerFast] = PreTrainedTokenizerFast  # its constructor has no types
    return wrapped(tokenizer_object=tokenizer, eos_token=END_OF_TEXT, bos_token=END_OF_TEXT, pad_token=END_OF_TEXT)


def new_gpt_neox(vocabulary: int, width: int, layers: int, heads: int, context: int, seed: int) -> GPTNeoXForCausalLM:
    """A GPT-NeoX model with random weights drawn from ``seed``."""
    torch.manual_seed(seed)
    return GPTNeoXForCausalLM(
        GPTNeoXConfig(
            vocab_size=vocabulary, hidden_size=width, num_hidden_layers=layers, num_attention_heads=heads,
            intermediate_size=4 * width, max_position_embeddings=context, rope_parameters={"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 1.0}, hidden_dropout=0.0,
            attention_dropout=0.0, bos_token_id=0, eos_token_id=0, pad_token_id=0,
        )
    )  # fmt: skip


def save(model: Any, tokenizer: Any, folder: Path, base_folder: Path | None = None) -> None:
    """Write a model and its tokenizer as safetensors and JSON, without any pickle.

    With ``base_folder`` the tokenizer's files, its chat template among them, are that folder's byte for byte: one that
    was used holds the padding and truncation of its last call.
    """
    quiet()
    model.save_pretrained(folder)
    if base_folder is None:
        tokenizer.save_pretrained(folder)
    else:
        copy_tokenizer(base_folder, folder)
