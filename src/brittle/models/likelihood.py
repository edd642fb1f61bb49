"""How likely a model finds the answers to multiple-choice questions, and whole texts; at the output or at every depth.

A choice's value is the mean log-probability, in nats per token, of the tokens that a space and the choice add after
the question. At intermediate depths the hidden state goes through the model's own final norm and unembedding (the
logit lens, nostalgebraist 2020); at the last depth that is the model itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
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
from brittle.models.question_trees import fits, tokens_of, trees
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

    A question takes one row of a batch, read once for all of its choices: the context alone where each choice adds one
    token, else the context and every choice behind it (:mod:`brittle.models.question_trees`; one row per choice where
    that does not fit). A row's tokens count, so a batch has at most those of ``batch_size`` rows with one choice. With
    ``normalise=False`` questions of the first kind get bare logits in place of log-probabilities: they differ by one constant per
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
    single = [index for index, question in enumerate(asked) if question.single]
    shared = [i for i, question in enumerate(asked) if not question.single and fits(loaded.model, question)]
    apart = sorted({*range(len(asked))}.difference(single, shared))
    spelled = [(index, choice) for index in apart for choice in range(len(asked[index].rows))]
    for indices, length, tokens, values_of, name in (
        (single, lambda i: asked[i].start, None, partial(_score_single, normalise=normalise), "questions to"),
        (shared, lambda i: asked[i].longest, lambda i: tokens_of(asked[i]), _score_trees, "answers to questions by"),
    ):
        batches = list(batches_by_length(loaded.model, indices, length, batch_size, tokens))
        for batch in progress.over(batches, f"{name} {loaded.name}", "question", len) if batches else ():
            found = values_of(
                loaded, [asked[i] for i in batch], chosen, prepared.padding, translate=translate, read=read
            )
            for index, row in zip(batch, found):
                values[:, index, : row.shape[1]] = row
    batches = list(batches_by_length(loaded.model, spelled, lambda item: len(asked[item[0]].rows[item[1]]), batch_size))
    for batch in progress.over(batches, f"answers to questions by {loaded.name}", "answer", len) if batches else ():
        rows = [asked[index].rows[choice] for index, choice in batch]
        starts = [asked[index].start for index, _ in batch]
        found = token_log_probabilities(loaded, rows, starts, chosen, prepared.padding, translate, read)
        for place, each in zip(batch, found):
            values[(slice(None), *place)] = each.mean(axis=1)
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
    translate: Translate,
    read: Read,
    normalise: bool,
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
def _score_trees(
    loaded: LoadedModel,
    questions: Sequence[PreparedQuestion],
    depths: Sequence[int],
    padding: int,
    translate: Translate,
    read: Read,
) -> list[np.ndarray]:
    """Values ``[depths, choices]`` of questions of which each is one row with all of its choices."""
    batch = trees(loaded, questions, padding)
    hidden = hidden_states(
        loaded, batch.input_ids, batch.mask, depths,
        lambda h: h.flatten(0, 1)[batch.predicting.to(h.device)], batch.given,
    )  # fmt: skip
    found = _of_targets(loaded, hidden, depths, batch.predicted_by, batch.targets, translate, read)
    _check_scores(loaded, batch.input_ids, batch.mask, depths, found.numpy(), batch.given)
    lengths = [len(row) - question.start for question in questions for row in question.rows]
    means = torch.stack([tokens.mean(dim=1) for tokens in torch.split(found, lengths, dim=1)], dim=1)
    return [part.numpy() for part in torch.split(means, [len(question.rows) for question in questions], dim=1)]


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
    found = _of_targets(loaded, hidden, depths, torch.arange(len(targets)), targets, translate, read)
    _check_scores(loaded, input_ids, mask, depths, found.numpy())
    return [part.numpy() for part in torch.split(found, counted.sum(1).tolist(), dim=1)]


def _of_targets(
    loaded: LoadedModel,
    hidden: Sequence[Tensor],
    depths: Sequence[int],
    predicted_by: Tensor,
    targets: Tensor,
    translate: Translate,
    read: Read | None,
) -> Tensor:
    """Log-probabilities ``[depths, targets]`` float64 of tokens; each names the row of hidden states that predicts it."""
    read = read or partial(lens, loaded)
    found = torch.zeros(len(depths), len(targets), dtype=torch.float64)
    for values, depth, each in zip(found, depths, hidden):
        for start in range(0, len(each), ROWS_AT_ONCE):
            logs = read(translate(depth, each[start : start + ROWS_AT_ONCE]), None).log_softmax(-1)
            these = (predicted_by >= start) & (predicted_by < start + ROWS_AT_ONCE)
            rows, tokens = (part[these].to(logs.device) for part in (predicted_by - start, targets))
            values[these] = logs[rows, tokens].cpu().double()
    return found


def _check_scores(
    loaded: LoadedModel,
    input_ids: Tensor,
    mask: Tensor,
    depths: Sequence[int],
    values: np.ndarray,
    given: Mapping[str, Any] | None = None,
) -> None:
    """Refuse scores ``[depths, ...]`` that are not finite: the largest of NaN is the first choice."""
    for depth, found in zip(depths, values):
        if not np.isfinite(found).all():
            refuse(loaded, input_ids, mask, f"the output head at depth {depth}", given)


def _unless_full(mask: Tensor) -> Tensor | None:
    """No mask where nothing is padded: attention is faster without one."""
    return None if bool(mask.all()) else mask
