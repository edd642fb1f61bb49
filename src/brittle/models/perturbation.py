"""One text and its noisy copies: what a model's output, and its gradient, do around the embeddings of a text."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor, nn

from brittle.models.hidden_states import NonFinite, refuse
from brittle.models.loading import LoadedModel
from brittle.models.weight_files import is_finite
from brittle.settings import BadInput

FAINTEST = 1e-5
"""Noise smaller than this beside the embedding drowns in float32 rounding: outputs are known to about 1e-6."""
POSITIONS_AT_ONCE = 128
"""Token positions whose distributions are held in float64 at a time."""


@dataclass(frozen=True)
class Plan:
    """What is measured on which texts; texts count from the start of a split."""

    epsilon: float
    """Standard deviation of the noise on every entry of the embeddings, in their unit."""
    seeds: tuple[int, ...]
    max_samples: int
    lipschitz_texts: int
    lipschitz_perturbations: int
    """Noisy copies of each of the first ``lipschitz_texts`` texts, for every seed."""
    variance_texts: int
    num_perturbations: int
    """Noisy copies of each of the first ``variance_texts`` texts, of which the first are the ones above."""
    gradient_texts: int
    batch_size: int
    """Noisy copies per forward pass."""
    max_length: int

    @classmethod
    def of(cls, settings: Any) -> Plan:
        """The plan in a diagnostic's settings, by their names."""
        return cls(**{field.name: getattr(settings, field.name) for field in fields(cls)})

    def perturbations(self, index: int) -> int:
        """How many noisy copies of a text are needed."""
        wanted = self.lipschitz_perturbations if index < self.lipschitz_texts else 0
        return max(wanted, self.num_perturbations) if index < self.variance_texts else wanted

    @property
    def texts(self) -> int:
        """How many texts of a split are read at most."""
        return min(self.max_samples, max(self.lipschitz_texts, self.variance_texts, self.gradient_texts))


@dataclass(frozen=True)
class Responses:
    """What one model did with one text and its noisy copies; tensors are float64 ``[seeds, copies]`` on the CPU."""

    noise: Tensor
    """‖δ‖_F over the text's tokens."""
    hidden_change: Tensor
    """‖Δh‖_F of the last hidden state, after the final norm: what the unembedding reads."""
    logit_change: Tensor
    """‖Δlogits‖_F over tokens and vocabulary."""
    divergence: Tensor
    """Mean over tokens of KL(clean ‖ noisy) between next-token distributions, in nats."""
    variance: Tensor
    """``[seeds]``: variance of a logit over the noisy copies (divided by their number less one), mean over all logits;
    NaN beyond ``variance_texts``."""
    embedding: float
    """‖e‖_F of the clean embeddings."""
    gradient: float
    """‖∇_e mean(logits)‖_F; NaN beyond ``gradient_texts``."""
    likelihood_gradient: float
    """‖∇_e NLL‖_F, NLL in nats per predicted token; NaN also for a text of one token, which predicts none."""


def respond(loaded: LoadedModel, tokens: Sequence[int], index: int, plan: Plan) -> Responses:
    """One model's responses to a text; ``index`` says which parts of the plan it falls under. In float32 weights."""
    input_ids = torch.tensor([list(tokens)], device=loaded.device)
    with torch.no_grad():
        embedded = loaded.anatomy.embeddings(loaded.model)(input_ids)
    size = float(_norm(embedded))
    if plan.epsilon * embedded.numel() ** 0.5 < FAINTEST * size:
        least = FAINTEST * size / embedded.numel() ** 0.5
        raise BadInput(f"--epsilon {plan.epsilon:g} drowns in rounding beside the embeddings; give {least:.1g} or more")
    wants_gradients = index < plan.gradient_texts
    clean, gradients = _clean(loaded, embedded, input_ids, wants_gradients)
    if not (is_finite(clean.hidden) and is_finite(clean.logits)):
        refuse(loaded, input_ids, None, "the output head")
    copies = plan.perturbations(index)
    measured, variance = _perturbed(loaded, embedded, tokens, clean, copies, plan)
    if not is_finite(measured):
        raise NonFinite(
            f"{loaded.name} gives NaN or infinite numbers under noise of --epsilon {plan.epsilon:g}; give less"
        )
    variance = variance if index < plan.variance_texts else torch.full_like(variance, float("nan"))
    noise, hidden, logits, divergence = measured
    return Responses(noise, hidden, logits, divergence, variance, size, *gradients)


@dataclass(frozen=True)
class _Clean:
    """The undisturbed output: last hidden state ``[tokens, width]``, logits and log-probabilities."""

    hidden: Tensor
    logits: Tensor
    log_probabilities: Tensor


