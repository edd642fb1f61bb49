"""The last block's MLP, where a gate can stand: its weights, and what it reads where an answer is due."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from brittle.data.multiple_choice import Question
from brittle.models.hidden_states import pad
from brittle.models.loading import LoadedModel
from brittle.models.prepared_questions import prepare
from brittle.settings import BadInput

Row = tuple[Sequence[int], slice]
"""Tokens, and the places among them that are read."""


def last_mlp(loaded: LoadedModel) -> tuple[Tensor, Tensor, Tensor]:
    """Of the last block's MLP: input weights ``[neurons, width]``, biases, output weights ``[width, neurons]``, as views."""
    expand, contract = _modules(loaded)
    if len(loaded.anatomy.mlp_expand) > 1 or getattr(expand, "bias", None) is None:
        raise BadInput(f"{loaded.name} has a gated MLP or one without biases, in which no neuron can be a gate")
    into, out = expand.weight.data, contract.weight.data
    return (into.T, expand.bias.data, out.T) if loaded.anatomy.transposed else (into, expand.bias.data, out)


def _modules(loaded: LoadedModel) -> tuple[Any, Any]:
    block = loaded.anatomy.blocks(loaded.model)[-1]
    names = loaded.anatomy.mlp_expand[0], loaded.anatomy.mlp_contract[0]
    expand, contract = map(block.get_submodule, names)
    return expand, contract


def answers(loaded: LoadedModel, questions: Sequence[Question]) -> list[Row]:
    """Each question with its right answer, and the places where the answer's tokens are predicted."""
    asked = prepare(loaded.tokenizer, questions).questions
    return [(row, slice(each.start - 1, len(row) - 1)) for each in asked for row in [each.rows[each.answer]]]


@torch.no_grad()
def inputs(loaded: LoadedModel, rows: Sequence[Row]) -> tuple[Tensor, Tensor]:
    """What the last MLP reads at the rows' places, and the stream behind the last block, both ``[places, width]``."""
    seen: list[Tensor] = []
    block, (expand, _) = loaded.anatomy.blocks(loaded.model)[-1], _modules(loaded)
    hooks = [
        expand.register_forward_pre_hook(lambda _, given: seen.append(given[0])),
        block.register_forward_hook(lambda *call: seen.append(call[2][0] if isinstance(call[2], tuple) else call[2])),
    ]
    read, stream = [], []
    try:
        for first in range(0, len(rows), 32):
            some = rows[first : first + 32]
            input_ids, mask = pad([tokens for tokens, _ in some], loaded.tokenizer.pad_token_id)
            seen.clear()
            loaded.model(input_ids=input_ids.to(loaded.device), attention_mask=mask.to(loaded.device))
            read += [seen[0][row, places].double().cpu() for row, (_, places) in enumerate(some)]
            stream += [seen[1][row, places].double().cpu() for row, (_, places) in enumerate(some)]
    finally:
        for hook in hooks:
            hook.remove()
    return torch.cat(read), torch.cat(stream)
