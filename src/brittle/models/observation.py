"""The activation pass: both models see each masked batch once, every fitter updates at once.

Depths count from the embedding: depth 0 is what enters the first block, depth l what leaves block l (counted from 1),
on the residual stream, *before* the final norm. (transformers' own list of hidden states applies the final norm to
its last entry, which makes that entry incomparable with the others.)
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn

from brittle import progress
from brittle.models.batching import batches_by_length
from brittle.models.encoding import encode_beginnings, longest_row
from brittle.models.hidden_states import check_finite, hidden_states, pad
from brittle.models.loading import LoadedModel
from brittle.models.perturbation import digest_of
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
    mlp_inputs_a: list[Tensor] | None = None
    """What enters the MLP's expanding matrices in model A, by block, ``[batch, tokens, width]``; None if not asked."""
    contract_inputs_a: list[Tensor] | None = None
    """What enters its contracting matrix, ``[batch, tokens, inner width]`` (large); None if not asked."""
    digests: tuple[str, ...] = ()
    """What tells the texts apart by their tokens, whatever their order, ``[batch]``."""
    model_a: str = ""
    model_b: str = ""

    @property
    def keys(self) -> tuple[str, ...]:
        """The texts' digests; their indices, where an observation was made without."""
        return self.digests or tuple(f"{index:08d}" for index in self.text_indices)

    @property
    def depths(self) -> int:
        """How many depths were observed."""
        return len(self.hidden_a)

    @cached_property
    def text_of_token(self) -> Tensor:
        """The row in the batch of every real token, ``[real tokens]``."""
        return self.mask.nonzero()[:, 0]

    @cached_property
    def tokens_per_text(self) -> Tensor:
        """``[batch]`` float64."""
        return self.mask.sum(dim=1).double()

    def tokens(self, side: str, depth: int) -> Tensor:
        """The real tokens' hidden states, in the order of :attr:`text_of_token`, ``[real tokens, width]``, float32."""
        if (side, depth) not in self._found:
            self._found[side, depth] = self._hidden(side)[depth][self.mask.bool()].float()
        return self._found[side, depth]

    def text_means(self, side: str) -> Tensor:
        """The mean over each text's real tokens, ``[batch, depths, width]``, float64."""
        if (side, "means") not in self._found:
            lengths = self.mask.sum(dim=1).tolist()
            sums = [
                torch.stack([hidden[row, :length].sum(0, dtype=torch.float64) for hidden in self._hidden(side)])
                for row, length in enumerate(lengths)
            ]
            self._found[side, "means"] = torch.stack(sums) / self.tokens_per_text[:, None, None]
        return self._found[side, "means"]

    def last_tokens(self, side: str) -> Tensor:
        """Hidden states at each text's last real token, ``[batch, depths, width]``, float32."""
        last, rows = self.mask.sum(dim=1) - 1, torch.arange(len(self.mask), device=self.mask.device)
        return torch.stack([hidden[rows, last].float() for hidden in self._hidden(side)], dim=1)

    @cached_property
    def _found(self) -> dict[Any, Tensor]:
        """What several fitters read is computed once."""
        return {}

    def _hidden(self, side: str) -> list[Tensor]:
        hidden = {"a": self.hidden_a, "b": self.hidden_b}[side]
        if hidden is None:
            raise ValueError("this diagnostic needs both models of a pair")
        return hidden


class Site(NamedTuple):
    """A place inside a block whose input can be asked for: the weight component and the observation's field."""

    component: str
    field: str


