"""Patching: hidden states of one model put into another, and what the other then makes of an answer.

With the donor's hidden states at depth l in their place, the recipient computes everything after block l on what the
donor's first l blocks provide. Where that no longer leads to the answer, the donor's first l blocks do not provide it.
All positions of question and answer are replaced: at fewer, later blocks would read the rest from the recipient's own.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from brittle import progress
from brittle.models import hooks
from brittle.models.batching import batches_by_length
from brittle.models.encoding import longest_row
from brittle.models.hidden_states import hidden_states, pad
from brittle.models.likelihood import token_log_probabilities
from brittle.models.loading import LoadedModel
from brittle.models.perturbation import digest_of
from brittle.models.prepared_questions import Asked, prepare


@dataclass(frozen=True)
class PatchObservation:
    """Log-probabilities of correct answers, a mean per answer token in nats, with hidden states of other models inside."""

    keys: tuple[str, ...]
    """What tells questions apart by their tokens, ``[questions]``."""
    clean: np.ndarray
    """The recipient by itself, ``[questions]`` float64."""
    patched: np.ndarray
    """With model B's hidden states at each depth, ``[depths, questions]``; the last depth is B read by A's output head."""
    patched_filtered: np.ndarray | None
    """The same with those of the model that never saw the data; None where there is none."""
    model_a: str = ""
    model_b: str = ""
    filtered: str = ""
    patched_again: np.ndarray | None = None
    """The same with those of a second model that never saw the data, trained apart; None where there is none."""
    filtered_again: str = ""


def answer_rows(loaded: LoadedModel, questions: Sequence[Asked], max_length: int) -> dict[str, tuple[list[int], int]]:
    """Each question with its correct answer as tokens, and the position where the answer begins, by content."""
    rows = {}
    for question in prepare(loaded.tokenizer, questions).questions:
        within = question.within(longest_row(loaded.model, max_length))
        row = list(within.rows[within.answer])
        rows[digest_of(row)] = (row, within.start)
    return rows


def answer_log_probabilities(
    recipient: LoadedModel, donor: LoadedModel | None, rows: Mapping[str, tuple[list[int], int]], batch_size: int
) -> np.ndarray:
    """The answers' mean log-probability per token, ``[depths, questions]``; with no donor one row, the recipient's own.

    One forward pass of the donor per batch, then one of the recipient per depth. The models have one architecture.
    """
    blocks = len(recipient.anatomy.blocks(recipient.model))
    depths = range(blocks + 1) if donor else range(1)
    values = np.zeros((len(depths), len(rows)))
    items = list(enumerate(rows.values()))
    padding = recipient.tokenizer.pad_token_id
    parts = list(batches_by_length(recipient.model, items, lambda item: len(item[1][0]), batch_size))
    name = f"{donor.name} in {recipient.name}" if donor else recipient.name
    for part in progress.over(parts, f"answers of {name}", "question", len):
        places, tokens = [place for place, _ in part], [row for _, (row, _) in part]
        starts = [start for _, (_, start) in part]
        states = [] if donor is None else hidden_states(donor, *pad(tokens, padding), depths)
        for depth in depths:
            inside = patched(recipient, depth, states[depth]) if donor else contextlib.nullcontext()
            with inside:
                found = token_log_probabilities(recipient, tokens, starts, [blocks], padding)
            values[depth, places] = [each.mean() for each in found]
    return values


def patched(loaded: LoadedModel, depth: int, states: Tensor) -> contextlib.AbstractContextManager[None]:
    """While inside, forward passes of the model have these hidden states ``[batch, tokens, width]`` at a depth."""
    blocks = loaded.anatomy.blocks(loaded.model)

    def instead(hidden: Tensor) -> Tensor:
        return states.to(hidden)

    return hooks.leaving(blocks[depth - 1], instead) if depth else hooks.entering(blocks[0], instead)
