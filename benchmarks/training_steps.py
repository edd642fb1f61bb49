"""Steps of unlearning: ours against the same loss taken the plain way, and against OpenUnlearning's way.

Both sides go through the project's loop with the same batches, optimizer and clipping; what differs is how the loss
comes about. Ours takes forget and retain texts through the model in one pass where the method allows it; all other
sides take one pass per split. Three plain ways:

- *whole forward pass*: the whole model runs, all hidden states and the logits are kept; autograd goes back from the
  blocks that the loss reads. The reference states are cached on both sides.
- *whole forward and backward pass*: the logits also enter the loss, with weight zero, so that every weight gets a
  gradient. Replicas of a model that must all see the same gradients are run so.
- *reference model in memory*: the untouched model is a second model and runs in every step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import open_unlearning
import torch
from measuring import Benchmark, Builder, Pair, Way, rows
from open_unlearning import frozen_copy
from training_in_turns import LAYERS, THIRTY_TWO, TWELVE, Shape, model_of, reference_of, training

from brittle.discovery import plugins
from brittle.training.batches import Batch
from brittle.training.step import LossTerms, Step

Shapes = Mapping[str, Shape]
EQUAL = 0.95
"""The goal where both sides do the same work or hold the same tensors at their peak: not worse, within noise."""


def ours(method: str, shapes: Shapes, **settings: Any) -> Builder:
    """The method as ``unlearn.py`` runs it."""

    def build(size: str) -> Way:
        module, model = plugins("methods")[method].load(), model_of(shapes[size])
        chosen = module.Settings(**settings)
        reference = reference_of(model, shapes[size], module.NEEDS, settings.get("layer_id", ()))
        return training(
            model, shapes[size], lambda step: module.loss(chosen, step), reference, together=module.NEEDS.together
        )

    return build


class WholeModel(Step):
    """A step whose forward passes run to the end and keep all hidden states."""

    backward = False
    """Whether the logits enter the loss, with weight zero."""

    def hidden_states(self, split: str, layers: Sequence[int]) -> dict[int, torch.Tensor]:
        """The chosen blocks' outputs out of all."""
        found = self.model(input_ids=self.batches[split].input_ids, use_cache=False, output_hidden_states=True)
        states = {layer: found.hidden_states[layer + 1] for layer in layers}
        if self.backward:
            states[max(layers)] = states[max(layers)] + 0.0 * found.logits.sum()
        return states


class WholeModelBackward(WholeModel):
    """The same, with a gradient for every weight."""

    backward = True


def whole(step_type: type[WholeModel], method: str, shapes: Shapes, **settings: Any) -> Builder:
    """The method's loss on passes through the whole model; the same cached reference states."""

    def build(size: str) -> Way:
        module, model = plugins("methods")[method].load(), model_of(shapes[size])
        chosen = module.Settings(**settings)
        reference = reference_of(model, shapes[size], module.NEEDS, settings["layer_id"])

        def loss(step: Step) -> LossTerms:
            plain = step_type(
                model, step.batches, step.totals, anatomy=step.anatomy, reference=reference, seed=step.seed
            )
            return module.loss(chosen, plain)

        return training(model, shapes[size], loss)

    return build


class ReferenceInMemory:
    """Stands for the cache: a copy of the model, run whenever it is asked."""

    def __init__(self, model: Any) -> None:
        self.model = frozen_copy(model)

    @torch.no_grad()
    def log_probabilities(self, split: str, batch: Batch) -> torch.Tensor:
        """Log-probability of each text's counted tokens together, ``[rows]`` in nats."""
        losses = Step(self.model, {split: batch}, {}).token_losses(split)
        return -(losses * batch.counted[:, 1:]).sum(1)


def reference_in_memory(method: str, shapes: Shapes, **settings: Any) -> Builder:
    """The method's loss with a second model in place of the cache."""

    def build(size: str) -> Way:
        module, model = plugins("methods")[method].load(), model_of(shapes[size])
        chosen = module.Settings(**settings)
        return training(model, shapes[size], lambda step: module.loss(chosen, step), ReferenceInMemory(model))

    return build


def theirs(loss: Callable[[Any], Callable[[Step], LossTerms]]) -> Builder:
    """One of OpenUnlearning's steps; ``loss`` is given the model before training."""

    def build(size: str) -> Way:
        model = model_of(TWELVE[size])
        return training(model, TWELVE[size], loss(model))

    return build


def _layer_methods() -> Iterator[Benchmark]:
    for depth, shapes in ((12, TWELVE), (32, THIRTY_TWO)):
        for method in ("rmu", "cb"):
            settings = {"layer_id": LAYERS}
            here = ours(method, shapes, **settings)
            name = f"{method}, layers 5 6 7 of {depth}, against a whole forward"
            pair = Pair(f"{name} and backward pass", here, whole(WholeModelBackward, method, shapes, **settings))
            memory = {"peak_memory": 1.0} if method == "rmu" else {}  # the same passes, the same memory
            yield from rows(pair, seconds=2.0, **memory)
            yield from rows(Pair(f"{name} pass", here, whole(WholeModel, method, shapes, **settings)), seconds=2.0)


def _preference_methods() -> Iterator[Benchmark]:
    for depth, shapes in ((12, TWELVE), (32, THIRTY_TWO)):
        for method in ("npo", "dpo"):
            name = f"{method}, {depth} layers, against a reference model in memory"
            pair = Pair(name, ours(method, shapes), reference_in_memory(method, shapes))
            memory = {"tensor_memory": 2.0, "peak_memory": EQUAL} if depth == 12 else {}
            yield from rows(pair, seconds=1.4, **memory)


def _against_open_unlearning() -> Iterator[Benchmark]:
    rmu = {"layer_id": (7,), "steering_coeff": 2.0, "alpha": 1.0}
    ways: dict[str, tuple[float, Builder, Builder]] = {
        "rmu, layer 7 of 12": (
            1.0,
            ours("rmu", TWELVE, **rmu),
            theirs(lambda model: open_unlearning.rmu(frozen_copy(model), 7, 2.0, 1.0)),
        ),
        "npo": (1.0, ours("npo", TWELVE), theirs(lambda model: open_unlearning.npo(frozen_copy(model), 0.1))),
        "grad_diff": (EQUAL, ours("grad_diff", TWELVE), theirs(lambda _model: open_unlearning.grad_diff)),
    }
    for name, (goal, here, there) in ways.items():
        yield from rows(Pair(f"{name}, against OpenUnlearning's step", here, there), seconds=goal, peak_memory=EQUAL)


BENCHMARKS = [*_layer_methods(), *_preference_methods(), *_against_open_unlearning()]
"""Goals of time: 2 where the loss reads blocks, 1.4 for a cached reference; half the memory for models. Elsewhere 1."""
