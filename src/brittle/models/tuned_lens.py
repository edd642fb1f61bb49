"""The tuned lens: a learned translation of every depth's hidden states for the model's own output head.

    h̃_l = h_l + A_l h_l + b_l,        lens_l = softmax(unembed(norm(h̃_l)))

A_l and b_l start at zero, which is the logit lens, and learn to make ``KL(model ‖ lens_l)`` small on ordinary text: what
the model itself goes on to predict, never an answer key. The last depth has no translation: there the lens is the model.
All depths learn in one pass over the text. A depth keeps the translation of the epoch that was best on held-out text,
the zero one included, so no depth reads worse there than the logit lens does.
Source: Belrose et al. 2023, "Eliciting latent predictions from transformers with the tuned lens" (arXiv 2303.08112).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from brittle import progress
from brittle.models.encoding import encode_beginnings, longest_row
from brittle.models.hidden_states import hidden_states, pad
from brittle.models.likelihood import ROWS_AT_ONCE, lens
from brittle.models.loading import LoadedModel
from brittle.settings import BadInput

LARGEST_NORM = 1.0
"""Gradients of a depth are cut to this norm."""


@dataclass(frozen=True)
class TunedLens:
    """A translation per depth but the last, and how far the lens was from the model on held-out text."""

    translations: tuple[nn.Linear, ...]
    divergence: tuple[float, ...]
    """``[depths]``: mean KL from the model's prediction to the lens's per held-out token, in nats; 0 at the last depth."""
    divergence_untuned: tuple[float, ...]
    """The same of the logit lens."""

    @torch.no_grad()
    def translate(self, depth: int, hidden: Tensor) -> Tensor:
        """Hidden states ``[..., width]`` of a depth as the output head reads them, in their own number type."""
        return hidden if depth >= len(self.translations) else _translated(self.translations[depth], hidden)


def train(
    loaded: LoadedModel,
    texts: Sequence[str],
    lr: float = 1e-3,
    epochs: int = 3,
    train_frac: float = 0.3,
    seed: int = 42,
    batch_size: int = 8,
    max_length: int = 512,
) -> TunedLens:
    """Fit the lens of a model on a random ``train_frac`` of the texts; the rest are held out.

    Adam at ``lr``, falling to zero in a straight line over ``epochs`` passes. Translations are float32 whatever the
    model's number type. Memory: ``3 · depths · width²`` float32 numbers, and the logits of ``ROWS_AT_ONCE`` tokens.

    BadInput with fewer than two texts of at least two tokens.
    """
    generator = torch.Generator().manual_seed(seed)
    learning, held_out = split_texts(loaded, texts, train_frac, generator, max_length)
    depths = len(loaded.anatomy.blocks(loaded.model))
    width = loaded.anatomy.unembedding(loaded.model).weight.shape[1]
    current = [_zero(width, loaded.device) for _ in range(depths)]
    best = [_zero(width, loaded.device) for _ in range(depths)]
    untuned = _held_out(loaded, current, _batches(loaded, held_out, batch_size))
    smallest = list(untuned)
    optimizer = torch.optim.Adam([weight for each in current for weight in each.parameters()], lr=lr)
    steps = epochs * -(-len(learning) // batch_size)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 - step / max(1, steps))
    with progress.work(f"tuned lens of {loaded.name}", steps) as learned:
        for _ in range(epochs):
            shuffled = [learning[i] for i in torch.randperm(len(learning), generator=generator).tolist()]
            for states, final in _batches(loaded, shuffled, batch_size):
                optimizer.zero_grad()
                _learn(loaded, current, states, final)
                optimizer.step()
                schedule.step()
                learned.update()
            for depth, found in enumerate(_held_out(loaded, current, _batches(loaded, held_out, batch_size))):
                if found < smallest[depth]:
                    smallest[depth] = found
                    best[depth].load_state_dict(current[depth].state_dict())
    return TunedLens(tuple(best), (*smallest, 0.0), (*untuned, 0.0))


def split_texts(
    loaded: LoadedModel, texts: Sequence[str], train_frac: float, generator: torch.Generator, max_length: int
) -> tuple[list[list[int]], list[list[int]]]:
    """Texts as tokens, a random ``train_frac`` to learn from and the rest; BadInput if there are not two."""
    longest = longest_row(loaded.model, max_length)
    rows = [row for row in encode_beginnings(loaded.tokenizer, texts, longest, "texts of the lens") if row[1:]]
    if len(rows) < 2:
        raise BadInput("a learned lens needs at least two texts of two tokens, one to learn from and one held out")
    order = torch.randperm(len(rows), generator=generator).tolist()
    count = min(len(rows) - 1, max(1, round(train_frac * len(rows))))
    return [rows[i] for i in order[:count]], [rows[i] for i in order[count:]]


def _zero(width: int, device: str) -> nn.Linear:
    translation = nn.Linear(width, width, device=device, dtype=torch.float32)
    nn.init.zeros_(translation.weight)
    nn.init.zeros_(translation.bias)
    return translation


def _translated(translation: nn.Linear, hidden: Tensor) -> Tensor:
    moved = hidden.to(translation.weight.device).float()
    translated: Tensor = moved + translation(moved)
    return translated.to(hidden.dtype)


def _batches(loaded: LoadedModel, rows: Sequence[Any], batch_size: int) -> Iterator[tuple[list[Tensor], Tensor]]:
    """Per batch, the real tokens' hidden states at every depth but the last, and the last's, ``[tokens, width]``."""
    depths = range(len(loaded.anatomy.blocks(loaded.model)) + 1)
    for start in range(0, len(rows), batch_size):
        input_ids, mask = pad(rows[start : start + batch_size], loaded.tokenizer.pad_token_id)
        *states, final = (h[mask.bool().to(h.device)] for h in hidden_states(loaded, input_ids, mask, depths))
        yield states, final


def _divergences_of(
    loaded: LoadedModel, translations: Sequence[nn.Linear], states: Sequence[Tensor], final: Tensor
) -> Iterator[tuple[int, Tensor]]:
    """KL(model ‖ lens) by depth, summed over some tokens at a time; a depth comes once per part."""
    for start in range(0, len(final), ROWS_AT_ONCE):
        part = slice(start, start + ROWS_AT_ONCE)
        with torch.no_grad():
            target = lens(loaded, final[part]).log_softmax(-1)
        for depth, (translation, hidden) in enumerate(zip(translations, states, strict=True)):
            found = lens(loaded, _translated(translation, hidden[part])).log_softmax(-1)
            yield depth, nn.functional.kl_div(found, target.to(found.device), log_target=True, reduction="sum")


def _learn(loaded: LoadedModel, translations: Sequence[nn.Linear], states: Sequence[Tensor], final: Tensor) -> None:
    """Leave the gradient of these tokens' mean divergence in the translations."""
    for depth, divergence in _divergences_of(loaded, translations, states, final):
        weights = list(translations[depth].parameters())
        for weight, gradient in zip(weights, torch.autograd.grad(divergence, weights), strict=True):
            weight.grad = gradient / len(final) + (0 if weight.grad is None else weight.grad)
    for translation in translations:
        nn.utils.clip_grad_norm_(translation.parameters(), LARGEST_NORM)


@torch.no_grad()
def _held_out(loaded: LoadedModel, translations: Sequence[nn.Linear], batches: Iterable[Any]) -> list[float]:
    """Mean KL(model ‖ lens) per token by depth."""
    sums, tokens = [0.0] * len(translations), 0
    for states, final in batches:
        tokens += len(final)
        for depth, divergence in _divergences_of(loaded, translations, states, final):
            sums[depth] += float(divergence)
    return [found / tokens for found in sums]
