"""Carry out one unlearning run: load, cache what the loss compares with, train, ask what is left, save."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy
import torch
from safetensors import safe_open
from tqdm import tqdm

from brittle.models.anatomy import COMPONENTS, Anatomy
from brittle.models.construction import save
from brittle.models.devices import resolve_device, resolve_dtype
from brittle.models.likelihood import negative_log_likelihood
from brittle.models.loading import LoadedModel, load
from brittle.records import Draft
from brittle.settings import BadInput
from brittle.training.batches import MARKER, Example, Sampler, Supply, tokenise
from brittle.training.loop import LoopSettings, train
from brittle.training.reference import reference_states
from brittle.training.step import HEAD
from brittle.workflows import knowledge
from brittle.workflows.make import Plan, optimizer_steps, split_for_evaluation

REFUSAL = "I do not know."
PRECISION = {torch.float32: "no", torch.float16: "fp16", torch.bfloat16: "bf16"}


def unlearn(chosen: Plan, draft: Draft, tick: Callable[[int], None] | None = None) -> None:
    """Train as planned and fill the record's draft. ``tick`` reports optimizer steps; without it a bar is shown."""
    training, needs = chosen.training, chosen.needs
    device = resolve_device(chosen.make.device)
    loaded = load(chosen.base, device, "fp32")  # master weights, whatever the compute type
    precision = PRECISION[resolve_dtype(chosen.make.dtype, device)]
    padding = loaded.tokenizer.pad_token_id
    parts = {
        name: split_for_evaluation(texts, training.eval_split, training.seed) for name, texts in chosen.texts.items()
    }
    held_out = {name: part[1] for name, part in parts.items()}
    texts = {name: refusals(parts["forget"][0]) if name == "refusal" else parts[name][0] for name in needs.splits}
    examples = {
        name: tokenise(loaded.tokenizer, part, training.max_length, training.loss_tokens)
        for name, part in texts.items()
    }
    before = likelihoods(loaded, held_out, training.max_length)
    reference = _reference(chosen, loaded, examples, device)
    steps = optimizer_steps(training, len(examples.get("forget", ())), len(examples.get("retain", ())))
    samplers = [
        Sampler("forget" if name == "refusal" else name, part, training.batch_size, padding, training.seed, split=name)
        for name, part in sorted(examples.items())
    ]
    train_only(loaded.model, loaded.anatomy, training.train_only, training.train_layers)
    initial = None
    if needs.initial_weights:
        initial = {name: p.detach().clone() for name, p in loaded.model.named_parameters() if p.requires_grad}
    if hasattr(chosen.module, "prepare") and steps:
        chosen.module.prepare(chosen.method, loaded.model, training.seed)
    trajectory: list[dict[str, Any]] = []
    with tqdm(total=steps, desc=f"unlearning ({chosen.make.method})", unit="step", disable=tick is not None) as bar:
        report = tick or bar.update

        def listen(number: int, model: Any, terms: dict[str, float]) -> None:
            report(1)
            row: dict[str, Any] = {"step": number, **{f"loss_{name}": value for name, value in terms.items()}}
            if training.eval_interval and number % training.eval_interval == 0:
                model.eval()
                row |= likelihoods(loaded, held_out, training.max_length)
                model.train()
            trajectory.append(row)

        loop = LoopSettings(
            steps, training.lr, weight_decay=training.weight_decay, grad_clip=training.grad_clip,
            mixed_precision=precision, seed=training.seed,
        )  # fmt: skip
        train(
            loaded.model, Supply(samplers, training.grad_accum_steps),
            lambda step: chosen.module.loss(chosen.method, step), loop,
            device=device, listeners=[listen], anatomy=loaded.anatomy, reference=reference, initial=initial,
        )  # fmt: skip
    if hasattr(chosen.module, "finish") and steps:
        chosen.module.finish(chosen.method, loaded.model, initial)
    summary: dict[str, Any] = {"model": chosen.folder.name, "method": chosen.make.method, "steps": steps}
    summary |= {f"{key}_before": value for key, value in before.items()}
    summary |= likelihoods(loaded, held_out, training.max_length)
    if not chosen.make.no_eval:
        summary |= knowledge.accuracies(loaded, chosen.make.model)
    draft.summary(summary)
    if trajectory:
        draft.table("training", trajectory)
    draft.note(unmoved_share=unmoved_share(loaded.model, chosen.base.folder), device=device, compute=precision)
    save(loaded.model.cpu(), loaded.tokenizer, draft.folder)


