"""The activation pass: both models see each masked batch once, every fitter updates at once.

Depths count from the embedding: depth 0 is what enters the first block, depth l what leaves block l (counted from 1),
on the residual stream, *before* the final norm. (transformers' own list of hidden states applies the final norm to
its last entry, which makes that entry incomparable with the others.)
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from tqdm import tqdm

from brittle.models.loading import LoadedModel
from brittle.settings import BadInput


@dataclass(frozen=True)
class ActivationObservation:
    """One batch of one split as both models see it. Positions where the mask is 0 are padding and count nowhere."""

    split: str
    text_indices: tuple[int, ...]
    """Which texts of the split these are, ``[batch]``."""
    mask: Tensor
    """``[batch, tokens]`` int64, 1 on real tokens; padding is on the right."""
    hidden_a: list[Tensor]
    """Hidden states of model A by depth, ``[batch, tokens, width]`` each, in the model's own number type."""
    hidden_b: list[Tensor] | None
    """The same of model B; None if only one model is observed."""


class ActivationFitter(Protocol):
    """Whatever takes in observations one by one."""

    def update(self, observation: ActivationObservation) -> Any:
        """Take in one batch."""


def observe(
    model_a: LoadedModel,
    model_b: LoadedModel | None,
    texts: Mapping[str, Sequence[str]],
    fitters: Sequence[ActivationFitter],
    batch_size: int = 2,
    max_length: int = 512,
    last_depth: int | None = None,
) -> None:
    """Show every text to both models and every observation to every fitter.

    Texts are tokenised by model A's tokenizer as the model would see them, cut to ``max_length`` tokens and sorted by
    length, longest first. A text without a single token is left out. Depths 0 to ``last_depth`` are observed (all, if
    None); the forward pass stops after the last block that is needed, so the unembedding never runs. Hidden states of
    both models lie on model A's device, on the CPU if that is an Apple GPU, which has no float64.

    BadInput if a split has no text with at least one token.
    """
    if last_depth is None:
        last_depth = len(model_a.anatomy.blocks(model_a.model))
    depths = range(last_depth + 1)
    place = "cpu" if model_a.device.startswith("mps") else model_a.device

    def look(model: LoadedModel, input_ids: Tensor, mask: Tensor) -> list[Tensor]:
        return [hidden.to(place) for hidden in hidden_states(model, input_ids, mask, depths)]

    batches = {split: list(_batches(model_a.tokenizer, split, texts[split], batch_size, max_length)) for split in texts}
    for split, parts in batches.items():
        for indices, input_ids, mask in tqdm(parts, desc=f"activations on {split} texts", unit="batch", disable=None):
            hidden_a = look(model_a, input_ids, mask)
            hidden_b = None if model_b is None else look(model_b, input_ids, mask)
            observation = ActivationObservation(split, indices, mask.to(place), hidden_a, hidden_b)
            for fitter in fitters:
                fitter.update(observation)


@torch.no_grad()
def hidden_states(
    loaded: LoadedModel,
    input_ids: Tensor,
    attention_mask: Tensor | None,
    depths: Sequence[int],
    keep: Callable[[Tensor], Tensor] | None = None,
) -> list[Tensor]:
    """Hidden states ``[batch, tokens, width]`` at the given depths, by one forward pass that ends at the deepest.

    ``keep`` is applied to each as soon as it is known, so that a caller who reads few positions never holds the rest.
    """
    blocks = loaded.anatomy.blocks(loaded.model)
    wanted, captured = set(depths), {}

    def capture(depth: int, hidden: Tensor) -> None:
        captured[depth] = keep(hidden) if keep else hidden
        if depth == max(wanted):
            raise _EnoughSeen

    def before(_module: nn.Module, inputs: tuple, named: dict[str, Any]) -> None:
        capture(0, inputs[0] if inputs else named["hidden_states"])

    def after(depth: int) -> Callable:
        def hook(_module: nn.Module, _inputs: tuple, output: Any) -> None:
            capture(depth, output[0] if isinstance(output, tuple) else output)

        return hook

    with contextlib.ExitStack() as stack:
        if 0 in wanted:
            stack.callback(blocks[0].register_forward_pre_hook(before, with_kwargs=True).remove)
        for depth in wanted - {0}:
            stack.callback(blocks[depth - 1].register_forward_hook(after(depth)).remove)
        with contextlib.suppress(_EnoughSeen):
            mask = None if attention_mask is None else attention_mask.to(loaded.device)
            loaded.model(input_ids=input_ids.to(loaded.device), attention_mask=mask, use_cache=False)
    return [captured[depth] for depth in depths]


def pad(rows: Sequence[Sequence[int]], padding: int) -> tuple[Tensor, Tensor]:
    """Token rows of different lengths as ``[rows, tokens]`` input ids, padded on the right, and their 0/1 mask."""
    lengths = torch.tensor([len(row) for row in rows])
    width = int(lengths.max())
    input_ids = torch.tensor([[*row, *[padding] * (width - len(row))] for row in rows])
    return input_ids, (torch.arange(width) < lengths[:, None]).long()


class _EnoughSeen(Exception):
    """Ends a forward pass after the last block that anyone reads."""


def _batches(
    tokenizer: Any, split: str, texts: Sequence[str], batch_size: int, max_length: int
) -> Iterator[tuple[tuple[int, ...], Tensor, Tensor]]:
    """Text indices, input ids and mask, batch by batch, longest texts first: memory runs out at once or never."""
    rows = tokenizer(list(texts), truncation=True, max_length=max_length)["input_ids"] if texts else []
    order = sorted((index for index, row in enumerate(rows) if row), key=lambda index: -len(rows[index]))
    if not order:
        raise BadInput(f"there is no {split} text to observe; give a file with at least one line of text")
    for start in range(0, len(order), batch_size):
        indices = tuple(order[start : start + batch_size])
        yield indices, *pad([rows[index] for index in indices], tokenizer.pad_token_id)
