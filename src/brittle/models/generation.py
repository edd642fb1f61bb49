"""What a model says: it goes on with a prompt token by token, and tells how likely it finds every one.

Log-probabilities are in nats and always the model's own, log softmax of its logits in float32, whatever is drawn with
which temperature. Greedy tokens are those of transformers' ``generate(do_sample=False)``, drawn ones those of
``generate(do_sample=True)`` after ``torch.manual_seed``; of a model's ``generation_config`` only the tokens that end a
text are heeded, so that models are asked alike.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from brittle.models.encoding import check_room, encode, encode_pieces, front_of, longest_row
from brittle.models.generation_settings import GenerationSettings
from brittle.models.hidden_states import refuse
from brittle.models.likelihood import score, token_log_probabilities
from brittle.models.loading import LoadedModel
from brittle.settings import BadInput

__all__ = ["Choice", "GenerationSettings", "Prompt", "Token", "choice_probabilities", "prepare", "stream", "surprise"]

END_OF_TEXT, ENOUGH, FULL = "end of text", "max tokens", "context full"
"""Why a text ended (:attr:`Token.ended`)."""


@dataclass(frozen=True)
class Token:
    """One token of a text."""

    text: str
    """What it adds to the text. Empty for special tokens, and while a character is spread over several tokens: the last
    of them has it. The pieces of a text one after the other are the text."""
    token_id: int
    log_probability: float
    """Given the tokens before it, in nats, at most 0; NaN where there is none before it."""
    ended: str = ""
    """Of the last token that is generated: ``end of text``, ``max tokens`` or ``context full``; else empty."""

    @property
    def surprise(self) -> float:
        """−log p, in nats."""
        return -self.log_probability


@dataclass(frozen=True)
class Prompt:
    """A prompt as the model reads it."""

    token_ids: tuple[int, ...]
    room: int
    """How many tokens may follow."""
    cut: int = 0
    """How many of its tokens did not fit and were left out, from its beginning."""
    cut_text: str = ""
    """What these were."""


@dataclass(frozen=True)
class Choice:
    """One answer choice of a question."""

    text: str
    log_probability: float
    """Mean over the tokens that it adds to the question, in nats per token (:mod:`brittle.models.likelihood`)."""
    share: float
    """Its exp(log_probability) as a share of all choices', 0 to 1."""


Messages = Sequence[dict[str, str]]
"""A conversation: ``[{"role": "user", "content": "…"}, {"role": "assistant", "content": "…"}, …]``."""


def prepare(loaded: LoadedModel, prompt: str | Messages, max_tokens: int = GenerationSettings.max_tokens) -> Prompt:
    """A text, or a conversation in the form of the tokenizer's chat template, as tokens.

    Prompt and answer share the context: what does not fit beside ``max_tokens`` (or beside half of the context, where that
    is less) is cut from the prompt's beginning, behind what the tokenizer puts in front.

    Raises:
        BadInput: the prompt is empty, or the tokenizer has no chat template (or one that refuses the conversation).
    """
    raise NotImplementedError


def stream(loaded: LoadedModel, prompt: str | Messages | Prompt, settings: GenerationSettings) -> Iterator[Token]:
    """The tokens that follow, each as soon as it is known; the last one says why it is the last. May be left at any time.

    Raises:
        BadInput: as :func:`prepare`; the model gives numbers that are not finite.
    """
    raise NotImplementedError


def surprise(loaded: LoadedModel, text: str) -> list[Token]:
    """Every token of a text with its log-probability, from one pass over the whole text.

    A text longer than the context goes on in a further row (:mod:`brittle.models.encoding`), whose first token has nothing before it.
    """
    raise NotImplementedError


def choice_probabilities(loaded: LoadedModel, question: str, choices: Sequence[str]) -> list[Choice]:
    """How likely the model finds each answer choice of a question."""
    raise NotImplementedError
