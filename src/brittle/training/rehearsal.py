"""One optimizer step without numbers: what its tensors will take, counted on tensors that have shapes and no content.

The method's own loss runs forwards and backwards on a copy of the model whose weights take no memory, and every
tensor that appears is counted from its first moment to its last. So the count follows the architecture, the splits
that share a pass, blocks that keep nothing because nothing below them trains, recomputation, chunks of logits and the
half-precision copies of autocast by itself; no constant is fitted.

Attention counts as the fused kernels keep it: queries, keys, values, output and one float32 per query and head. What
kernels allocate for a moment inside themselves is not seen.
"""

from __future__ import annotations

import contextlib
import copy
import weakref
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any
from unittest import mock

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from brittle.models.anatomy import Anatomy
from brittle.training.batches import Batch
from brittle.training.hyperparameters import TrainingSettings
from brittle.training.loop import without_dropout
from brittle.training.step import Step

MAPPED = 32 * 2**20
"""Blocks from here on glibc takes from the system one by one and gives back; smaller ones that are freed stay in the
process's heap for later ones (``M_MMAP_THRESHOLD``, which rises up to this size by itself)."""


@dataclass(frozen=True)
class Held:
    """Bytes held at most beside what stays: weights, optimizer states and copies of weights."""

    most: int
    """The most that is held at once, gradients among it."""
    heap: int
    """The most in tensors smaller than :data:`MAPPED`."""
    mapped: int
    """The most in the others. The two may be at different moments."""


@dataclass(frozen=True)
class Rehearsed(Held):
    """One optimizer step: what its forward and backward passes hold, and which weights it reaches."""

    gradients: int
    """All gradients, after the backward pass."""
    reached: int
    """Number of weights that have a gradient: a loss that reads block 7 trains nothing above it."""
    largest: int
    """Number of weights of the largest parameter among them."""


