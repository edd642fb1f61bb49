"""What the model said before training, computed once and kept on disk by example: hidden states, log-probabilities.

Keyed by example, not by step, so any sampler, batch size or number of epochs reads the right values; keyed by content,
so runs of a sweep share one cache. No second model is in memory during training: where a loss compares whole
distributions, the states before the unembedding are cached and only a copy of the unembedding is kept.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy
import torch
from torch import Tensor, nn

from brittle import leases, progress, source
from brittle.models.anatomy import Anatomy
from brittle.models.likelihood import capped
from brittle.records import Identity, is_complete, parents_of, writing
from brittle.settings import home
from brittle.training.batches import Batch, Example, collate
from brittle.training.loop import totals_of
from brittle.training.step import HEAD, Step


class ReferenceStates:
    """Block outputs by split, layer and example; called with a batch, it returns ``[rows, tokens, width]``."""

    def __init__(
        self,
        folder: Path,
        examples: Mapping[str, Sequence[Example]],
        layers: Sequence[int],
        head: nn.Module | None = None,
        config: Any = None,
    ) -> None:
        self.head, self.config = head, config
        """A copy of the unembedding as it was, where logits are asked for, and the model's configuration."""
        self._folder, self._sums = folder, dict[str, numpy.ndarray]()
        self._directions: dict[tuple[str, int, int], Tensor] = {}
        self._states = {
            (split, layer): numpy.load(folder / f"{split}_{layer}.npy", mmap_mode="r")
            for split in examples
            for layer in layers
        }
        self._starts = {
            split: numpy.concatenate([[0], numpy.cumsum([len(example.tokens) for example in part])])
            for split, part in examples.items()
        }

    def __call__(self, split: str, batch: Batch, layer: int) -> Tensor:
        """The states of the batch's examples, zero on padding."""
        states, starts = self._states[split, layer], self._starts[split]
        rows, tokens = batch.input_ids.shape
        stacked = numpy.zeros((rows, tokens, states.shape[1]), dtype=numpy.float32)
        for row, example in enumerate(batch.examples):
            first, last = starts[example], starts[example + 1]
            stacked[row, : last - first] = states[first:last]
        return torch.from_numpy(stacked).to(batch.input_ids.device)

    def main_directions(self, split: str, layer: int, count: int) -> Tensor:
        """Orthonormal rows ``[count, width]`` that span the mean of all the split's states and their largest principal components.

        Fewer than ``count`` only where the width is smaller.
        """
        key = (split, layer, count)
        if key not in self._directions:
            self._directions[key] = main_directions(self._states[split, layer], count)
        return self._directions[key]

    def logits(self, split: str, batch: Batch) -> Tensor:
        """The untouched model's logits, ``[rows, tokens, vocabulary]`` float32; meaningless on padding."""
        if self.head is None:
            raise RuntimeError("this method did not declare that it needs reference logits")
        with torch.no_grad():
            states = self(split, batch, HEAD).to(next(self.head.parameters()).dtype)
            return capped(self.head(states).float(), self.config).to(batch.input_ids.device)

    def log_probabilities(self, split: str, batch: Batch) -> Tensor:
        """The untouched model's log-probability of each example's counted tokens together, ``[rows]``, in nats."""
        if split not in self._sums:
            self._sums[split] = numpy.load(self._folder / f"{split}_log_probability.npy")
        found = torch.from_numpy(self._sums[split][list(batch.examples)])
        return found.float().to(batch.input_ids.device)


def main_directions(states: numpy.ndarray, count: int, rows: int = 4096) -> Tensor:
    """Orthonormal rows ``[count, width]``: the mean of ``[tokens, width]`` first, then the principal components, largest first.

    Summed in float64, ``rows`` tokens at a time.
    """
    width = states.shape[1]
    total, squares = numpy.zeros(width), numpy.zeros((width, width))
    for first in range(0, len(states), rows):
        part = numpy.asarray(states[first : first + rows], dtype=numpy.float64)
        total += part.sum(0)
        squares += part.T @ part
    mean = total / len(states)
    _, vectors = numpy.linalg.eigh(squares / len(states) - numpy.outer(mean, mean))
    chosen = numpy.column_stack([mean, vectors[:, ::-1][:, : count - 1]])[:, :width]
    basis, _ = numpy.linalg.qr(chosen)
    return torch.from_numpy(numpy.ascontiguousarray(basis.T)).float()


