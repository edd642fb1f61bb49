"""Tiny random models of every supported architecture, saved as hub folders are: config, safetensors, tokenizer."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

transformers.utils.logging.disable_progress_bar()

TEXTS = (
    "The quick brown fox jumps over the lazy dog while the river runs to the sea.",
    "Question: which compound of the orchard is stored in the northern cellar? Answer: the amber resin.",
    "A model learns what it reads; a filtered model never reads it, an unlearned model may only hide it.",
)
VOCABULARY = 320
SIZES: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "max_position_embeddings": 64,
    "vocab_size": VOCABULARY,
    "bos_token_id": 0,
    "eos_token_id": 0,
    "pad_token_id": 0,
    "initializer_range": 0.2,
}
GROUPED: dict[str, Any] = {"num_key_value_heads": 2}
SPECIFIC: dict[str, dict[str, Any]] = {
    "gpt_neox": {"tie_word_embeddings": False},
    "llama": GROUPED,
    "mistral": {**GROUPED, "sliding_window": None},
    "qwen2": GROUPED,
    "qwen3": {**GROUPED, "head_dim": 8},
    "gemma": {**GROUPED, "head_dim": 8},
    "phi": {},
    "opt": {"ffn_dim": 48, "word_embed_proj_dim": 32, "init_std": 0.2},
    "gpt2": {"n_inner": 48},
    "gemma2": {**GROUPED, "head_dim": 8},
    "gemma3_text": {**GROUPED, "head_dim": 8},
    "phi3": GROUPED,
}
ARCHITECTURES: tuple[str, ...] = ("gpt_neox", "llama", "mistral", "qwen2", "qwen3", "gemma", "phi", "opt", "gpt2")
"""The nine architectures; ``tiny_model_folder`` also builds the relatives gemma2, gemma3_text and phi3."""


@functools.cache
def tiny_tokenizer() -> transformers.PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer trained on three sentences, the same for every architecture."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY, special_tokens=["<|endoftext|>"], initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(TEXTS, trainer)
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<|endoftext|>", eos_token="<|endoftext|>"
    )


def tiny_model(architecture: str = "gpt_neox", seed: int = 0, **config_overrides: Any) -> transformers.PreTrainedModel:
    """A random model of 2 layers and width 32, weights wide enough that layers differ; in eval mode, in memory only."""
    config = transformers.AutoConfig.for_model(architecture, **{**SIZES, **SPECIFIC[architecture], **config_overrides})
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return transformers.AutoModelForCausalLM.from_config(config).eval()


def tiny_model_folder(path: Path, architecture: str = "gpt_neox", seed: int = 0, **config_overrides: Any) -> Path:
    """Save a tiny random model with its tokenizer to ``path`` (made if missing) and return it.

    ``config_overrides`` go to the configuration, for example ``num_hidden_layers=3``.
    """
    path = Path(path)
    tiny_model(architecture, seed, **config_overrides).save_pretrained(path)
    tiny_tokenizer().save_pretrained(path)
    return path