class Ledger(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """While active, counts the bytes of all storages that operations return, each until it is freed; not of ``known``."""

    def __init__(self, known: Iterable[Tensor] = ()) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.held = self.most = 0
        self._by_size, self._most_by_size = [0, 0], [0, 0]
        self._alive = {each.untyped_storage()._cdata for each in known}

    def __torch_dispatch__(self, function: Any, types: Any, arguments: Any = (), named: Any = None) -> Any:
        found = function(*arguments, **(named or {}))
        for each in tree_leaves(found):
            if isinstance(each, Tensor):
                self._note(each.untyped_storage())
        return found

    def _note(self, storage: Any) -> None:
        key = storage._cdata
        if key not in self._alive:
            self._alive.add(key)
            self._add(storage.nbytes())
            weakref.finalize(storage, self._forget, key, storage.nbytes())

    def _forget(self, key: int, size: int) -> None:
        self._alive.discard(key)
        self._add(-size)

    def _add(self, size: int) -> None:
        self.held += size
        self.most = max(self.most, self.held)
        kind = abs(size) >= MAPPED
        self._by_size[kind] += size
        self._most_by_size[kind] = max(self._most_by_size[kind], self._by_size[kind])

    def found(self) -> Held:
        """The most that was held so far."""
        return Held(self.most, *self._most_by_size)


class _FusedAttention(torch.autograd.Function):
    """What flash and memory-efficient attention allocate, forwards and backwards."""

    @staticmethod
    def forward(context: Any, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        rows, heads, tokens, width = *query.shape[:3], value.shape[-1]
        found = query.new_empty(rows, tokens, heads, width).transpose(1, 2)
        sums = query.new_empty(rows, heads, tokens, dtype=torch.float32)
        context.save_for_backward(query, key, value, found, sums)
        return found

    @staticmethod
    def backward(context: Any, _gradient: Tensor) -> Any:
        return tuple(torch.empty_like(part) for part in context.saved_tensors[:3])


def _attention(query: Tensor, key: Tensor, value: Tensor, **_: Any) -> Tensor:
    if torch.is_autocast_enabled("cpu"):
        query, key, value = (part.to(torch.get_autocast_dtype("cpu")) for part in (query, key, value))
    found: Tensor = _FusedAttention.apply(query, key, value)
    return found


class _Before:
    """What the untouched model said: zeros of the right shapes."""

    def __init__(self, config: Any) -> None:
        self.config = config

    def __call__(self, _split: str, batch: Batch, _layer: int) -> Tensor:
        return torch.zeros(*batch.input_ids.shape, self.config.hidden_size)

    def main_directions(self, _split: str, _layer: int, count: int) -> Tensor:
        return torch.zeros(count, self.config.hidden_size)

    def logits(self, _split: str, batch: Batch) -> Tensor:
        return torch.zeros(*batch.input_ids.shape, self.config.vocab_size)

    def log_probabilities(self, _split: str, batch: Batch) -> Tensor:
        return torch.zeros(len(batch.input_ids))


def without_content(model: nn.Module) -> Any:
    """A copy of the model inside a :class:`FakeTensorMode`: same modules, shapes and types, no content."""
    twins: dict[int, Any] = {}
    for each in [*model.parameters(), *model.buffers()]:
        twin = torch.empty(each.shape, dtype=each.dtype)
        is_parameter = isinstance(each, nn.Parameter)
        twins[id(each)] = nn.Parameter(twin, requires_grad=each.requires_grad) if is_parameter else twin
    return copy.deepcopy(model, twins)


def rehearse(
    model: nn.Module, anatomy: Anatomy, training: TrainingSettings, module: Any, method: Any, half: bool
) -> Rehearsed:
    """Count one step of a method on full rows of ``training.max_length`` tokens; ``model`` is only looked at.

    Args:
        module: the method's file; ``method`` its settings.
        half: whether float32 weights compute in bfloat16 (autocast), as they do on a GPU by default.
    """
    with FakeTensorMode(), mock.patch.object(nn.functional, "scaled_dot_product_attention", _attention):
        twin = without_content(model)
        without_dropout(twin.train())
        for parameter in twin.parameters():
            parameter.grad = None
        needs = module.NEEDS
        initial = {name: torch.zeros_like(p) for name, p in twin.named_parameters() if p.requires_grad}
        batches = _batches(needs.splits, training.batch_size, training.max_length)
        micro_batches = [batches] * min(2, training.grad_accum_steps)
        totals = {split: SimpleNamespace(tokens=1.0, counted=1.0, sequences=1.0) for split in batches}
        shared: dict[str, Any] = {}
        stays = [*twin.parameters(), *twin.buffers(), *initial.values()]
        with Ledger(stays) as ledger:
            for each in micro_batches:
                step = Step(
                    twin, each, totals, number=1, steps=2, anatomy=anatomy, reference=_Before(twin.config),  # type: ignore[arg-type]
                    initial=initial, chunk=training.loss_chunk, together=needs.together and not training.norm_reg_lambda,
                    whole=micro_batches, shared=shared,
                )  # fmt: skip
                with torch.autocast("cpu", torch.bfloat16) if half else contextlib.nullcontext():
                    terms = module.loss(method, step)
                torch.stack(list(terms.values())).sum().backward()  # type: ignore[no-untyped-call]
            held = ledger.found()
        found = [p for p in twin.parameters() if p.grad is not None]
        sizes = [parameter.numel() for parameter in found]
        gradients = sum(p.grad.numel() * p.grad.element_size() for p in found if p.grad is not None)
        return Rehearsed(held.most, held.heap, held.mapped, gradients, sum(sizes), max(sizes, default=0))


def try_to_rehearse(*arguments: Any, **named: Any) -> tuple[Rehearsed | None, str]:
    """As :func:`rehearse`; or None and, in a few words, what the model's own code cannot do without numbers."""
    try:
        return rehearse(*arguments, **named), ""
    except Exception as problem:  # whatever that code does
        reason = " ".join(str(problem).split())[:120]
        return None, f"this model cannot be rehearsed ({type(problem).__name__}{f': {reason}' if reason else ''})"


def rehearse_reading(
    model: nn.Module, anatomy: Anatomy, rows: int, tokens: int, read: Callable[[Step], Any], chunk: int = 0
) -> Held:
    """What is held, beside the model, while ``read(step)`` asks it without gradients about full rows of one split, ``texts``."""
    with FakeTensorMode(), mock.patch.object(nn.functional, "scaled_dot_product_attention", _attention):
        twin = without_content(model)
        batches = _batches(("texts",), rows, tokens)
        totals: Any = {"texts": SimpleNamespace(tokens=1.0, counted=1.0, sequences=1.0)}
        with torch.no_grad(), Ledger([*twin.parameters(), *twin.buffers()]) as ledger:
            read(Step(twin.eval(), batches, totals, anatomy=anatomy, chunk=chunk))
            held: Held = ledger.found()
            return held


def _batches(splits: Sequence[str], rows: int, tokens: int) -> dict[str, Batch]:
    whole = torch.ones(rows, tokens, dtype=torch.long)
    return {
        split: Batch(whole.clone(), whole.clone(), whole.float(), tuple(range(rows)), full=True) for split in splits
    }


__all__ = ["Ledger", "Rehearsed", "rehearse", "rehearse_reading", "try_to_rehearse", "without_content"]