def _reference(chosen: Plan, loaded: LoadedModel, examples: Mapping[str, Sequence[Example]], device: str) -> Any:
    """What the loss compares with, computed before the first step or found in the cache."""
    needs = chosen.needs
    layers = list(chosen.method.layer_id) if needs.reference_hidden_states else []
    layers += [HEAD] if needs.reference_logits else []
    states = {*needs.reference_hidden_states, *needs.reference_logits}
    compared = states | {*needs.reference_log_probabilities}
    if not compared:
        return None
    return reference_states(
        loaded.model, loaded.anatomy, {name: examples[name] for name in sorted(compared)}, layers, digest=loaded.digest,
        padding=loaded.tokenizer.pad_token_id, device=device, log_probabilities=needs.reference_log_probabilities,
    )  # fmt: skip


def refusals(texts: Sequence[str]) -> list[str]:
    """The texts with a refusal in place of what follows their last "Answer:"."""
    if missing := next((text for text in texts if MARKER not in text), None):
        raise BadInput(f"this method needs forget texts with '{MARKER}' in them, and '{missing[:40]}…' has none")
    return [f"{text[: text.rfind(MARKER) + len(MARKER)]} {REFUSAL}" for text in texts]


def train_only(model: Any, anatomy: Anatomy, components: Sequence[str], layers: Sequence[int]) -> None:
    """Freeze every weight but the named components' (``qkv``, ``proj``, ``mlp_expand``, ``mlp_contract``) of these layers."""
    if unknown := [name for name in components if name not in COMPONENTS]:
        raise BadInput(f"--train-only: '{unknown[0]}' is not one of {', '.join(COMPONENTS)}")
    if not components and not layers:
        return
    trains = 0
    for name, parameter in model.named_parameters():
        place = anatomy.place(name)
        fits = place and place.component in (components or COMPONENTS) and place.layer in (layers or (place.layer,))
        parameter.requires_grad_(bool(fits))
        trains += bool(fits)
    if not trains:
        raise BadInput(f"--train-layers: none of {list(layers)} is a layer of this model, so nothing would train")


def likelihoods(loaded: LoadedModel, held_out: dict[str, list[str]], max_length: int) -> dict[str, float]:
    """Mean negative log-likelihood of the held-out texts of each split, in nats per token."""
    found = {}
    for name, texts in held_out.items():
        if texts:
            values = negative_log_likelihood(loaded, texts, 16, max_length)
            found[f"{name}_nll"] = float(numpy.nanmean(values))
    return found


@torch.no_grad()
def unmoved_share(model: Any, base: Path) -> float:
    """The share of weights that training left exactly as they are in the base's files (0 to 1)."""
    names = {_key(name): parameter for name, parameter in model.named_parameters()}
    same = total = 0
    for path in sorted(base.glob("*.safetensors")):
        with safe_open(path, framework="pt") as file:
            for name in file.keys():  # noqa: SIM118 (not a dictionary)
                if _key(name) in names:
                    parameter = names[_key(name)]
                    tensor = file.get_tensor(name).to(parameter.device, parameter.dtype)
                    same += int((tensor == parameter).sum())
                    total += tensor.numel()
    return same / total if total else float("nan")


def _key(name: str) -> str:
    """A parameter's name without what differs between the file and the model in memory: the prefix and the head's name."""
    name = name.replace("embed_out.", "lm_head.")
    return name.split(".", 1)[1] if name.partition(".")[0] in ("gpt_neox", "model", "transformer") else name
