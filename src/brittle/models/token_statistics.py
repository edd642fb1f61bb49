"""What a model thinks of every token of a text: how likely it is, whether it is the likeliest, and how that stands among all others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from brittle import progress
from brittle.models.batching import batches_by_length
from brittle.models.hidden_states import hidden_states, pad, refuse
from brittle.models.likelihood import ROWS_AT_ONCE, lens
from brittle.models.loading import LoadedModel


@dataclass(frozen=True)
class TokenStatistics:
    """Of the tokens that count in one row, ``[tokens]`` each, given all before them."""

    log_probabilities: np.ndarray
    """In nats."""
    right: np.ndarray
    """Whether the token is the likeliest (the first of equals), so that greedy decoding would give it."""
    means: np.ndarray
    """Of log p over the vocabulary, weighted with p: the negative entropy, in nats."""
    variances: np.ndarray
    """Of the same, at least 0."""


def token_statistics(
    loaded: LoadedModel, rows: Sequence[Sequence[int]], starts: Sequence[int], batch_size: int = 8, what: str = "texts"
) -> list[TokenStatistics]:
    """Of each row the tokens from its start on, by one forward pass a batch; ``what`` names the rows in the progress line.

    A row has at most as many tokens as the model has positions, and its start is at least 1: nothing predicts the first token.
    NonFinite where the model gives numbers that are none.
    """
    found: list[TokenStatistics | None] = [None] * len(rows)
    batches = list(batches_by_length(loaded.model, range(len(rows)), lambda index: len(rows[index]), batch_size))
    for batch in progress.over(batches, f"{what} read by {loaded.name}", "text", len) if batches else ():
        parts = _of_batch(loaded, [rows[index] for index in batch], [starts[index] for index in batch])
        for index, part in zip(batch, parts):
            found[index] = part
    return [each for each in found if each is not None]


@torch.no_grad()
def _of_batch(loaded: LoadedModel, rows: Sequence[Sequence[int]], starts: Sequence[int]) -> list[TokenStatistics]:
    input_ids, mask = pad(rows, loaded.tokenizer.pad_token_id)
    counted = mask.bool() & (torch.arange(input_ids.shape[1]) >= torch.tensor(starts)[:, None])
    predicting, targets = counted.roll(-1, dims=1), input_ids[counted]
    last = len(loaded.anatomy.blocks(loaded.model))
    given = None if bool(mask.all()) else mask
    (hidden,) = hidden_states(loaded, input_ids, given, [last], lambda h: h[predicting.to(h.device)])
    parts = [
        _of_rows(lens(loaded, hidden[start : start + ROWS_AT_ONCE]), targets[start : start + ROWS_AT_ONCE])
        for start in range(0, len(targets), ROWS_AT_ONCE)
    ]
    values = torch.cat(parts, dim=1).numpy()
    if not np.isfinite(values).all():
        refuse(loaded, input_ids, mask, "the output head")
    ends = np.cumsum(counted.sum(1).tolist())[:-1]
    logs, right, means, variances = (np.split(each, ends) for each in values)
    return [TokenStatistics(a, b.astype(bool), c, d) for a, b, c, d in zip(logs, right, means, variances)]


def _of_rows(logits: Tensor, targets: Tensor) -> Tensor:
    """``[4, tokens]`` float64 of logits ``[tokens, vocabulary]``: log-probability, likeliest or not, mean, variance."""
    logs = logits.log_softmax(-1)
    targets = targets.to(logs.device)
    weights = logs.exp()
    means = (weights * logs).sum(-1)
    variances = (weights * (logs - means[:, None]) ** 2).sum(-1)
    own = logs.gather(1, targets[:, None])[:, 0]
    return torch.stack([own, (logits.argmax(-1) == targets).to(own), means, variances]).cpu().double()