@torch.no_grad()
def reference_states(
    model: nn.Module,
    anatomy: Anatomy,
    examples: Mapping[str, Sequence[Example]],
    layers: Sequence[int],
    *,
    digest: str,
    padding: int,
    device: str,
    batch_size: int = 16,
    log_probabilities: Sequence[str] = (),
) -> ReferenceStates:
    """Compute, or find in the cache, what ``model`` (identified by ``digest``) says about ``examples``.

    Args:
        layers: blocks whose outputs are kept; :data:`HEAD` for the input of the unembedding, with a copy of it.
        log_probabilities: splits whose examples' log-probabilities are kept.
    """
    contents = {split: [[example.tokens, example.counted] for example in part] for split, part in examples.items()}
    asked = {"layers": sorted(layers), "log_probabilities": sorted(log_probabilities)}
    identity = Identity(
        "reference hidden states",
        {"model": digest, "examples": contents},
        asked | {"dtype": str(model.dtype), "source": source.digest_of(__name__)},
    )
    folder = home() / "reference_states" / identity.fingerprint
    kept = Identity(identity.kind, {"of": identity.fingerprint}, {})
    with parents_of(folder), leases.held(folder, wait=True):  # two runs from one base may need the same
        if not is_complete(folder, kept):
            with writing(folder, kept) as draft:
                for split, part in examples.items():
                    if layers:
                        _write_states(draft.folder, model, anatomy, split, part, layers, padding, device, batch_size)
                    if split in log_probabilities:
                        _write_log_probabilities(draft.folder, model, split, part, padding, device, batch_size)
    head = copy.deepcopy(anatomy.unembedding(model)).requires_grad_(False) if HEAD in layers else None
    return ReferenceStates(folder, examples, layers, head, model.config)


def _write_log_probabilities(
    folder: Path, model: nn.Module, split: str, examples: Sequence[Example], padding: int, device: str, batch_size: int
) -> None:
    sums = []
    for first in progress.over(range(0, len(examples), batch_size), f"reference likelihoods ({split})", "batch"):
        positions = list(range(first, min(first + batch_size, len(examples))))
        batch = collate(examples, positions, padding).to(device)
        losses = Step(model, {split: batch}, totals_of([{split: batch}])).token_losses(split)
        sums.append(-(losses * batch.counted[:, 1:]).sum(1).double().cpu().numpy())
    numpy.save(folder / f"{split}_log_probability.npy", numpy.concatenate(sums))


def _write_states(
    folder: Path, model: nn.Module, anatomy: Anatomy, split: str, examples: Sequence[Example], layers: Sequence[int],
    padding: int, device: str, batch_size: int,
) -> None:  # fmt: skip
    total = sum(len(example.tokens) for example in examples)
    arrays: dict[int, numpy.memmap] = {}
    position = 0
    for first in progress.over(range(0, len(examples), batch_size), f"reference states ({split})", "batch"):
        positions = list(range(first, min(first + batch_size, len(examples))))
        batch = collate(examples, positions, padding).to(device)
        step = Step(model, {split: batch}, totals_of([{split: batch}]), anatomy=anatomy)
        real = batch.attention_mask.bool()
        for layer, states in step.hidden_states(split, layers).items():
            if layer not in arrays:
                shape = (total, states.shape[-1])
                arrays[layer] = numpy.lib.format.open_memmap(
                    folder / f"{split}_{layer}.npy", mode="w+", dtype=numpy.float32, shape=shape
                )
            kept = states[real].float().cpu().numpy()
            arrays[layer][position : position + len(kept)] = kept
        position += int(real.sum())
    for array in arrays.values():
        array.flush()
