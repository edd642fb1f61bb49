"""What a model says greedily after many prompts, several at a time, each token computed once (keys and values are kept)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from transformers import GenerationConfig

from brittle import progress
from brittle.models.batching import batches_by_length
from brittle.models.generation import end_tokens
from brittle.models.loading import LoadedModel


def continuations(
    loaded: LoadedModel,
    rows: Sequence[Sequence[int]],
    lengths: Sequence[int],
    batch_size: int = 8,
    what: str = "prompts",
) -> list[str]:
    """The text that the likeliest token, again and again, adds to each row: ``lengths`` tokens, or fewer before an end of text.

    Rows and what they may add fit the model's positions. The tokens are those of :func:`brittle.models.generation.stream` without
    a temperature; of the model's generation settings only the tokens that end a text are heeded.
    """
    said = [""] * len(rows)
    ends = sorted(end_tokens(loaded))
    batches = list(batches_by_length(loaded.model, range(len(rows)), lambda i: len(rows[i]) + lengths[i], batch_size))
    for batch in progress.over(batches, f"{what} continued by {loaded.name}", "text", len) if batches else ():
        for index, tokens in zip(batch, _continued(loaded, rows, lengths, batch, ends)):
            kept = tokens[: next((place for place, token in enumerate(tokens) if token in ends), len(tokens))]
            said[index] = str(loaded.tokenizer.decode(kept, skip_special_tokens=True))
    return said


@torch.no_grad()
def _continued(
    loaded: LoadedModel,
    rows: Sequence[Sequence[int]],
    lengths: Sequence[int],
    batch: Sequence[int],
    ends: Sequence[int],
) -> list[list[int]]:
    """The new tokens of each row of a batch, padded on the left so that all end together."""
    padding, width = loaded.tokenizer.pad_token_id, max(len(rows[index]) for index in batch)
    input_ids = torch.tensor([[padding] * (width - len(rows[index])) + list(rows[index]) for index in batch])
    mask = torch.tensor([[0] * (width - len(rows[index])) + [1] * len(rows[index]) for index in batch])
    settings: Any = GenerationConfig(  # type: ignore[no-untyped-call]
        max_new_tokens=max(lengths[index] for index in batch), do_sample=False, pad_token_id=padding,
        eos_token_id=list(ends) or None,
    )  # fmt: skip
    own = loaded.model.generation_config
    loaded.model.generation_config = settings  # what is not named in ours would be taken from the model's own
    try:
        found = loaded.model.generate(input_ids=input_ids.to(loaded.device), attention_mask=mask.to(loaded.device))
    finally:
        loaded.model.generation_config = own
    return [tokens[: lengths[index]] for index, tokens in zip(batch, found[:, width:].tolist())]
