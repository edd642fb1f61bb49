"""What a loss can read of one training step: likelihoods, hidden states now and before training, an adversary.

All means are normalised over the whole optimizer step: the sum over a micro-batch is divided by the number of tokens
in all micro-batches of all processes. One batch of eight, two of four on two processes and two accumulated ones of
four therefore give the same update.
"""

from __future__ import annotations

import contextlib
import copy
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from brittle import progress
from brittle.mathematics import vectors
from brittle.models import hooks
from brittle.models.anatomy import Anatomy
from brittle.models.likelihood import capped
from brittle.training.batches import Batch, joined, part_of, worth_joining

Found = TypeVar("Found")

LossTerms = dict[str, Tensor]
"""Named terms whose sum is the loss."""


@dataclass(frozen=True)
class Totals:
    """How much one split holds in a whole optimizer step, over all micro-batches and processes."""

    tokens: float
    counted: float
    sequences: float


HEAD = -1
"""Stands among the layers for the input of the unembedding, after the final norm."""


def layers_in_order(layers: Sequence[int]) -> list[int]:
    """Layers from the first to the deepest; the unembedding's input is the deepest."""
    return sorted(set(layers), key=lambda layer: math.inf if layer == HEAD else layer)


class Step:
    """One micro-batch of an optimizer step, with everything a method may ask of it."""

    def __init__(
        self,
        model: nn.Module,
        batches: Mapping[str, Batch],
        totals: Mapping[str, Totals],
        *,
        number: int = 0,
        steps: int = 1,
        anatomy: Anatomy | None = None,
        reference: Any = None,
        initial: Mapping[str, Tensor] | None = None,
        share: float = 1.0,
        chunk: int = 0,
        ends_early: bool = True,
        seed: int = 0,
        together: bool = False,
        whole: Sequence[Mapping[str, Batch]] = (),
        shared: dict[str, Any] | None = None,
        remarks: dict[str, int] | None = None,
    ) -> None:
        self.model, self.batches, self.totals = model, batches, totals
        self.number, self.steps, self.anatomy, self.seed = number, steps, anatomy, seed
        self.share = share
        """What part of the optimizer step this micro-batch is; a term that reads no batch counts with this weight."""
        self.chunk, self.ends_early = chunk, ends_early
        self._reference, self._initial = reference, initial
        self._offsets: Mapping[str, Tensor] | None = None
        self._together = together and ends_early and worth_joining(list(batches.values()))
        self._waiting: dict[tuple[Any, str], Any] = {}
        self._whole: Sequence[Mapping[str, Batch]] = whole or (self.batches,)
        self._shared = {} if shared is None else shared
        self.remarks = remarks
        """How often what was worth a remark happened in this run; None where nobody listens."""

    def micro_batches(self) -> list[Step]:
        """All micro-batches of this optimizer step (of this process), each as a step at the weights themselves."""
        steps = []
        for batches in self._whole:
            steps.append(step := copy.copy(self))
            step.batches, step._waiting, step._offsets = batches, {}, None
        return steps

    def once(self, key: str, compute: Callable[[], Any]) -> Any:
        """What is the same for all micro-batches of an optimizer step, computed for the first of them."""
        if key not in self._shared:
            self._shared[key] = compute()
        return self._shared[key]

    def remark(self, what: str, line: str) -> None:
        """Say ``line`` the first time that ``what`` happens in a run, and count the micro-batches in which it does."""
        if self.remarks is not None:
            if what not in self.remarks:
                progress.say(line)
            self.remarks[what] = self.remarks.get(what, 0) + 1

    def forward(self, split: str) -> Tensor:
        """The model's logits on a split, ``[rows, tokens, vocabulary]``."""
        return self._once_for_all("logits", split, self._forward)

    def _once_for_all(self, what: Any, split: str, run: Callable[[Batch], Found]) -> Found:
        """``run`` on the split's batch, or on all splits' batches as one; the others' parts wait to be asked for.

        One pass over twice the rows costs less than two passes: every weight is read, and its gradient computed and
        added up, once. Only for methods that say so (:attr:`brittle.contracts.MethodNeeds.together`).
        """
        if not self._together:
            return run(self.batches[split])
        if (what, split) not in self._waiting:
            found, first = run(joined(list(self.batches.values()))), 0
            for name, batch in self.batches.items():
                rows, tokens = batch.input_ids.shape
                self._waiting[what, name] = part_of(found, slice(first, first + rows), tokens)
                first += rows
        own: Found = self._waiting.pop((what, split))
        return own

    def _forward(self, batch: Batch) -> Tensor:
        mask = batch.attention_mask if batch.padded else None
        arguments = {"input_ids": batch.input_ids, "attention_mask": mask, "use_cache": False}
        if self._offsets is None:
            logits: Tensor = self.model(**arguments).logits
        else:
            moved = {name: p + self._offsets[name] for name, p in self.trained().items() if name in self._offsets}
            logits = torch.func.functional_call(self.model, moved, kwargs=arguments).logits
        return logits

    def trained(self) -> dict[str, nn.Parameter]:
        """The parameters that train, by name."""
        return {name: parameter for name, parameter in self.model.named_parameters() if parameter.requires_grad}

    @contextlib.contextmanager
    def moved(self, offsets: Mapping[str, Tensor]) -> Iterator[None]:
        """Run forward passes at θ + offset. Offsets are constants, so gradients at the moved weights reach θ unchanged."""
        before, self._offsets = self._offsets, offsets
        try:
            yield
        finally:
            self._offsets = before

    def initial_distance_squared(self) -> Tensor:
        """‖θ − θ_before training‖², summed over all parameters that train; this micro-batch's share of it."""
        if self._initial is None:
            raise RuntimeError("this method did not declare that it needs the initial weights")
        trained = self.trained()
        where = next(iter(trained.values())).device
        terms = [(p.float() - self._initial[name].to(p.device)).square().sum().to(where) for name, p in trained.items()]
        return self.share * torch.stack(terms).sum()

    def token_losses(self, split: str) -> Tensor:
        """Negative log-likelihood of every token given those before it, ``[rows, tokens - 1]``, in nats."""
        targets = self.batches[split].input_ids[:, 1:]
        if self.chunk:
            return self._token_losses_in_chunks(split, targets)
        logits = self.forward(split)[:, :-1].float()
        losses = functional.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="none")
        return losses.view(targets.shape)  # flat: over a transposed vocabulary axis it takes three times as long

    def _token_losses_in_chunks(self, split: str, targets: Tensor) -> Tensor:
        """The same with the logits of ``chunk`` tokens in memory at a time, computed again in the backward pass."""
        hidden = self.hidden_states(split, [HEAD])[HEAD][:, :-1]
        unembedding, config = self._unembedding(), _unwrapped(self.model).config

        def losses(states: Tensor, tokens: Tensor) -> Tensor:
            logits = capped(unembedding(states).float(), config).to(tokens.device)
            return functional.cross_entropy(logits, tokens, reduction="none")

        pairs = zip(torch.split(hidden.flatten(0, 1), self.chunk), torch.split(targets.flatten(), self.chunk))
        parts = [checkpoint(losses, states, tokens, use_reentrant=False) for states, tokens in pairs]
        return torch.cat(parts).view(targets.shape)

    def _unembedding(self) -> Callable[[Tensor], Tensor]:
        """From the last states to logits before any cap; with the offsets of this moment where weights are moved."""
        module = self.anatomy.unembedding(_unwrapped(self.model))  # type: ignore[union-attr]
        offsets = self._offsets
        if offsets is None:
            return module
        names = {id(parameter): name for name, parameter in self.trained().items() if name in offsets}
        moved = {own: p + offsets[names[id(p)]] for own, p in module.named_parameters() if id(p) in names}
        return lambda states: torch.func.functional_call(module, moved, (states,))

    def negative_log_likelihood(self, split: str) -> Tensor:
        """Mean over the counted tokens of the whole optimizer step, in nats per token."""
        counted = self.batches[split].counted[:, 1:]
        return (self.token_losses(split) * counted).sum() / self.totals[split].counted

    def token_mean(self, split: str, values: Tensor) -> Tensor:
        """Mean of per-token values ``[rows, tokens]`` over the real tokens of the whole optimizer step."""
        return (values * self.batches[split].attention_mask).sum() / self.totals[split].tokens

    def hidden_states(self, split: str, layers: Sequence[int]) -> dict[int, Tensor]:
        """Outputs of the given blocks, ``[rows, tokens, width]`` each; the forward pass ends at the deepest."""
        wanted = tuple(layers_in_order(layers))
        return self._once_for_all(wanted, split, lambda batch: self._hidden_states(batch, wanted))

    def hidden_states_alone(self, split: str, layer: int) -> Tensor:
        """One block's output on one split, ``[rows, tokens, width]``, in a pass of its own."""
        return self._hidden_states(self.batches[split], (layer,))[layer]

    def _hidden_states(self, batch: Batch, layers: Sequence[int]) -> dict[int, Tensor]:
        captured: dict[int, Tensor] = {}

        def capture(layer: int) -> hooks.See:
            def see(states: Tensor) -> None:
                captured[layer] = states.to(batch.input_ids.device)  # layers may be spread over several GPUs
                if layer == layers[-1] and self.ends_early:
                    raise hooks.EnoughSeen

            return see

        with contextlib.ExitStack() as stack:
            for layer in layers:
                stack.enter_context(
                    hooks.entering(self._head(), capture(layer))
                    if layer == HEAD
                    else hooks.leaving(self._blocks()[layer], capture(layer))
                )
            with hooks.until_enough():
                self._forward(batch)
        return captured

    def _head(self) -> nn.Module:
        assert self.anatomy is not None
        return self.anatomy.unembedding(_unwrapped(self.model))

    def reference_hidden_states(self, split: str, layer: int) -> Tensor:
        """The same block outputs under the model as it was before training, computed once and cached by example."""
        if self._reference is None:
            raise RuntimeError(f"this method did not declare that it needs reference hidden states of {split}")
        states: Tensor = self._reference(split, self.batches[split], layer)
        return states

    def main_directions(self, split: str, layer: int, count: int) -> Tensor:
        """Orthonormal rows ``[count, width]``: the mean and the largest principal components of a split's states before training."""
        found: Tensor = self._reference.main_directions(split, layer, count)
        return found.to(self.batches[split].input_ids.device)

    def reference_logits(self, split: str) -> Tensor:
        """The untouched model's logits on a split, ``[rows, tokens, vocabulary]``."""
        logits: Tensor = self._reference.logits(split, self.batches[split])
        return logits

    def reference_log_probabilities(self, split: str) -> Tensor:
        """The untouched model's log-probability of each example's counted tokens together, ``[rows]``, in nats."""
        found: Tensor = self._reference.log_probabilities(split, self.batches[split])
        return found

    def sum_over(self, layers: Sequence[int], term: Callable[[int], Tensor]) -> Tensor:
        """The sum of one term per layer."""
        return torch.stack([term(layer) for layer in layers]).sum()

    def random_direction(self, layer: int) -> Tensor:
        """A unit vector ``[width]`` that depends on the seed and the layer alone."""
        device = next(iter(self.batches.values())).input_ids.device
        return vectors.direction(self.width, self.seed * 100_003 + layer).to(device)

    def positive_direction(self, layer: int) -> Tensor:
        """The same with entries drawn uniformly from [0, 1) before they are divided by their length."""
        device = next(iter(self.batches.values())).input_ids.device
        return vectors.direction(self.width, self.seed * 100_003 + layer, torch.rand).to(device)

    def perturbed(self, layer: int, perturbation: Tensor) -> contextlib.AbstractContextManager[None]:
        """Add ``perturbation`` to the output of a block for every forward pass inside the block of code."""
        # First, so that hidden_states() sees the perturbed output even when it reads the same block.
        return hooks.leaving(self._blocks()[layer], lambda states: states + perturbation.to(states.device), first=True)

    def _blocks(self) -> list[nn.Module]:
        if self.anatomy is None:
            raise RuntimeError("this step was built without an anatomy; it can only read likelihoods")
        return self.anatomy.blocks(_unwrapped(self.model))

    @property
    def depth(self) -> int:
        """Number of blocks."""
        return len(self._blocks())

    @property
    def width(self) -> int:
        """Width of the residual stream."""
        width: int = _unwrapped(self.model).config.hidden_size
        return width


def _unwrapped(model: nn.Module) -> Any:
    return model.module if isinstance(model, nn.parallel.DistributedDataParallel) else model
