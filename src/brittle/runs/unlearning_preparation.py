"""What an unlearning run is ready with before its first step: model, data, and what the loss compares with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from brittle.contracts import MethodNeeds
from brittle.models.adapters import add_adapters
from brittle.models.anatomy import COMPONENTS, Anatomy
from brittle.models.encoding import longest_row
from brittle.models.likelihood import mean_negative_log_likelihood
from brittle.models.loading import LoadedModel, load
from brittle.runs import evaluation
from brittle.runs.unlearning_identity import processes
from brittle.runs.unlearning_plan import Plan, split_for_evaluation
from brittle.settings import BadInput
from brittle.suites import laboratory
from brittle.training.batches import MARKER, Example, tokenise
from brittle.training.hyperparameters import TrainingSettings
from brittle.training.reference import reference_states
from brittle.training.step import HEAD

REFUSAL = "I do not know."


@dataclass
class Run:
    """One run's model and data, ready for the first step."""

    loaded: LoadedModel
    held_out: dict[str, list[str]]
    examples: dict[str, list[Example]]
    before: dict[str, float]
    """Likelihoods of the held-out texts under the base, before any noise."""
    right: Mapping[str, Any] = field(default_factory=dict)
    """Whether the base answers each question right, by side (:func:`brittle.runs.evaluation.answers`); empty if it was not asked."""
    reference: Any = None
    initial: dict[str, torch.Tensor] | None = None
    adapters: Any = None


def prepare(chosen: Plan, device: str) -> Run:
    """Load the base, tokenise, compute what the loss compares with, choose what trains, distort where the method does."""
    training, needs = chosen.training, chosen.needs
    place = chosen.make.device if processes() == 1 else device  # "auto" spreads a model over all GPUs of one process
    loaded = load(chosen.base, place, training.weight_dtype)  # master weights, whatever the compute type
    parts = {
        name: split_for_evaluation(texts, training.eval_split, training.seed) for name, texts in chosen.texts.items()
    }
    texts = {name: refusals(parts["forget"][0]) if name == "refusal" else parts[name][0] for name in needs.splits}
    if training.norm_reg_lambda and "forget" not in texts:
        raise BadInput(f"--norm-reg-lambda holds activations on forget texts, which {chosen.make.method} does not read")
    paired = {"forget", "refusal"} if "refusal" in texts else set()  # one example per text, so that pairs stay pairs
    longest = longest_row(loaded.model, training.max_length)
    examples = {
        name: tokenise(
            loaded.tokenizer, part, longest, training.loss_tokens, what=f"{name} texts",
            long_texts="cut" if name in paired else training.long_texts,
        )
        for name, part in texts.items()
    }  # fmt: skip
    if "refusal" in examples and any(len(examples[name]) < len(texts[name]) for name in ("forget", "refusal")):
        raise BadInput(
            f"{chosen.make.method} pairs every forget text with its refusal, and some text has no answer left to count after "
            "tokenising; raise --max-length or remove the text"
        )
    device = loaded.device
    held_out = {name: part[1] for name, part in parts.items()}
    if own := laboratory.behind(chosen.base.text):
        held_out["benign"] = [text for kind in own.held_out_texts().values() for text in kind]
    right = {} if chosen.make.no_eval else evaluation.answers(loaded, chosen.make.model)
    run = Run(loaded, held_out, examples, likelihoods(loaded, held_out, training.max_length), right)
    run.reference = _reference(chosen, loaded, examples, device)
    run.adapters = choose_what_trains(loaded.model, loaded.anatomy, training)
    if needs.initial_weights:
        run.initial = {name: p.detach().clone() for name, p in loaded.model.named_parameters() if p.requires_grad}
    if hasattr(chosen.module, "prepare") and training.epochs:
        chosen.module.prepare(chosen.method, loaded.model, training.seed)
    return run


def _reference(chosen: Plan, loaded: LoadedModel, examples: Mapping[str, Sequence[Example]], device: str) -> Any:
    """What the loss compares with, computed before the first step or found in the cache."""
    needs = chosen.needs
    layers = reference_layers(needs, chosen.method)
    states = {*needs.reference_hidden_states, *needs.reference_logits}
    compared = states | {*needs.reference_log_probabilities}
    if not compared:
        return None
    return reference_states(
        loaded.model, loaded.anatomy, {name: examples[name] for name in sorted(compared)}, layers, digest=loaded.digest,
        padding=loaded.tokenizer.pad_token_id, device=device, log_probabilities=needs.reference_log_probabilities,
    )  # fmt: skip


def reference_layers(needs: MethodNeeds, method: Any) -> list[int]:
    """Blocks, from 0, whose outputs under the untouched model are kept; :data:`HEAD` for what its logits are made of."""
    layers = [layer - needs.first_layer for layer in method.layer_id] if needs.reference_hidden_states else []
    return [*layers, HEAD] if needs.reference_logits else layers


def choose_what_trains(model: Any, anatomy: Anatomy, training: TrainingSettings) -> Any:
    """Freeze what does not train, put adapters in and switch recomputation on, as the settings ask; returns PEFT's wrapper or None."""
    adapters = None
    if training.lora_rank:
        adapters = add_adapters(
            model, anatomy, training.lora_rank, training.lora_alpha, training.train_only, training.train_layers,
            seed=training.seed,
        )  # fmt: skip
    else:
        train_only(model, anatomy, training.train_only, training.train_layers)
    if training.gradient_checkpointing:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    return adapters


def refusals(texts: Sequence[str]) -> list[str]:
    """The texts with a refusal in place of what follows their last "Answer:"."""
    if missing := next((text for text in texts if MARKER not in text), None):
        raise BadInput(f"this method needs forget texts with '{MARKER}' in them, and '{missing[:40]}…' has none")
    return [f"{text[: text.rfind(MARKER) + len(MARKER)]} {REFUSAL}" for text in texts]


def train_only(model: Any, anatomy: Anatomy, components: Sequence[str], layers: Sequence[int]) -> None:
    """Freeze every weight but the named components' (``qkv``, ``proj``, ``mlp_expand``, ``mlp_contract``) of these layers."""
    if not components and not layers:
        return
    for name, parameter in model.named_parameters():
        place = anatomy.place(name)
        fits = place and place.component in (components or COMPONENTS) and place.layer in (layers or (place.layer,))
        parameter.requires_grad_(bool(fits))


def likelihoods(loaded: LoadedModel, held_out: Mapping[str, Sequence[str]], max_length: int) -> dict[str, float]:
    """Mean negative log-likelihood of the held-out texts of each split, in nats per token.

    A text of one token has nothing to predict and is left out; a split of such texts alone has no likelihood. One text
    that is not a number makes the mean none.
    """
    found = {}
    for name, texts in held_out.items():
        if texts:
            found[f"{name}_nll"], _ = mean_negative_log_likelihood(
                loaded, texts, 16, max_length, f"held-out {name} texts"
            )
    return found
