"""Tiny random models as the passes take them, and questions to ask them; nothing touches the disk."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
from tiny_models import tiny_model, tiny_tokenizer

from brittle.models.anatomy import anatomy_of
from brittle.models.loading import LoadedModel

RELATIVES = ("gemma2", "gemma3_text", "phi3")
"""Architectures beyond the nine that have something of their own at the output (a soft cap on logits) or inside."""


@dataclass(frozen=True)
class Asked:
    """A multiple-choice question, as far as scoring reads it."""

    question: str
    choices: tuple[str, ...]
    answer: int
    subject: str = "none"


QUESTIONS = (
    Asked("The quick brown fox", ("a", "c", "f", "i"), 1, "foxes"),
    Asked("A model learns what it reads; a filtered model", ("i", "f", "a"), 0, "models"),
    Asked("Question: which compound is stored?", ("amber resin", "the sea", "river", "a lazy dog"), 2, "foxes"),
    Asked("The river runs", ("to the sea", "to", "a", "over the lazy dog while it reads"), 0, "rivers"),
    Asked("The", ("c", "a", "i", "f"), 3, "rivers"),
)  # fmt: skip
"""Three whose choices are one token each under the tiny tokenizer, two whose choices are not."""
SINGLE = tuple(question for question in QUESTIONS if all(len(choice) == 1 for choice in question.choices))


def tiny_loaded(architecture: str = "gpt_neox", seed: int = 0, **config_overrides: object) -> LoadedModel:
    """A tiny random model with its tokenizer, in memory.

    Norms and biases are random too: at their initial values a norm applied twice is the norm applied once, and a bias
    left out is not missed.
    """
    tokenizer = copy.deepcopy(tiny_tokenizer())
    tokenizer.padding_side, tokenizer.pad_token = "right", tokenizer.eos_token
    model = tiny_model(architecture, seed, **config_overrides)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 1:
                parameter += 0.3 * torch.randn(parameter.shape, generator=generator)
    return LoadedModel(model, tokenizer, anatomy_of(model.config), f"{architecture}-{seed}", f"{seed}", "cpu")