def _clean(
    loaded: LoadedModel, embedded: Tensor, input_ids: Tensor, wants_gradients: bool
) -> tuple[_Clean, tuple[float, float]]:
    """The output and the norms of both gradients with respect to the embeddings, from one forward pass."""
    gradients = (float("nan"), float("nan"))
    with torch.set_grad_enabled(wants_gradients):
        leaf = embedded.detach().requires_grad_(wants_gradients)
        hidden, logits = _forward(loaded, leaf)
        if wants_gradients:
            several = input_ids.shape[1] > 1
            mean = _gradient_norm(logits.mean(), leaf, keep=several)
            predicted, targets = logits[0, :-1], input_ids[0, 1:].to(logits.device)
            likelihood = nn.functional.cross_entropy(predicted, targets) if several else None
            gradients = (mean, gradients[1] if likelihood is None else _gradient_norm(likelihood, leaf, keep=False))
    hidden, logits = hidden[0].detach(), logits[0].detach()
    return _Clean(hidden, logits, logits.log_softmax(-1)), gradients


def _gradient_norm(value: Tensor, leaf: Tensor, keep: bool) -> float:
    (gradient,) = torch.autograd.grad(value, leaf, retain_graph=keep)
    return float(_norm(gradient))


@torch.no_grad()
def _perturbed(
    loaded: LoadedModel, embedded: Tensor, tokens: Sequence[int], clean: _Clean, copies: int, plan: Plan
) -> tuple[Tensor, Tensor]:
    """Noise, hidden change, logit change and divergence of each copy, ``[4, seeds, copies]``, and by seed the logits' variance.

    With changes Δ_p of a logit, its variance over P copies is (Σ_p Δ_p² − (Σ_p Δ_p)² / P) / (P − 1); the mean of Δ is
    small beside its deviation, so nothing cancels. Copies of all seeds share forward passes.
    """
    seeds, counted = range(len(plan.seeds)), min(copies, plan.num_perturbations)
    measured = torch.zeros(4, len(seeds), copies, dtype=torch.float64)
    totals = [torch.zeros_like(clean.logits) for _ in seeds]
    every = [(seed, number) for seed in seeds for number in range(copies)]
    for start in range(0, len(every), plan.batch_size):
        some = every[start : start + plan.batch_size]
        noise = torch.stack([noise_of(tokens, plan.seeds[seed], number, embedded.shape[-1]) for seed, number in some])
        noisy = embedded + plan.epsilon * noise.to(embedded.device)
        hidden, logits = _forward(loaded, noisy)
        for row, (seed, number) in enumerate(some):
            change = logits[row] - clean.logits
            changes = (noisy[row] - embedded[0], hidden[row] - clean.hidden, change)
            measured[:3, seed, number] = torch.stack([_norm(each).cpu() for each in changes])
            measured[3, seed, number] = _divergence(clean.log_probabilities, logits[row].log_softmax(-1))
            if number < counted:
                totals[seed] += change
    if counted < 2:
        return measured, torch.full((len(seeds),), float("nan"), dtype=torch.float64)
    squares = measured[2, :, :counted].square().sum(dim=1)
    means = torch.stack([_norm(total).cpu() for total in totals]).double().square() / counted
    return measured, (squares - means) / (counted - 1) / clean.logits.numel()


def noise_of(tokens: Sequence[int], seed: int, number: int, width: int) -> Tensor:
    """Standard normal noise ``[tokens, width]`` of one noisy copy, float32, made on the CPU on every machine."""
    digest = hashlib.sha256(f"{seed} {number} {digest_of(tokens)}".encode()).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(digest[:4], "big"))
    return torch.randn(len(tokens), width, generator=generator)


def _divergence(clean: Tensor, noisy: Tensor) -> float:
    """Mean over positions of KL(p ‖ q) from log-probabilities ``[tokens, vocabulary]``, in nats.

    Summed as ``p (e^x − 1 − x)`` with ``x = log q − log p``: no term is negative, so small divergences do not cancel.
    """
    total = 0.0
    for p, q in zip(torch.split(clean, POSITIONS_AT_ONCE), torch.split(noisy, POSITIONS_AT_ONCE)):
        p, x = _precise(p), _precise(q - p)
        total += float((p.exp() * (torch.expm1(x) - x)).sum())
    return total / len(clean)


def _forward(loaded: LoadedModel, embedded: Tensor) -> tuple[Tensor, Tensor]:
    """Last hidden state ``[rows, tokens, width]`` as the unembedding reads it, and logits, of embedded texts."""
    seen: list[Tensor] = []
    head = loaded.anatomy.unembedding(loaded.model)
    handle = head.register_forward_pre_hook(lambda _module, inputs: seen.append(inputs[0]))
    try:
        logits = loaded.model(inputs_embeds=embedded, use_cache=False).logits
    finally:
        handle.remove()
    return seen[0], logits


def digest_of(tokens: Sequence[int]) -> str:
    """Tells texts apart by their tokens."""
    return hashlib.sha256(" ".join(map(str, tokens)).encode()).hexdigest()[:16]


def _precise(tensor: Tensor) -> Tensor:
    """In float64; on the CPU if it lies on an Apple GPU, which has none."""
    return (tensor.cpu() if tensor.device.type == "mps" else tensor).double()


def _norm(tensor: Tensor) -> Tensor:
    """Root of the sum of squared entries, summed in float64."""
    tensor = tensor.cpu() if tensor.device.type == "mps" else tensor
    norm: Tensor = torch.linalg.vector_norm(tensor, dtype=torch.float64)
    return norm
