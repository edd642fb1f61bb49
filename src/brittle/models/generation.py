"""What a model says: it goes on with a prompt token by token, and tells how likely it finds every one.

Log-probabilities are in nats and always the model's own, log softmax of its logits in float32, whatever is drawn with
which temperature. Greedy tokens are those of transformers' ``generate(do_sample=False)``; tokens are drawn on the CPU,
as ``generate(do_sample=True)`` draws them there after ``torch.manual_seed``. Of a model's ``generation_config`` only the
tokens that end a text are heeded, so that all models are asked alike.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from transformers.cache_utils import DynamicCache

from brittle.models.encoding import encode, encode_pieces, front_of, longest_row
from brittle.models.generation_settings import GenerationSettings
from brittle.models.hidden_states import refuse
from brittle.models.likelihood import score, token_log_probabilities
from brittle.models.loading import LoadedModel
from brittle.settings import BadInput

__all__ = ["Choice", "GenerationSettings", "Prompt", "Token", "choice_probabilities", "prepare", "stream", "surprise"]

END_OF_TEXT, ENOUGH, FULL = "end of text", "max tokens", "context full"
"""Why a text ended (:attr:`Token.ended`)."""
HALF = "\N{REPLACEMENT CHARACTER}"
"""What decoding gives for the first bytes of a character whose others are not there yet."""
BEFORE = 8
"""Tokens of the prompt that the first token is decoded behind: some tokenizers drop a space where a text begins."""


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
    text = prompt if isinstance(prompt, str) else _in_template(loaded, prompt)
    (row,) = encode(loaded.tokenizer, [text]) if text.strip() else ([],)
    if not row:
        raise BadInput("the prompt is empty; write what the model is to go on with")
    front, window = len(front_of(loaded.tokenizer)), longest_row(loaded.model)
    most = max(front + 1, window - min(max_tokens, window // 2))
    excess = row[front : front + max(0, len(row) - most)]
    kept = (*row[:front], *row[front + len(excess) :])
    return Prompt(kept, window - len(kept), len(excess), _decoded(loaded.tokenizer, excess))


def stream(loaded: LoadedModel, prompt: str | Messages | Prompt, settings: GenerationSettings) -> Iterator[Token]:
    """The tokens that follow, each as soon as it is known; the last one says why it is the last. May be left at any time.

    Raises:
        BadInput: as :func:`prepare`; the model gives numbers that are not finite.
    """
    if not isinstance(prompt, Prompt):
        prompt = prepare(loaded, prompt, settings.max_tokens)
    most = min(settings.max_tokens, prompt.room)
    choose, ends = _chooser(loaded, settings), end_tokens(loaded)
    pieces = _Pieces(loaded.tokenizer, prompt.token_ids[-BEFORE:])
    row, cache = list(prompt.token_ids), DynamicCache(config=loaded.model.config)
    for number in range(1, most + 1):
        logits = _next_logits(loaded, row if number == 1 else row[-1:], cache)
        if not bool(logits.isfinite().all()):
            refuse(loaded, torch.tensor([row]), None)
        token = int(choose(torch.tensor([row]), logits))
        row.append(token)
        ended = (
            END_OF_TEXT if token in ends else "" if number < most else ENOUGH if most == settings.max_tokens else FULL
        )
        yield Token(pieces.add(token, bool(ended)), token, float(logits[0].log_softmax(-1)[token]), ended)
        if ended:
            return


def surprise(loaded: LoadedModel, text: str) -> list[Token]:
    """Every token of a text with its log-probability, from one pass over the whole text.

    A text longer than the context goes on in a further row (:mod:`brittle.models.encoding`), whose first token has nothing
    before it but what the tokenizer puts in front.
    """
    front, last = len(front_of(loaded.tokenizer)), len(loaded.anatomy.blocks(loaded.model))
    (rows,) = encode_pieces(loaded.tokenizer, [text], longest_row(loaded.model))
    found = []
    for row in rows:
        values = [math.nan]
        if len(row) > 1:
            values += token_log_probabilities(loaded, [row], [1], [last], loaded.tokenizer.pad_token_id)[0][0].tolist()
        pieces = _Pieces(loaded.tokenizer, row[:front])
        for place in range(front, len(row)):
            found.append(Token(pieces.add(row[place], place == len(row) - 1), row[place], values[place]))
    return found


def choice_probabilities(loaded: LoadedModel, question: str, choices: Sequence[str]) -> list[Choice]:
    """How likely the model finds each answer choice of a question, scored as everywhere (:mod:`brittle.models.likelihood`)."""
    if len(choices) < 2:
        raise BadInput("a question needs two answer choices or more; add some")
    values = score(loaded, [_Question(question, tuple(choices))]).log_probabilities[0, 0]
    shares = np.exp(values - np.logaddexp.reduce(values))
    return [Choice(text, float(value), float(share)) for text, value, share in zip(choices, values, shares)]


@dataclass(frozen=True)
class _Question:
    question: str
    choices: tuple[str, ...]
    answer: int = 0


def check_template(tokenizer: Any, name: str) -> None:
    """Refuse a tokenizer without a chat template; ``name`` is its model's."""
    if not getattr(tokenizer, "chat_template", None):
        raise BadInput(f"the tokenizer of {name} has no chat template; leave --chat out, or use a model made for chat")


