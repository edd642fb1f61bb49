"""A question read once for all of its choices: one row is the context and, behind it, every choice as a branch.

A token sees the context and the earlier tokens of its own choice, and every choice has the positions that follow the
context, so its numbers are those of a row with that choice alone; a sliding window counts positions, not places in the
row. A choice's last token predicts nothing that is asked for and is left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from brittle.models.batching import turning_points
from brittle.models.hidden_states import pad
from brittle.models.loading import LoadedModel
from brittle.models.prepared_questions import PreparedQuestion

ATTENTION = ("sdpa", "eager")
"""The implementations of attention that take a mask of queries by keys."""
LAYERS = {"full_attention", "sliding_attention"}
"""The kinds of layers whose mask is made here."""
MOST = 2 / 3
"""A tree may have this share of the tokens of a row for each choice."""


@dataclass(frozen=True)
class Trees:
    """Questions as rows of a batch."""

    input_ids: Tensor
    """``[questions, tokens]``."""
    mask: Tensor
    """``[questions, tokens]``: 0 on padding."""
    given: dict[str, Any]
    """What the model is given beside the tokens: who sees whom, and positions."""
    predicting: Tensor
    """``[places]``: which tokens of the batch, counted through its rows, predict a token of a choice; ascending."""
    predicted_by: Tensor
    """``[targets]``: for every token of every choice, question by question, which of ``predicting`` predicts it."""
    targets: Tensor
    """``[targets]``: the tokens of the choices."""


def fits(model: Any, question: PreparedQuestion) -> bool:
    """Whether the model reads this question as a tree with the same numbers, and sooner than a row for each choice.

    Attention must take a mask of queries by keys and no layer look at tokens in a way of its own; all choices, with and
    without the last token, must lie on one side of every length at which the model's angles change; and a third of the
    tokens must be saved, since attention costs more in one long row than in several short ones (a narrow model with 8
    tokens of context and four choices of 30 gains nothing).
    """
    config = model.config
    attention, layers = getattr(config, "_attn_implementation", None), _own(config, "layer_types") or ()
    shortest = min(map(len, question.rows))
    return (
        attention in ATTENTION
        and LAYERS.issuperset(layers)
        and not any(min(shortest, question.longest - 1) <= turn < question.longest for turn in turning_points(config))
        and tokens_of(question) <= MOST * sum(map(len, question.rows))
    )


def tokens_of(question: PreparedQuestion) -> int:
    """The length of the question's row."""
    return question.start + sum(len(row) - question.start - 1 for row in question.rows)


def trees(loaded: LoadedModel, questions: Sequence[PreparedQuestion], padding: int) -> Trees:
    """The questions as one batch, padded on the right, on the model's device as far as the model reads it."""
    width = max(map(tokens_of, questions))
    tokens, branches, positions = [], [], []
    places: list[int] = []
    targets: list[int] = []
    for number, question in enumerate(questions):
        start = question.start
        row, branch, position = list(question.rows[0][:start]), [0] * start, list(range(start))
        for choice, whole in enumerate(question.rows, start=1):
            first, own = number * width + len(row), whole[start:-1]
            places += [number * width + start - 1, *range(first, first + len(own))]
            targets += whole[start:]
            row += own
            branch += [choice] * len(own)
            position += range(start, start + len(own))
        tokens.append(row)
        branches.append(branch)
        positions.append(position)
    input_ids, mask = pad(tokens, padding)
    given = _given(loaded, pad(branches, -1)[0], pad(positions, 0)[0])
    predicting, predicted_by = torch.unique(torch.tensor(places), return_inverse=True)
    return Trees(input_ids, mask, given, predicting, predicted_by, torch.tensor(targets))


def _given(loaded: LoadedModel, branches: Tensor, positions: Tensor) -> dict[str, Any]:
    """Mask and positions as the model takes them; branch 0 is the context, −1 padding, both ``[questions, tokens]``."""
    branches, positions = branches.to(loaded.device), positions.to(loaded.device)
    config = loaded.model.config
    seen = (branches[:, :, None] == branches[:, None]) | (branches[:, None] == 0)
    seen = seen.tril()[:, None]
    window = _own(config, "sliding_window")
    if not window or window > int(positions.max()):
        return {"attention_mask": _as_taken(loaded, seen), "position_ids": positions}
    near = _as_taken(loaded, seen & (positions[:, None, :, None] - positions[:, None, None] < window))
    if not _own(config, "layer_types"):  # all layers have the window
        return {"attention_mask": near, "position_ids": positions}
    by_layer = {"full_attention": _as_taken(loaded, seen), "sliding_attention": near}
    return {"attention_mask": by_layer, "position_ids": positions}


def _own(config: Any, name: str) -> Any:
    """A setting that the architecture has; None for what a file sets and the model never reads (a Llama's window)."""
    return getattr(config, name, None) if hasattr(type(config), name) else None


def _as_taken(loaded: LoadedModel, seen: Tensor) -> Tensor:
    """Whether each token sees each other: as it is, or for attention that adds its mask, what is to be added."""
    if loaded.model.config._attn_implementation == "sdpa":
        return seen
    kind = loaded.model.dtype
    return torch.zeros(seen.shape, dtype=kind, device=seen.device).masked_fill(~seen, torch.finfo(kind).min)
