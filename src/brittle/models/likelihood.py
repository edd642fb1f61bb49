"""How likely a model finds the answers to multiple-choice questions, and whole texts; at the output or at every depth.

A choice's value is the mean log-probability, in nats per token, of the tokens that a space and the choice add after
the question. At intermediate depths the hidden state goes through the model's own final norm and unembedding (the
logit lens, nostalgebraist 2020); at the last depth that is the model itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from brittle import progress
from brittle.models.batching import batches_by_length
from brittle.models.encoding import encode_pieces, longest_row
from brittle.models.hidden_states import hidden_states, pad, refuse
from brittle.models.loading import LoadedModel
from brittle.models.prepared_questions import Asked, Prepared, PreparedQuestion, prepare
from brittle.settings import BadInput

ROWS_AT_ONCE = 1024
"""Token positions whose logits are held at a time: 0.2 GB in float32 for a vocabulary of 50,000."""


@dataclass(frozen=True)
class Scores:
    """What a model thinks of every choice. Depths are all (0 is the embedding) or only the last."""

    log_probabilities: np.ndarray
    """``[depths, questions, choices]`` float64, −inf where a question has fewer choices than the longest."""
    answers: np.ndarray
    """``[questions]``: the correct choices."""
    model: str
    """Name of the model."""
    depths: tuple[int, ...]
    lens_divergences: tuple[tuple[float, ...], tuple[float, ...]] = ((), ())
    """Of a tuned lens, by depth: mean KL to the model on held-out text in nats, and the same of the logit lens."""

    @property
    def predictions(self) -> np.ndarray:
        """The likeliest choice, ``[depths, questions]``; the first of equals."""
        likeliest: np.ndarray = self.log_probabilities.argmax(axis=-1)
        return likeliest

    @property
    def correct(self) -> np.ndarray:
        """Whether it is the right one, ``[depths, questions]`` bool."""
        right: np.ndarray = self.predictions == self.answers
        return right


Translate = Callable[[int, Tensor], Tensor]
Read = Callable[[Tensor, Tensor | None], Tensor]
"""From hidden states and, where only some are asked for, columns to logits, as :func:`lens` does."""


def as_it_is(_depth: int, hidden: Tensor) -> Tensor:
    """No translation: the logit lens."""
    return hidden


def score(
    loaded: LoadedModel,
    questions: Prepared | Sequence[Asked],
    depths: Literal["last", "all"] | Sequence[int] = "last",
    batch_size: int = 32,
    normalise: bool = True,
    max_length: int | None = None,
    translate: Translate = as_it_is,
    read: Read | None = None,
) -> Scores:
    """Score every choice of every question.

    Questions whose choices each add one token take one row of a batch, the others one row per choice. With
    ``normalise=False`` the former get bare logits in place of log-probabilities: they differ by one constant per
    question, so predictions are the same (near-ties aside in half precision, see :func:`lens`) and only the candidates'
    columns of the unembedding are computed.
    ``max_length`` (at most and by default the model's own limit) cuts the beginning of longer questions. ``translate`` turns a
    depth and its hidden states into what the output head reads (:class:`brittle.models.tuned_lens.TunedLens`); ``read`` stands for that output head.
    """
    prepared = questions if isinstance(questions, Prepared) else prepare(loaded.tokenizer, questions)
    asked = [question.within(longest_row(loaded.model, max_length)) for question in prepared.questions]
    last = len(loaded.anatomy.blocks(loaded.model))
    chosen = (last,) if depths == "last" else tuple(range(last + 1)) if depths == "all" else tuple(depths)
    read = read or partial(lens, loaded)
    values = np.full((len(chosen), len(asked), max(len(question.rows) for question in asked)), -np.inf)
    single = [(index, None) for index, question in enumerate(asked) if question.single]
    spelled = [(i, c) for i, question in enumerate(asked) if not question.single for c in range(len(question.rows))]
    batches = list(batches_by_length(loaded.model, single, lambda item: asked[item[0]].start, batch_size))
    for batch in progress.over(batches, f"questions to {loaded.name}", "question", len) if batches else ():
        found = _score_single(
            loaded, [asked[index] for index, _ in batch], chosen, prepared.padding, normalise, translate, read
        )
        for row, (index, _) in enumerate(batch):
            values[:, index, : len(asked[index].rows)] = found[row]
    batches = list(batches_by_length(loaded.model, spelled, lambda item: len(asked[item[0]].rows[item[1]]), batch_size))
    for batch in progress.over(batches, f"answers to questions by {loaded.name}", "answer", len) if batches else ():
        rows = [asked[index].rows[choice] for index, choice in batch]
        starts = [asked[index].start for index, _ in batch]
        found = token_log_probabilities(loaded, rows, starts, chosen, prepared.padding, translate, read)
        for row, tokens in enumerate(found):
            values[(slice(None), *batch[row])] = tokens.mean(axis=1)
    return Scores(values, np.array([question.answer for question in asked]), loaded.name, chosen)


def negative_log_likelihood(
    loaded: LoadedModel, texts: Sequence[str], batch_size: int = 8, max_length: int = 512
) -> np.ndarray:
    """Mean negative log-likelihood of each text's tokens given those before, ``[texts]`` float64, in nats per token.

    Texts are read whole, in rows of at most ``max_length`` tokens (:mod:`brittle.models.encoding`); the first token of a
    row has none before it and does not count. NaN for a text with fewer than two tokens: it has nothing to predict.
    """
    pieces = encode_pieces(loaded.tokenizer, texts, longest_row(loaded.model, max_length))
    rows = [(index, row) for index, parts in enumerate(pieces) for row in parts if len(row) > 1]
    sums, tokens = np.zeros(len(pieces)), np.zeros(len(pieces))
    last = len(loaded.anatomy.blocks(loaded.model))
    batches = list(batches_by_length(loaded.model, rows, lambda item: len(item[1]), batch_size))
    for batch in progress.over(batches, f"likelihood of texts under {loaded.name}", "row", len):
        chosen = [row for _, row in batch]
        found = token_log_probabilities(loaded, chosen, [1] * len(batch), [last], loaded.tokenizer.pad_token_id)
        for (index, _), values in zip(batch, found):
            sums[index] -= values.sum()
            tokens[index] += values.size
    return np.where(tokens > 0, sums / np.maximum(tokens, 1), np.nan)


def mean_negative_log_likelihood(
    loaded: LoadedModel, texts: Sequence[str], batch_size: int = 16, max_length: int = 512, what: str = "texts"
) -> tuple[float, int]:
    """The mean over texts of :func:`negative_log_likelihood`, and how many texts it is over.

    Texts with fewer than two tokens have nothing to predict and are left out; BadInput if all are.
    """
    values = negative_log_likelihood(loaded, texts, batch_size, max_length)
    known = values[~np.isnan(values)]
    if not known.size:
        raise BadInput(f"none of the {len(texts)} {what} has two tokens, so none has a likelihood; give longer texts")
    return float(known.mean()), known.size


def lens(loaded: LoadedModel, hidden: Tensor, columns: Tensor | None = None) -> Tensor:
    """The model's own output head on hidden states ``[rows, width]`` from before the final norm, in float32.

    Final norm, unembedding and, where the configuration has one, the soft cap on logits (Gemma 2 and 3). With
    ``columns [rows, candidates]`` only the logits of those tokens: rows of the unembedding are gathered, and multiplied
    in float32 (in bfloat16 a logit near 20 moves in steps of 0.125, so choices would tie).
    """
    norm, unembedding = loaded.anatomy.final_norm(loaded.model), loaded.anatomy.unembedding(loaded.model)
    hidden = hidden if norm is None else norm(hidden)
    if columns is None:
        logits: Tensor = unembedding(hidden)
    else:
        columns, hidden = columns.to(unembedding.weight.device), hidden.to(unembedding.weight.device)
        logits = torch.einsum("rw,rcw->rc", hidden.float(), unembedding.weight[columns].float())
        logits = logits if unembedding.bias is None else logits + unembedding.bias[columns]
    return capped(logits, loaded.model.config).float()


def capped(logits: Tensor, config: Any) -> Tensor:
    """Logits as the model gives them out: c · tanh(z / c) where its configuration has a soft cap c (Gemma 2), else z."""
    cap = getattr(config, "final_logit_softcapping", None)
    return cap * torch.tanh(logits / cap) if cap else logits


@torch.no_grad()
def _score_single(
    loaded: LoadedModel,
    questions: Sequence[PreparedQuestion],
    depths: Sequence[int],
    padding: int,
    normalise: bool,
    translate: Translate,
    read: Read,
) -> list[np.ndarray]:
    """Values ``[depths, choices]`` of questions whose choices add one token: one row of context each."""
    input_ids, mask = pad([question.rows[0][: question.start] for question in questions], padding)
    last = torch.tensor([question.start - 1 for question in questions], device=loaded.device)
    row = torch.arange(len(questions), device=loaded.device)
    hidden = hidden_states(
        loaded, input_ids, _unless_full(mask), depths, lambda h: h[row.to(h.device), last.to(h.device)]
    )
    hidden = [translate(depth, each) for depth, each in zip(depths, hidden)]
    candidates, _ = pad([[row[-1] for row in question.rows] for question in questions], padding)
    if normalise or loaded.anatomy.unembedding(loaded.model).weight.is_meta:  # meta: accelerate holds it elsewhere
        whole = (read(each, None).log_softmax(-1) for each in hidden)
        found = [each.gather(1, candidates.to(each.device)) for each in whole]
    else:
        found = [read(each, candidates) for each in hidden]
    values = torch.stack([each.cpu().double() for each in found], dim=1).numpy()
    _check_scores(loaded, input_ids, mask, depths, values.swapaxes(0, 1))
    return [value[:, : len(question.rows)] for value, question in zip(values, questions)]


@torch.no_grad()
def token_log_probabilities(
    loaded: LoadedModel,
    rows: Sequence[Sequence[int]],
    starts: Sequence[int],
    depths: Sequence[int],
    padding: int,
    translate: Translate = as_it_is,
    read: Read | None = None,
) -> list[np.ndarray]:
    """For each row, the log-probabilities ``[depths, tokens from start on]`` of its tokens given those before."""
    input_ids, mask = pad(rows, padding)
    counted = mask.bool() & (torch.arange(input_ids.shape[1]) >= torch.tensor(starts)[:, None])
    predicting, targets = counted.roll(-1, dims=1), input_ids[counted]
    hidden = hidden_states(loaded, input_ids, _unless_full(mask), depths, lambda h: h[predicting.to(h.device)])
    by_depth = []
    for depth, each in zip(depths, hidden):
        parts = []
        for states, tokens in zip(torch.split(each, ROWS_AT_ONCE), torch.split(targets, ROWS_AT_ONCE)):
            logits = read(translate(depth, states), None) if read else lens(loaded, translate(depth, states))
            parts.append(-torch.nn.functional.cross_entropy(logits, tokens.to(logits.device), reduction="none"))
        by_depth.append(torch.cat(parts).cpu().double())
    _check_scores(loaded, input_ids, mask, depths, torch.stack(by_depth).numpy())
    lengths = counted.sum(1).tolist()
    return [part.numpy() for part in torch.split(torch.stack(by_depth), lengths, dim=1)]


def _check_scores(
    loaded: LoadedModel, input_ids: Tensor, mask: Tensor, depths: Sequence[int], values: np.ndarray
) -> None:
    """Refuse scores ``[depths, ...]`` that are not finite: the largest of NaN is the first choice."""
    for depth, found in zip(depths, values):
        if not np.isfinite(found).all():
            refuse(loaded, input_ids, mask, f"the output head at depth {depth}")


def _unless_full(mask: Tensor) -> Tensor | None:
    """No mask where nothing is padded: attention is faster without one."""
    return None if bool(mask.all()) else mask