def _in_template(loaded: LoadedModel, messages: Messages) -> str:
    check_template(loaded.tokenizer, loaded.name)
    if not messages or not messages[-1]["content"].strip():
        return ""
    try:
        text: str = loaded.tokenizer.apply_chat_template(list(messages), add_generation_prompt=True, tokenize=False)
    except Exception as error:  # whatever the template itself raises
        reason = " ".join(str(error).split())[:200]
        raise BadInput(f"the chat template of {loaded.name} refuses the conversation ({reason})") from error
    return text


def end_tokens(loaded: LoadedModel) -> set[int]:
    """The tokens that end a text: those of the model's generation settings (one or several), and the tokenizer's."""
    named = getattr(getattr(loaded.model, "generation_config", None), "eos_token_id", None)
    both = [*(named if isinstance(named, list | tuple) else [named]), loaded.tokenizer.eos_token_id]
    return {int(token) for token in both if token is not None}


@torch.no_grad()
def _next_logits(loaded: LoadedModel, new: Sequence[int], cache: DynamicCache) -> torch.Tensor:
    """Logits ``[1, vocabulary]`` in float32 of what follows the tokens in the cache and the new ones, which it then has, too."""
    input_ids = torch.tensor([list(new)], device=loaded.device)
    given = {_cache_name(loaded.model): cache}
    output = loaded.model(input_ids=input_ids, use_cache=True, logits_to_keep=1, **given)
    logits: torch.Tensor = output.logits[:, -1].float().cpu()
    return logits


def _cache_name(model: Any) -> str:
    """What a model calls the keys and values that it is given: versions of transformers differ."""
    return "cache" if "cache" in inspect.signature(model.forward).parameters else "past_key_values"


def _chooser(loaded: LoadedModel, settings: GenerationSettings) -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor]:
    """From a row ``[1, tokens]`` and logits ``[1, vocabulary]`` to the next token."""
    if not settings.temperature:
        return lambda _row, logits: logits.argmax(-1)
    from transformers.generation.logits_process import TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

    steps: list[Any] = [TemperatureLogitsWarper(settings.temperature)]
    steps += [TopKLogitsWarper(settings.top_k)] if settings.top_k else []
    steps += [TopPLogitsWarper(settings.top_p)] if settings.top_p < 1 else []
    generator = torch.Generator().manual_seed(settings.seed)

    def choose(row: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
        for step in steps:
            logits = step(row, logits)
        return torch.multinomial(logits.softmax(-1), 1, generator=generator)

    return choose


class _Pieces:
    """From tokens, one after the other, to what each adds to the text."""

    def __init__(self, tokenizer: Any, before: Sequence[int]) -> None:
        self.tokenizer, self.tokens, self.known = tokenizer, list(before), len(before)

    def add(self, token: int, last: bool) -> str:
        """The text of one more token; nothing while it ends in half a character, unless it is the last."""
        self.tokens.append(token)
        text, before = _decoded(self.tokenizer, self.tokens), _decoded(self.tokenizer, self.tokens[: self.known])
        if text.endswith(HALF) and not last:
            return ""
        self.tokens = self.tokens[self.known :]
        self.known = len(self.tokens)
        return text[len(before) :]


def _decoded(tokenizer: Any, tokens: Sequence[int]) -> str:
    text: str = tokenizer.decode(list(tokens), skip_special_tokens=True, clean_up_tokenization_spaces=False)
    return text
