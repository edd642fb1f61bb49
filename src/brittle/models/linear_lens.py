"""The linear lens: at every depth a plain affine map from hidden states to the vocabulary, learned from scratch.

    logits_l = W_l h_l + b_l,        W_l [vocabulary, width]

Each map learns to predict the next token of ordinary text (cross-entropy), not what the model says: what it reads at a
depth may be its own. It knows nothing of the model's norm and unembedding; :mod:`brittle.models.tuned_lens` is the residual
form that goes through them. The last depth has no map: there the lens is the model. A vocabulary is large, so one depth is
learned, asked and dropped before the next: per depth one forward pass over the text for every epoch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from brittle import progress
from brittle.models.hidden_states import hidden_states, pad
from brittle.models.likelihood import ROWS_AT_ONCE, lens
from brittle.models.loading import LoadedModel
from brittle.models.tuned_lens import split_texts


@dataclass(frozen=True)
class DepthMap:
    """The map of one depth (None at the last), and how far it and the logit lens are from the model on held-out text."""

    depth: int
    linear: nn.Linear | None
    divergence: float
    """Mean KL from the model's prediction to the lens's per held-out token, in nats."""
    divergence_untuned: float


def read(linear: nn.Linear, hidden: Tensor, columns: Tensor | None = None) -> Tensor:
    """Logits ``[rows, vocabulary]`` float32 of hidden states ``[rows, width]``, or of ``columns [rows, candidates]``."""
    hidden = hidden.to(linear.weight.device).float()
    if columns is None:
        logits: Tensor = linear(hidden)
        return logits
    columns = columns.to(hidden.device)
    return torch.einsum("rw,rcw->rc", hidden, linear.weight[columns]) + linear.bias[columns]


def train(
    loaded: LoadedModel,
    texts: Sequence[str],
    lr: float = 1e-3,
    epochs: int = 3,
    train_frac: float = 0.3,
    seed: int = 42,
    batch_size: int = 8,
    max_length: int = 512,
) -> Iterator[DepthMap]:
    """Yield the map of every depth, learned on a random ``train_frac`` of the texts; the rest are held out.

    The split and the optimizer are the tuned lens's: Adam at ``lr``, falling to zero in a straight line over ``epochs``
    passes, the last of which counts. Memory: ``4 · vocabulary · width`` float32 numbers.

    BadInput with fewer than two texts of at least two tokens.
    """
    generator = torch.Generator().manual_seed(seed)
    learning, held_out = split_texts(loaded, texts, train_frac, generator, max_length)
    last = len(loaded.anatomy.blocks(loaded.model))
    orders = [torch.randperm(len(learning), generator=generator).tolist() for _ in range(epochs)]
    rows = [[learning[i] for i in order] for order in orders]
    for depth in progress.over(range(last), f"linear lens of {loaded.name}", "depth"):
        linear = _learned(loaded, depth, rows, lr, seed, batch_size)
        yield DepthMap(depth, linear, *_divergences(loaded, depth, linear, held_out, batch_size))
    yield DepthMap(last, None, 0.0, 0.0)


def _learned(
    loaded: LoadedModel, depth: int, epochs: Sequence[Sequence[Any]], lr: float, seed: int, batch_size: int
) -> nn.Linear:
    vocabulary, width = loaded.anatomy.unembedding(loaded.model).weight.shape
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        linear = nn.Linear(width, vocabulary).to(loaded.device)
    optimizer = torch.optim.Adam(linear.parameters(), lr=lr)
    steps = sum(-(-len(rows) // batch_size) for rows in epochs)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 - step / max(1, steps))
    for rows in epochs:
        for start in range(0, len(rows), batch_size):
            states, targets = _next_tokens(loaded, depth, rows[start : start + batch_size])
            optimizer.zero_grad()
            for some, tokens in zip(torch.split(states, ROWS_AT_ONCE), torch.split(targets, ROWS_AT_ONCE)):
                loss = nn.functional.cross_entropy(read(linear, some), tokens.to(some.device), reduction="sum")
                torch.autograd.backward(loss / len(targets))
            optimizer.step()
            schedule.step()
    return linear.requires_grad_(False)


@torch.no_grad()
def _next_tokens(loaded: LoadedModel, depth: int, rows: Sequence[Any]) -> tuple[Tensor, Tensor]:
    """Hidden states ``[tokens, width]`` float32 of all tokens that another follows, and those others."""
    input_ids, mask = pad(rows, loaded.tokenizer.pad_token_id)
    followed = nn.functional.pad(mask[:, 1:], (0, 1)).bool()
    (states,) = hidden_states(loaded, input_ids, mask, [depth], lambda h: h[followed.to(h.device)])
    return states.to(loaded.device).float(), input_ids[:, 1:][mask[:, 1:].bool()]


@torch.no_grad()
def _divergences(
    loaded: LoadedModel, depth: int, linear: nn.Linear, rows: Sequence[Any], batch_size: int
) -> tuple[float, float]:
    """Mean KL(model ‖ lens) per token, of the map and of the logit lens."""
    last, sums, tokens = len(loaded.anatomy.blocks(loaded.model)), [0.0, 0.0], 0
    for start in range(0, len(rows), batch_size):
        input_ids, mask = pad(rows[start : start + batch_size], loaded.tokenizer.pad_token_id)
        real = mask.bool()
        found = hidden_states(loaded, input_ids, mask, [depth, last], lambda h, real=real: h[real.to(h.device)])  # type: ignore[misc]
        tokens += len(found[0])
        for states, final in zip(*(torch.split(each, ROWS_AT_ONCE) for each in found)):
            target = lens(loaded, final).log_softmax(-1)
            for number, logits in enumerate((read(linear, states), lens(loaded, states))):
                shown = logits.log_softmax(-1).to(target.device)
                sums[number] += float(nn.functional.kl_div(shown, target, log_target=True, reduction="sum"))
    return sums[0] / tokens, sums[1] / tokens
