"""From texts to batches: tokenising, which tokens count in the loss, and samplers that are functions of the step.

Which examples stand in the batches of step *n* depends on the seed and on *n* alone. A run that was killed and goes
on at step *n* therefore sees exactly what it would have seen, and forget and retain are drawn independently: the
shorter of the two never truncates the other.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from brittle import progress
from brittle.models.encoding import WORTH_A_LINE, check_room, front_of, split, tell_of_cut, without_front
from brittle.settings import BadInput

MARKER = "Answer:"
"""What comes after its last occurrence is the answer of a question-shaped text."""


@dataclass(frozen=True)
class Example:
    """One tokenised text. ``counted[i]`` says whether predicting token ``i`` counts in a likelihood loss."""

    tokens: tuple[int, ...]
    counted: tuple[bool, ...]


@dataclass(frozen=True)
class Batch:
    """Right-padded examples. ``counted`` is 1 where the token is to be predicted (never the first, never padding)."""

    input_ids: Tensor  # [rows, tokens] int64
    attention_mask: Tensor  # [rows, tokens] int64, 1 on real tokens
    counted: Tensor  # [rows, tokens] float32
    examples: tuple[int, ...]  # positions in the dataset
    full: bool = False  # known to have no padding, so that nobody needs to ask a GPU

    def to(self, device: torch.device | str) -> Batch:
        """The batch on another device."""
        input_ids, mask, counted = (part.to(device) for part in (self.input_ids, self.attention_mask, self.counted))
        return Batch(input_ids, mask, counted, self.examples, self.full)

    @property
    def padded(self) -> bool:
        """Whether any row is shorter than the longest."""
        return not self.full and not bool(self.attention_mask.all())


@dataclass(frozen=True)
class Reading:
    """What became of some texts: tokens in all, tokens beyond the longest row, texts that nothing is learned from."""

    texts: int
    examples: int
    tokens: int
    cut: int
    unread: int


def tokenise(
    tokenizer: Any,
    texts: Sequence[str],
    max_length: int,
    loss_tokens: str = "all",
    marker: str = MARKER,
    prefix: str = "",
    long_texts: str = "chunk",
    what: str = "texts",
) -> list[Example]:
    """The examples of :func:`read`; one line on stderr where much is cut or texts are left out."""
    examples, reading = read(tokenizer, texts, max_length, loss_tokens, marker, prefix, long_texts)
    tell_of_cut(what, reading.tokens, reading.cut, max_length)
    if reading.unread > WORTH_A_LINE * reading.texts:
        progress.say(
            f"{what}: {reading.unread:,} of {reading.texts:,} have no token to predict within {max_length} tokens and are "
            "left out; raise --max-length, or keep them whole with --long-texts chunk"
        )
    return examples


def read(
    tokenizer: Any, texts: Sequence[str], max_length: int, loss_tokens: str = "all", marker: str = MARKER,
    prefix: str = "", long_texts: str = "chunk",
) -> tuple[list[Example], Reading]:  # fmt: skip
    """Turn texts into examples of at most ``max_length`` tokens by the rule of :mod:`brittle.models.encoding`.

    ``loss_tokens="all"`` counts every token but the first. ``"answer"`` counts only the tokens after the last
    ``marker`` of a text; a text without the marker counts whole. ``prefix`` stands before every text and never counts.
    A longer text becomes several examples, each begun by what the tokenizer puts in front and by the prefix; with
    ``long_texts="cut"`` only the first, so that there is one example per text. Examples without a token that counts
    are left out: texts with fewer than two tokens, and pieces outside the answer. BadInput if none is left.
    """
    front, examples = front_of(tokenizer), []
    tokens_in_all = cut = unread = 0
    for text, own, ends in _with_ends(tokenizer, [prefix + text for text in texts], loss_tokens == "answer" or prefix):
        lead = sum(end <= len(prefix) for end in ends) if prefix else 0
        start = text.rfind(marker) + len(marker) if loss_tokens == "answer" and marker in text else len(prefix)
        before = [(token, False) for token in (*front, *own[:lead])]
        check_room(max_length, len(before))
        body = [(token, end > start) for token, end in zip(own[lead:], ends[lead:])]
        pieces = split(body, max_length - len(before))
        read_of_it = pieces[:1] if long_texts == "cut" else pieces
        tokens_in_all += len(before) + len(body)
        cut += sum(map(len, pieces[len(read_of_it) :]))
        found = []
        for piece in read_of_it:
            tokens, counted = zip(*before, *piece)
            counted = (False, *counted[1:])
            found += [Example(tokens, counted)] if any(counted) else []
        examples += found
        unread += not found
    if not examples:
        raise BadInput("no text has two tokens or more after tokenising; check the file and --max-length")
    return examples, Reading(len(texts), len(examples), tokens_in_all, cut, unread)


def _with_ends(tokenizer: Any, texts: Sequence[str], needed: object) -> Iterator[tuple[str, list[int], Sequence[int]]]:
    """Each text with its own tokens and where each ends in it; everywhere 1 where nobody asks and nobody can say."""
    known = getattr(tokenizer, "is_fast", True)
    if needed and not known:
        raise BadInput("this tokenizer cannot say which letters a token stands for; save it with a tokenizer.json")
    encoded = tokenizer(list(texts), add_special_tokens=False, **({"return_offsets_mapping": True} if known else {}))
    front = front_of(tokenizer)
    for number, (text, row) in enumerate(zip(texts, encoded["input_ids"])):
        own = without_front(row, front)
        ends = [end for _, end in encoded["offset_mapping"][number]] if known else [1] * len(row)
        yield text, own, ends[len(row) - len(own) :]


def collate(examples: Sequence[Example], positions: Sequence[int], padding: int) -> Batch:
    """Stack examples, right-padded to the longest."""
    chosen = [examples[position] for position in positions]
    width = max(len(example.tokens) for example in chosen)
    input_ids = torch.full((len(chosen), width), padding)
    attention_mask = torch.zeros(len(chosen), width, dtype=torch.long)
    counted = torch.zeros(len(chosen), width)
    for row, example in enumerate(chosen):
        length = len(example.tokens)
        input_ids[row, :length] = torch.tensor(example.tokens)
        attention_mask[row, :length] = 1
        counted[row, :length] = torch.tensor(example.counted, dtype=torch.float32)
    full = all(len(example.tokens) == width for example in chosen)
    return Batch(input_ids, attention_mask, counted, tuple(positions), full)


def part_of(found: Any, rows: slice, tokens: int) -> Any:
    """Rows of what a pass over :func:`joined` batches gave, without the padding that the split alone would not have."""
    if isinstance(found, dict):
        return {layer: states[rows, :tokens] for layer, states in found.items()}
    return found[rows, :tokens]


def joined(batches: Sequence[Batch]) -> Batch:
    """Batches stacked in their order, right-padded to the longest."""
    tokens = max(batch.input_ids.shape[1] for batch in batches)

    def stacked(parts: Sequence[Tensor]) -> Tensor:
        return torch.cat([functional.pad(part, (0, tokens - part.shape[1])) for part in parts])

    return Batch(
        stacked([batch.input_ids for batch in batches]),
        stacked([batch.attention_mask for batch in batches]),
        stacked([batch.counted for batch in batches]),
        tuple(example for batch in batches for example in batch.examples),
        all(batch.full and batch.input_ids.shape[1] == tokens for batch in batches),
    )


def worth_joining(batches: Sequence[Batch]) -> bool:
    """Whether stacking the batches would add little padding: at most a quarter more positions than they have alone."""
    alone = sum(batch.input_ids.numel() for batch in batches)
    together = sum(len(batch.input_ids) for batch in batches) * max(batch.input_ids.shape[1] for batch in batches)
    return together <= 1.25 * alone


@lru_cache(maxsize=16)
def permutation(seed: int, name: str, epoch: int, count: int) -> tuple[int, ...]:
    """The order of pass ``epoch`` over ``count`` examples."""
    order = list(range(count))
    random.Random(f"{seed} {name} {epoch}").shuffle(order)
    return tuple(order)


class Sampler:
    """Shuffled batches without end: each pass over the examples is a new permutation, drawn from seed, name and pass.

    Two samplers of one name and as many examples go through them in the same order; ``split`` tells their batches apart.
    """

    def __init__(
        self, name: str, examples: Sequence[Example], batch_size: int, padding: int, seed: int, split: str | None = None
    ) -> None:
        self.name, self.examples, self.padding, self.seed = name, examples, padding, seed
        self.split = split or name
        self.batch_size = batch_size

    def positions(self, number: int) -> list[int]:
        """Which examples stand in batch ``number``; a batch may reach over the end of a pass."""
        first = number * self.batch_size
        count = len(self.examples)
        return [
            permutation(self.seed, self.name, index // count, count)[index % count]
            for index in range(first, first + self.batch_size)
        ]

    def batch(self, number: int) -> Batch:
        """Batch ``number``."""
        return collate(self.examples, self.positions(number), self.padding)


class Supply:
    """The micro-batches of every optimizer step: one batch per split, ``accumulation`` times.

    Several processes share each step: two with batches of four see what one with batches of eight sees.
    """

    def __init__(
        self, samplers: Sequence[Sampler], accumulation: int = 1, process: int = 0, processes: int = 1
    ) -> None:
        self.samplers, self.accumulation = samplers, accumulation
        self.process, self.processes = process, processes

    def __call__(self, step: int) -> list[dict[str, Batch]]:
        """The micro-batches of optimizer step ``step``, counted from 0."""
        first = step * self.accumulation * self.processes + self.process
        numbers = range(first, first + self.accumulation * self.processes, self.processes)
        return [{sampler.split: sampler.batch(number) for sampler in self.samplers} for number in numbers]
