"""A method at work on a tiny model: what the common tests of methods examine."""

from __future__ import annotations

import dataclasses
import inspect
from typing import Any

import torch
from tiny_loaded import tiny_loaded
from tiny_models import TEXTS, tiny_tokenizer
from torch.nn import functional

from brittle import discovery
from brittle.settings import with_overrides
from brittle.training.batches import Batch, collate, tokenise
from brittle.training.loop import totals_of
from brittle.training.reference import reference_states
from brittle.training.step import HEAD, Step

METHODS = {name: plugin.load() for name, plugin in discovery.plugins("methods").items()}
NAMES = sorted(METHODS)
SCHEDULED = {name for name in NAMES if "step.number" in inspect.getsource(METHODS[name])}
"""What the loss is depends on the number of the step."""
DEPTH, LAYERS = 3, (0, 1)
STEPS, MIDDLE = 8, 3
TEXTS_OF = {
    "forget": [TEXTS[0], "A fox.", TEXTS[1], "which amber resin"],
    "refusal": ["The quick brown fox. I do", "A fox. I do", "Question: which? I do", "which amber I do"],
    "retain": ["The river runs to the sea.", TEXTS[2], "it may only hide it", "the dog"],
}
EXAMPLES = {split: tokenise(tiny_tokenizer(), texts, 24) for split, texts in TEXTS_OF.items()}


def fixed_perturbation(
    step: Step, layer: int, radius: float, steps: int, split: str = "forget", **_: Any
) -> torch.Tensor:
    """An adversary whose answer depends on the example alone, so that a loss is a smooth function of the weights."""
    batch = step.batches[split]
    perturbation = torch.zeros(*batch.input_ids.shape, step.width)
    for row, example in enumerate(batch.examples):
        generator = torch.Generator().manual_seed(example)
        perturbation[row] = torch.rand(perturbation.shape[1:], generator=generator)
    return radius * perturbation


def settings_of(method):
    """The method's defaults, at layers that the tiny model has: the blocks ``LAYERS``, as the method counts them."""
    return with_overrides(method.Settings, {"layer_id": tuple(layer + method.NEEDS.first_layer for layer in LAYERS)})


@dataclasses.dataclass
class Trial:
    """A method at work on a tiny model that has already moved a little from where it started."""

    method: Any
    loaded: Any
    reference: Any
    initial: Any
    number: int = MIDDLE

    def batches(self, positions, padding: int = 0) -> dict[str, Batch]:
        """The declared splits' examples, with that many columns of padding more than they need."""
        return {split: padded(collate(EXAMPLES[split], positions, 0), padding) for split in self.method.NEEDS.splits}

    def terms(
        self, positions=(0, 1, 2, 3), of=None, padding: int = 0, chunk: int = 0, together: bool | None = None
    ) -> dict[str, torch.Tensor]:  # fmt: skip
        """The loss terms of one micro-batch of the optimizer step that holds the micro-batches ``of``."""
        together = self.method.NEEDS.together if together is None else together
        parts = of or [positions]
        totals = totals_of([self.batches(part) for part in parts])
        step = Step(
            self.loaded.model, self.batches(positions, padding), totals,
            anatomy=self.loaded.anatomy, reference=self.reference, seed=7, chunk=chunk,
            initial=self.initial, share=1 / len(parts), number=self.number, steps=STEPS, together=together,
        )  # fmt: skip
        return self.method.loss(settings_of(self.method), step)

    def gradient(self, parts) -> dict[str, torch.Tensor]:
        """The gradient of a whole optimizer step of these micro-batches by parameter, added up as the loop does."""
        totals = totals_of([self.batches(part) for part in parts])
        whole, shared = [self.batches(part) for part in parts], dict[str, Any]()
        parameters = dict(self.loaded.model.named_parameters())
        summed = {name: torch.zeros_like(p) for name, p in parameters.items()}
        for batches in whole:
            step = Step(
                self.loaded.model, batches, totals, anatomy=self.loaded.anatomy, reference=self.reference, seed=7,
                initial=self.initial, share=1 / len(parts), number=self.number, steps=STEPS, whole=whole, shared=shared,
                together=self.method.NEEDS.together,
            )  # fmt: skip
            loss = torch.stack(list(self.method.loss(settings_of(self.method), step).values())).sum()
            found = torch.autograd.grad(loss, list(parameters.values()), allow_unused=True)
            for name, part in zip(summed, found):
                summed[name] += 0 if part is None else part
        return summed

    def loss(self) -> torch.Tensor:
        """The sum of all terms on all four texts."""
        return torch.stack(list(self.terms().values())).sum()


def padded(batch: Batch, columns: int) -> Batch:
    """The batch with columns of padding behind it."""
    wider = [functional.pad(part, (0, columns)) for part in (batch.input_ids, batch.attention_mask, batch.counted)]
    return Batch(*wider, batch.examples)


def trial_of(name: str, architecture: str = "gpt_neox", moved: bool = True) -> Trial:
    """What a workflow does before the first step; then every weight is moved, so that no term sits at its minimum."""
    method, loaded = METHODS[name], tiny_loaded(architecture, num_hidden_layers=DEPTH)
    needs = method.NEEDS
    states = {*needs.reference_hidden_states, *needs.reference_logits}
    examples = {split: EXAMPLES[split] for split in sorted(states | {*needs.reference_log_probabilities})}
    layers = [*(LAYERS if needs.reference_hidden_states else ()), *([HEAD] if needs.reference_logits else ())]
    reference = reference_states(
        loaded.model, loaded.anatomy, examples, layers, digest=architecture, padding=0, device="cpu",
        log_probabilities=needs.reference_log_probabilities,
    ) if examples else None  # fmt: skip
    initial = {key: p.detach().clone() for key, p in loaded.model.named_parameters()} if needs.initial_weights else None
    if hasattr(method, "prepare"):
        method.prepare(settings_of(method), loaded.model, 7)
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in loaded.model.parameters() if moved else ():
            parameter += 0.02 * torch.randn(parameter.shape, generator=generator)
    return Trial(method, loaded, reference, initial)
