"""Texts: how much of them a model brings back, and whether it can be told that it was trained on them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from brittle.data.measuring_set import Passage
from brittle.evaluation import membership, memorisation
from brittle.evaluation.passage_rows import passage_rows, prompt_rows
from brittle.records import column

if TYPE_CHECKING:
    from brittle.models.loading import LoadedModel


@dataclass(frozen=True)
class MemorisationRow:
    """``memorisation.csv``: one passage, token by token."""

    number: int = column("which passage, from 0")
    tokens: int = column("tokens of the text that count")
    exact_memorisation: float = column("share of tokens that are the likeliest where they stand")
    extraction_strength: float = column("share of the text that follows once its beginning is given")
    extraction_strength_of_openunlearning: float = column("the same as its code counts, at least one token's share")


@dataclass(frozen=True)
class VerbatimRow:
    """``verbatim.csv``: one passage, continued greedily."""

    number: int = column("which passage, from 0")
    rouge_l: float = column("F1 of ROUGE-L between the text and what was said, 0 to 1")
    rouge_l_recall: float = column("share of the text's words, stemmed, that were said in their order, 0 to 1")
    said: str = column("what the model said, on one line")


@dataclass(frozen=True)
class MembershipRow:
    """``membership.csv``: one text that the model was trained on, or one like it. Low scores look trained on."""

    member: bool = column("whether the model was trained on it before it unlearned")
    number: int = column("which text of its kind, from 0")
    loss: float = column("nats per token")
    zlib: float = column("loss over the bytes that the text compresses to")
    min_k: float = column("-mean log-probability of the least likely tokens, nats")
    min_k_plus_plus: float = column("the same of standardised log-probabilities")
    gradient_norm: float = column("Euclidean norm of the loss's gradient over all weights")
    gradient_norm_of_openunlearning: float = column("mean over weight tensors of their gradients' Euclidean norms")


def memorisation_rows(
    loaded: LoadedModel, passages: Sequence[Passage], batch_size: int = 8, max_length: int | None = None
) -> list[MemorisationRow]:
    """One row per passage, from one pass over its tokens."""
    from brittle.models.token_statistics import token_statistics

    found = token_statistics(loaded, *passage_rows(loaded, passages, max_length), batch_size, "passages")
    return [
        MemorisationRow(
            number, len(each.right), memorisation.exact_memorisation(each.right),
            memorisation.extraction_strength(each.right),
            memorisation.extraction_strength_of_openunlearning(each.right),
        )
        for number, each in enumerate(found)
    ]  # fmt: skip


def verbatim_rows(
    loaded: LoadedModel, passages: Sequence[Passage], most_tokens: int, batch_size: int = 8
) -> list[VerbatimRow]:
    """One row per passage: its text's first ``most_tokens`` tokens beside as many that the model says after the prompt."""
    from brittle.models.continuations import continuations
    from brittle.models.encoding import encode, front_of

    front = len(front_of(loaded.tokenizer))
    texts = [row[front : front + most_tokens] for row in encode(loaded.tokenizer, [each.text for each in passages])]
    wanted = [str(loaded.tokenizer.decode(tokens, skip_special_tokens=True)) for tokens in texts]
    lengths = [most_tokens] * len(passages)
    rows = prompt_rows(loaded, [each.prompt for each in passages], lengths)
    said = continuations(loaded, rows, lengths, batch_size, "passages")
    return [
        VerbatimRow(
            number, memorisation.rouge_l(text, found), memorisation.rouge_l_recall(text, found), " ".join(found.split())
        )
        for number, (text, found) in enumerate(zip(wanted, said, strict=True))
    ]


def membership_rows(
    loaded: LoadedModel,
    passages: Sequence[Passage],
    member: bool,
    share: float = membership.MIN_K,
    gradients: bool = True,
    batch_size: int = 8,
    max_length: int | None = None,
) -> list[MembershipRow]:
    """One row per text; without ``gradients`` their norms are NaN."""
    from brittle.models.gradient_norms import gradient_norms
    from brittle.models.token_statistics import token_statistics

    what = "members" if member else "texts held out"
    rows, starts = passage_rows(loaded, passages, max_length)
    found = token_statistics(loaded, rows, starts, batch_size, what)
    norms = gradient_norms(loaded, rows, starts, what) if gradients else np.full((len(rows), 2), math.nan)
    return [
        MembershipRow(
            member, number, membership.loss(each.log_probabilities),
            membership.loss_over_compressed_size(each.log_probabilities, passage.text),
            membership.min_k(each.log_probabilities, share),
            membership.min_k_plus_plus(each.log_probabilities, each.means, each.variances, share), *map(float, norm),
        )
        for number, (passage, each, norm) in enumerate(zip(passages, found, norms, strict=True))
    ]  # fmt: skip
