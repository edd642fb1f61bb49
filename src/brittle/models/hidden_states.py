"""Hidden states of a model by depth, from one forward pass; what is not a number stops, by layer and number type.

Depths count from the embedding: depth 0 is what enters the first block, depth l what leaves block l (counted from 1).
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NoReturn

import torch
from torch import Tensor

from brittle.models import hooks
from brittle.models.devices import word_for
from brittle.models.loading import LoadedModel
from brittle.models.weight_files import is_finite
from brittle.settings import BadInput


class NonFinite(BadInput):
    """A model gives NaN or infinite numbers: there is nothing to measure, and no answer."""


def hidden_states(
    loaded: LoadedModel,
    input_ids: Tensor,
    attention_mask: Tensor | None,
    depths: Sequence[int],
    keep: Callable[[Tensor], Tensor] | None = None,
    given: Mapping[str, Any] | None = None,
) -> list[Tensor]:
    """Hidden states ``[batch, tokens, width]`` at the given depths, by one forward pass that ends at the deepest.

    ``keep`` is applied to each as soon as it is known, so that a caller who reads few positions never holds the rest.
    ``given`` is what the model gets in place of the attention mask, which then says only what is padding
    (:mod:`brittle.models.question_trees`). NonFinite where a real token's state is not a number.
    """
    found = _pass(loaded, input_ids, attention_mask, depths, keep, given)
    check_finite(loaded, input_ids, attention_mask, found, given)
    return found


def check_finite(
    loaded: LoadedModel,
    input_ids: Tensor,
    attention_mask: Tensor | None,
    states: Iterable[Tensor],
    given: Mapping[str, Any] | None = None,
) -> None:
    """Refuse states that are not finite; where they have the batch's shape, padding does not count."""
    for each in states:
        whole = attention_mask is None or each.shape[:-1] != attention_mask.shape
        if not is_finite(each) and (whole or not is_finite(_real(each, attention_mask))):
            refuse(loaded, input_ids, attention_mask, given=given)


def refuse(
    loaded: LoadedModel,
    input_ids: Tensor,
    attention_mask: Tensor | None,
    where: str = "its output",
    given: Mapping[str, Any] | None = None,
) -> NoReturn:
    """Look again for the first depth whose hidden states are not finite and name it; ``where`` is named if none is."""
    depths = range(len(loaded.anatomy.blocks(loaded.model)) + 1)
    finite = _pass(
        loaded, input_ids, attention_mask, depths, lambda h: torch.tensor(is_finite(_real(h, attention_mask))), given
    )
    first = next((depth for depth, each in zip(depths, finite) if not bool(each)), None)
    if first is not None:
        where = f"layer {first - 1} (depth {first})" if first else "its embeddings (depth 0)"
    kind = word_for(loaded.model.dtype)
    way = "another checkpoint" if kind == "fp32" else "--dtype fp32, or another checkpoint"
    raise NonFinite(f"{loaded.name} gives NaN or infinite numbers from {where} on, in {kind}; use {way}")


def _real(states: Tensor, attention_mask: Tensor | None) -> Tensor:
    return states if attention_mask is None else states[attention_mask.bool().to(states.device)]


def pad(rows: Sequence[Sequence[int]], padding: int) -> tuple[Tensor, Tensor]:
    """Token rows of different lengths as ``[rows, tokens]`` input ids, padded on the right, and their 0/1 mask."""
    lengths = torch.tensor([len(row) for row in rows])
    width = int(lengths.max())
    input_ids = torch.tensor([[*row, *[padding] * (width - len(row))] for row in rows])
    return input_ids, (torch.arange(width) < lengths[:, None]).long()


@torch.no_grad()
def _pass(
    loaded: LoadedModel,
    input_ids: Tensor,
    attention_mask: Tensor | None,
    depths: Sequence[int],
    keep: Callable[[Tensor], Tensor] | None = None,
    given: Mapping[str, Any] | None = None,
) -> list[Tensor]:
    blocks = loaded.anatomy.blocks(loaded.model)
    wanted, captured = set(depths), {}

    def capture(depth: int) -> hooks.See:
        def see(hidden: Tensor) -> None:
            captured[depth] = keep(hidden) if keep else hidden
            if depth == max(wanted):
                raise hooks.EnoughSeen

        return see

    with contextlib.ExitStack() as stack:
        for depth in wanted:
            stack.enter_context(
                hooks.leaving(blocks[depth - 1], capture(depth)) if depth else hooks.entering(blocks[0], capture(0))
            )
        with hooks.until_enough():
            mask = None if attention_mask is None else attention_mask.to(loaded.device)
            loaded.model(input_ids=input_ids.to(loaded.device), use_cache=False, **(given or {"attention_mask": mask}))
    return [captured[depth] for depth in depths]