SITES = {
    "mlp_input": Site("mlp_expand", "mlp_inputs_a"),
    "contract_input": Site("mlp_contract", "contract_inputs_a"),
}


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
    sites: Collection[str] = (),
) -> None:
    """Show every text to both models and every observation to every fitter.

    Texts are tokenised by model A's tokenizer (:mod:`brittle.models.encoding`), cut to ``max_length`` tokens or what both
    models read, and sorted by length, longest first. A text without a single token is left out. Depths 0 to ``last_depth`` are observed (all, if
    None); the forward pass stops after the last block that is needed, so the unembedding never runs. Hidden states of
    both models lie on model A's device, on the CPU if that is an Apple GPU, which has no float64. ``sites`` asks for
    more of model A, from the same forward pass: ``mlp_input``, ``contract_input`` (see :data:`SITES`).

    BadInput if a split has no text with at least one token, NonFinite if a hidden state is not a number.
    """
    if last_depth is None:
        last_depth = len(model_a.anatomy.blocks(model_a.model))
    depths = range(last_depth + 1)
    place = "cpu" if model_a.device.startswith("mps") else model_a.device

    def look(model: LoadedModel, input_ids: Tensor, mask: Tensor) -> list[Tensor]:
        return [hidden.to(place) for hidden in hidden_states(model, input_ids, mask, depths)]

    longest = min(longest_row(each.model, max_length) for each in (model_a, model_b or model_a))
    batches = {split: list(_batches(model_a, split, texts[split], batch_size, longest)) for split in texts}
    for split, parts in batches.items():
        title = f"activations of {' and '.join(each.name for each in (model_a, model_b) if each)} on {split} texts"
        for indices, input_ids, mask in progress.over(parts, title, "text", amount=lambda part: len(part[0])):
            with _inputs_of_sites(model_a, sites) as inputs:
                hidden_a = look(model_a, input_ids, mask)
            hidden_b = None if model_b is None else look(model_b, input_ids, mask)
            more = {
                SITES[site].field: [each.to(place).reshape(*mask.shape, -1) for each in found]
                for site, found in inputs.items()
            }
            digests = tuple(digest_of(row[real].tolist()) for row, real in zip(input_ids, mask.bool()))
            names = model_a.name, model_b.name if model_b else ""
            for found in inputs.values():
                check_finite(model_a, input_ids, mask, found)
            observation = ActivationObservation(
                split, indices, mask.to(place), hidden_a, hidden_b, **more,
                digests=digests, model_a=names[0], model_b=names[1],
            )  # fmt: skip
            for fitter in fitters:
                fitter.update(observation)


@contextlib.contextmanager
def _inputs_of_sites(loaded: LoadedModel, sites: Collection[str]) -> Iterator[dict[str, list[Tensor]]]:
    """While inside, a forward pass leaves what enters the sites' matrices here, block by block.

    Matrices of one component share their input (Llama's gate and up), so the first stands for all. OPT flattens batch
    and tokens into one axis.
    """
    captured: dict[str, list[Tensor]] = {site: [] for site in sites}
    with contextlib.ExitStack() as stack:
        for site in sites:
            path = getattr(loaded.anatomy, SITES[site].component)[0]

            def hook(_module: nn.Module, inputs: tuple[Any, ...], site: str = site) -> None:
                captured[site].append(inputs[0])

            for block in loaded.anatomy.blocks(loaded.model):
                stack.callback(block.get_submodule(path).register_forward_pre_hook(hook).remove)
        yield captured


def _batches(
    loaded: LoadedModel, split: str, texts: Sequence[str], batch_size: int, longest: int
) -> Iterator[tuple[tuple[int, ...], Tensor, Tensor]]:
    """Text indices, input ids and mask, batch by batch, longest texts first: memory runs out at once or never."""
    rows = encode_beginnings(loaded.tokenizer, texts, longest, f"{split} texts")
    chosen = [index for index, row in enumerate(rows) if row]
    if not chosen:
        raise BadInput(f"there is no {split} text to observe; give a file with at least one line of text")
    for indices in batches_by_length(loaded.model, chosen, lambda index: len(rows[index]), batch_size):
        yield tuple(indices), *pad([rows[index] for index in indices], loaded.tokenizer.pad_token_id)
