"""The sensitivity pass: how far a model's output moves when the embeddings of a text are nudged.

One text at a time: its noisy copies are the batch. They have one length, so nothing is padded, every token is real and
a text's numbers do not depend on the texts beside it. The noise is decided by seed, number of the copy and the text's
tokens: the same for both models, in whatever order texts come.

Weights are turned into float32 for the length of the pass, one model at a time, and back afterwards without loss.
bfloat16 would measure its own rounding: on the laboratory's base the Lipschitz estimate is 1 % off at the documented
noise of 0.01, 10 % too high at 0.003 and 75 % at 0.001.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import nn

from brittle import progress
from brittle.models.encoding import encode_beginnings, longest_row
from brittle.models.loading import LoadedModel
from brittle.models.perturbation import Plan, Responses, digest_of, respond
from brittle.settings import BadInput


@dataclass(frozen=True)
class SensitivityObservation:
    """How both models respond to one text and the same noise."""

    split: str
    text_index: int
    digest: str
    """Of the tokens: tells texts apart whatever their order."""
    model_a: str
    """Name of model A."""
    model_b: str | None
    """Name of model B; None if only one model is observed."""
    a: Responses
    b: Responses | None


class SensitivityFitter(Protocol):
    """Whatever takes in observations one by one."""

    def update(self, observation: SensitivityObservation) -> Any:
        """Take in one text."""


def observe_sensitivity(
    model_a: LoadedModel,
    model_b: LoadedModel | None,
    texts: Mapping[str, Sequence[str]],
    fitters: Sequence[SensitivityFitter],
    settings: Any,
    known: MutableMapping[tuple[Any, ...], Responses] | None = None,
) -> None:
    """Show every fitter how both models respond to every text of the plan.

    ``settings`` is the diagnostic's, or anything else that has the names of :class:`Plan`. A model's responses do not
    depend on the other model: ``known`` keeps them by content, so that a base in several comparisons runs once.
    Texts are tokenised by model A's tokenizer (:mod:`brittle.models.encoding`) and cut to ``max_length`` tokens or what
    both models read; one without a token is left out.
    Memory: one model in float32 and the logits of ``batch_size`` copies of a text.

    BadInput if a split has no text, or if the noise is too small beside the embeddings to be seen.
    """
    plan, known = Plan.of(settings), {} if known is None else known
    models = [model_a] if model_b is None else [model_a, model_b]
    longest = min(longest_row(each.model, plan.max_length) for each in models)
    rows = {split: _rows(model_a.tokenizer, split, texts[split][: plan.texts], longest) for split in texts}
    found = [_respond_to_all(model, rows, plan, known) for model in models]
    names = model_a.name, model_b.name if model_b else None
    for split, index in found[0]:
        a, b = found[0][split, index], found[-1][split, index] if model_b else None
        observation = SensitivityObservation(split, index, digest_of(rows[split][index]), *names, a, b)
        for fitter in fitters:
            fitter.update(observation)


@contextlib.contextmanager
def in_float32(model: nn.Module) -> Iterator[None]:
    """Inside, the half-precision parameters and buffers of a model are float32 and no parameter asks for a gradient.

    Afterwards everything is as it was, bit for bit: float32 holds every half-precision number.
    """
    halves = [
        (tensor, tensor.dtype)
        for tensor in (*model.parameters(), *model.buffers())
        if tensor.dtype in (torch.bfloat16, torch.float16)
    ]
    if any(tensor.is_meta for tensor, _ in halves):
        raise BadInput("this model does not fit the GPUs in half precision, and noise needs float32; use --device cpu")
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    try:
        for tensor, _ in halves:
            tensor.data = tensor.data.float()
        for parameter in trained:
            parameter.requires_grad_(False)
        yield
    finally:
        for parameter in trained:
            parameter.requires_grad_(True)
        for tensor, number_type in halves:
            tensor.data = tensor.data.to(number_type)


def _respond_to_all(
    loaded: LoadedModel,
    rows: Mapping[str, Mapping[int, Sequence[int]]],
    plan: Plan,
    known: MutableMapping[tuple[Any, ...], Responses],
) -> dict[tuple[str, int], Responses]:
    """The model's responses by split and text; those that are not known yet are computed and kept."""
    keys = {
        (split, index): (loaded.digest, plan, index, digest_of(tokens))
        for split, found in rows.items()
        for index, tokens in found.items()
    }
    missing = [place for place, key in keys.items() if key not in known]
    with in_float32(loaded.model) if missing else contextlib.nullcontext():
        for split, index in progress.over(missing, f"noise on {loaded.name}", "text"):
            known[keys[split, index]] = respond(loaded, rows[split][index], index, plan)
    return {place: known[key] for place, key in keys.items()}


def _rows(tokenizer: Any, split: str, texts: Sequence[str], longest: int) -> dict[int, list[int]]:
    """Token ids by index of the text."""
    rows = encode_beginnings(tokenizer, texts, longest, f"{split} texts")
    found = {index: row for index, row in enumerate(rows) if row}
    if not found:
        raise BadInput(f"there is no {split} text to observe; give a file with at least one line of text")
    return found
