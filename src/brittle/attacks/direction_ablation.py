"""Take the directions in which activations moved out of the residual stream: is hiding a matter of a few directions?

With D_l the rows ``h_attacked − h_base`` after block l at the tokens of texts about T and V_l its k leading right singular
vectors (uncentred, so that the first is close to the mean difference), every forward pass goes on with
``h ← h − (h V_l) V_lᵀ``. All directions are those of the unchanged model; no weight changes. Only texts about T are looked
at, so V too counts. A yardstick like direction_removal, since it needs the base; that one works on weights, this one on
what flows. The base itself has no difference and loses nothing.
Source: Łucki et al. 2024 (orthogonalisation with the mean difference); Arditi et al. 2024 (ablation of one direction).
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from brittle.contracts import AttackFacts, AttackTarget, Evaluation, at_most
from brittle.settings import BadInput, setting

if TYPE_CHECKING:
    from torch import Tensor

NAME = "direction_ablation"
TEACHES = "nothing"
RANDOM = False
NEEDS_BASE = True
STRENGTH = "leading directions taken out of the residual stream"
STRENGTHS = "ablated_directions"
TEXTS_AT_ONCE = 8
FAINTEST = 1e-5
"""A direction along which activations moved by less than this share of their size is rounding and stays."""
QUICK = {"ablated_directions": (1, 4)}


@dataclass(frozen=True)
class Settings:
    """How many directions, where, and what they are found on."""

    ablated_directions: tuple[int, ...] = setting(
        (1, 2, 4, 8), "leading directions of the activation difference taken out after a block", minimum=1
    )
    ablation_layers: tuple[int, ...] = setting(
        (), "blocks after which they are taken out, counted from 0 (none named: every block)", minimum=0
    )
    ablation_texts: int = setting(64, "texts about T that the directions are found on", minimum=1)


def check(settings: Settings, facts: AttackFacts) -> None:
    """Refuse blocks that a model does not have and more directions than it is wide."""
    if (deepest := max(settings.ablation_layers, default=0)) >= facts.layers:
        raise BadInput(f"--ablation-layers: there is no block {deepest}; blocks are 0 to {facts.layers - 1}")
    most = max(settings.ablated_directions)
    at_most("--ablated-directions", most, facts.width, 8, f"hidden states have {facts.width} dimensions")


def attack(settings: Settings, target: AttackTarget, seed: int, tick: Callable[[int], None]) -> list[Evaluation]:
    """Evaluations before and at every number; nothing is random, so one seed is run."""
    from brittle.models.reweighting import try_at

    layers = settings.ablation_layers or tuple(range(len(target.loaded.anatomy.blocks(target.loaded.model))))
    number = min(settings.ablation_texts, len(target.texts))
    texts = [target.texts[position * len(target.texts) // number] for position in range(number)]
    found = moved_directions(target.loaded, target.base, texts, layers, max(settings.ablated_directions))
    evaluations = [target.evaluate(0, 0)]
    for number, count in enumerate(settings.ablated_directions, 1):
        with ablated(target.loaded, {layer: directions[:, :count] for layer, directions in found.items()}):
            evaluations += try_at(target, number, count)
        tick(1)
    return evaluations


def moved_directions(
    loaded: Any, base: Any, texts: Sequence[str], layers: Sequence[int], count: int, max_length: int = 512
) -> dict[int, Tensor]:
    """The leading directions of h − h_base after each block, ``[width, at most count]`` with orthonormal columns.

    Eigenvectors of DᵀD, summed over batches in float64. Fewer columns, down to none, where the models do not differ.
    """
    import torch

    from brittle.models.encoding import encode_beginnings, longest_row
    from brittle.models.hidden_states import hidden_states, pad

    longest = longest_row(loaded.model, max_length)
    rows = [row for row in encode_beginnings(loaded.tokenizer, texts, longest, "texts about T") if row]
    if not rows:
        raise BadInput("there is no text about T to find directions on; give --forget-text with texts")
    rows.sort(key=len)
    depths = [layer + 1 for layer in layers]
    place = "cpu" if str(loaded.device).startswith("mps") else loaded.device  # Apple GPUs have no float64
    width = loaded.model.config.hidden_size
    products = {layer: torch.zeros(width, width, dtype=torch.float64, device=place) for layer in layers}
    sizes = dict.fromkeys(layers, 0.0)
    for start in range(0, len(rows), TEXTS_AT_ONCE):
        input_ids, mask = pad(rows[start : start + TEXTS_AT_ONCE], loaded.tokenizer.pad_token_id)

        def real(hidden: Tensor, mask: Tensor = mask) -> Tensor:
            return hidden[mask.bool().to(hidden.device)].to(place).double()

        pairs = zip(*(hidden_states(model, input_ids, mask, depths, real) for model in (loaded, base)))
        for layer, (own, before) in zip(layers, pairs):
            products[layer] += (own - before).T @ (own - before)
            sizes[layer] += float(before.square().sum())
    found = {}
    for layer, product in products.items():
        values, vectors = torch.linalg.eigh(product)  # ascending
        kept = int((values > FAINTEST**2 * sizes[layer]).sum())
        found[layer] = vectors.flip(1)[:, : min(count, kept)].float()
    return found


@contextlib.contextmanager
def ablated(loaded: Any, directions: Mapping[int, Tensor]) -> Iterator[None]:
    """While inside, every forward pass goes on without the given directions after the given blocks."""

    from brittle.models import hooks

    def without(layer: int) -> hooks.See:
        def see(hidden: Tensor) -> Tensor:
            basis = directions[layer].to(hidden)
            return hidden - (hidden @ basis) @ basis.T

        return see

    blocks = loaded.anatomy.blocks(loaded.model)
    with contextlib.ExitStack() as stack:
        for layer in directions:
            stack.enter_context(hooks.leaving(blocks[layer], without(layer)))
        yield
