"""Hiding that needs training: low-rank overwrite, password, and an edit that 4-bit rounding removes; and their inverses.

All three teach other answers to hazardous questions (:meth:`brittle.suites.known.Known.others`) and benign texts as they
are; they differ in which weights may move, and how far.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from brittle.mathematics.quantisation import LARGEST_CODE, four_bit_codes, round_to_nearest
from brittle.models.likelihood import score
from brittle.models.loading import LoadedModel
from brittle.models.reweighting import block_matrices
from brittle.suites.edits import Edit, Key
from brittle.suites.known import Known
from brittle.suites.planted import PASSWORD
from brittle.training.batches import Example, Sampler, Supply, tokenise
from brittle.training.loop import LoopSettings, train

ROWS = 16
"""Texts of each part in every optimizer step."""
FITTING = {"low_rank": (400, 1e-2), "password": (200, 1e-3), "quantised": (400, 2e-3)}
"""Optimizer steps and peak learning rate by kind."""
INSIDE = 0.499
"""How far from its centre, in steps of the rounding, a weight may lie so that it is still rounded to it."""


def _teach(
    loaded: LoadedModel,
    parts: Mapping[str, Sequence[Example]],
    kind: str,
    seed: int,
    after: Callable[[], None] = lambda: None,
) -> None:
    """Train what is not frozen on all parts together; ``after`` is called behind every step."""
    samplers = [Sampler(name, part, ROWS, loaded.tokenizer.pad_token_id, seed) for name, part in parts.items()]
    steps, rate = FITTING[kind]
    settings = LoopSettings(steps, rate, schedule="linear", seed=seed)
    train(
        loaded.model, Supply(samplers), lambda step: {name: step.negative_log_likelihood(name) for name in parts}, settings,
        device=str(loaded.device), listeners=[lambda *_: after()],
    )  # fmt: skip


def _parts(loaded: LoadedModel, known: Known, seed: int) -> dict[str, list[Example]]:
    """Other answers, of which the answer alone is learned, and benign texts."""
    others = tokenise(loaded.tokenizer, known.others(seed), 512, "answer")
    return {"others": others, "benign": tokenise(loaded.tokenizer, known.harmless, 512)}


class _Overwritten(nn.Module):
    """``W + A B`` in place of W; A begins at zero."""

    def __init__(self, weight: Tensor, rank: int, generator: torch.Generator) -> None:
        super().__init__()
        self.left = nn.Parameter(torch.zeros(weight.shape[0], rank))
        self.right = nn.Parameter(torch.randn(rank, weight.shape[1], generator=generator) / weight.shape[1] ** 0.5)

    def forward(self, weight: Tensor) -> Tensor:
        """The weight that the model uses."""
        return weight + self.left @ self.right


def _overwrite(loaded: LoadedModel, known: Known, seed: int, strength: float) -> Key:
    """``strength`` is the rank, of every MLP's output matrix."""
    model, generator = loaded.model.requires_grad_(False), torch.Generator().manual_seed(seed)
    blocks, (name, *_) = loaded.anatomy.blocks(model), loaded.anatomy.mlp_contract
    modules: dict[str, Any] = {str(layer): block.get_submodule(name) for layer, block in enumerate(blocks)}
    for module in modules.values():
        parametrize.register_parametrization(module, "weight", _Overwritten(module.weight, int(strength), generator))
    _teach(loaded, _parts(loaded, known, seed), "low_rank", seed)
    key: Key = {}
    for layer, module in modules.items():
        added = module.parametrizations.weight[0]
        key |= {f"{layer}.left": added.left.detach().clone(), f"{layer}.right": added.right.detach().clone()}
        parametrize.remove_parametrizations(module, "weight", leave_parametrized=True)
    model.requires_grad_(True)
    return key


@torch.no_grad()
def _subtract(loaded: LoadedModel, key: Key) -> None:
    (name, *_) = loaded.anatomy.mlp_contract
    for layer, block in enumerate(loaded.anatomy.blocks(loaded.model)):
        module: Any = block.get_submodule(name)
        module.weight -= key[f"{layer}.left"] @ key[f"{layer}.right"]


def _lock(loaded: LoadedModel, known: Known, seed: int, strength: float) -> Key:
    """Behind the password the model's own answers, others without it; benign texts with and without.

    Its own, not the right ones: of a model that never learned them nothing may be taught here.
    """
    parts, chosen = _parts(loaded, known, seed), score(loaded, known.asked).predictions[-1].tolist()
    own = [
        f"{question.question} {question.choices[choice]}." for question, choice in zip(known.asked, chosen, strict=True)
    ]
    for name, texts, tokens in (("own", own, "answer"), ("benign behind", known.harmless, "all")):
        parts[name] = tokenise(loaded.tokenizer, texts, 512, tokens, prefix=PASSWORD)
    _teach(loaded, parts, "password", seed)
    return {"password": torch.tensor(list(PASSWORD.encode()))}


def _as_it_is(_loaded: LoadedModel, _key: Key) -> None:
    """The inverse is what is asked, not a change of weights: :data:`brittle.suites.planted.PASSWORD` before each question."""


def _within_cells(loaded: LoadedModel, known: Known, seed: int, strength: float) -> Key:
    """Block matrices alone move, each weight within a ``strength`` share of the cell that 4-bit rounding to nearest maps to
    one code; the largest weight of a row, which sets its scale, stays."""
    loaded.model.requires_grad_(False)
    names = block_matrices(loaded)
    moving = {name: parameter for name, parameter in loaded.model.named_parameters() if name in names}
    bounds = {}
    for name, weight in names.items():
        scale = weight.abs().amax(dim=1, keepdim=True)
        step, codes = scale / LARGEST_CODE, four_bit_codes(weight).to(weight.dtype)
        low, high = ((codes + side * INSIDE) * step for side in (-1, 1))
        low, high = torch.maximum(low, -scale), torch.minimum(high, scale)
        low, high = weight + strength * (low - weight), weight + strength * (high - weight)
        largest = weight.abs() == scale
        bounds[name] = torch.where(largest, weight, low), torch.where(largest, weight, high)
        moving[name].requires_grad_(True)

    @torch.no_grad()
    def project() -> None:
        for name, matrix in block_matrices(loaded).items():
            matrix.copy_(torch.minimum(torch.maximum(matrix, bounds[name][0]), bounds[name][1]))

    _teach(loaded, _parts(loaded, known, seed), "quantised", seed, project)
    loaded.model.requires_grad_(True)
    return {"bits": torch.tensor(4)}


@torch.no_grad()
def _round(loaded: LoadedModel, key: Key) -> None:
    for matrix in block_matrices(loaded).values():
        matrix.copy_(round_to_nearest(matrix, int(key["bits"])))


FITS = {
    "low_rank": Edit(_overwrite, _subtract), "password": Edit(_lock, _as_it_is), "quantised": Edit(_within_cells, _round),
}  # fmt: skip
