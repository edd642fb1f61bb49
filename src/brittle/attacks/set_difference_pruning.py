"""Cut the weights that matter for the hazard and not for the rest: is there a part that only holds knowledge down?

Score of a weight by what it contributes to its output (Wanda), ``S_ij = |W_ij| · ‖X_j‖₂``, with X_j the matrix's input
feature j over the tokens of texts; once on texts about T, once on benign texts. In every row, that is for every output,
the weights among the top q share of hazardous scores and not among the top p share of benign ones become zero. What
unlearning added in order to hide is busy on hazardous texts alone, so it goes first; knowledge that is gone stays gone.
Source: Wei et al. 2024 ("Assessing the brittleness of safety alignment via pruning and low-rank modifications"); Łucki
et al. 2024 on unlearned models; Sun et al. 2023 (Wanda).
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from brittle.contracts import AttackTarget, Evaluation
from brittle.settings import BadInput, setting

if TYPE_CHECKING:
    from torch import Tensor

NAME = "set_difference_pruning"
TEACHES = "nothing"
RANDOM = False
STRENGTH = "share of each output's hazardous weights that is cut (q)"
STRENGTHS = "hazardous_shares"
TEXTS_AT_ONCE = 8
QUICK = {"hazardous_shares": (0.05, 0.2)}


@dataclass(frozen=True)
class Settings:
    """What is cut, and what is spared."""

    hazardous_shares: tuple[float, ...] = setting(
        (0.01, 0.02, 0.05, 0.1, 0.2), "q: top shares of every output's weights on hazardous texts", above=0, below=1
    )
    protected_share: float = setting(
        0.1, "p: top share of every output's weights on benign texts, which stay", minimum=0, below=1
    )
    pruning_texts: int = setting(128, "texts of each side that weights are scored on", minimum=1)


def attack(settings: Settings, target: AttackTarget, seed: int, tick: Callable[[int], None]) -> list[Evaluation]:
    """Evaluations before and at every share; scores are those of the whole model, and nothing is random."""
    from brittle.models.reweighting import sweep

    hazardous, benign = (
        input_norms(target.loaded, spread(texts, settings.pruning_texts))
        for texts in (target.texts, target.retain_texts)
    )

    def pruned(name: str, matrix: Tensor, share: float) -> Tensor:
        wanted = top_of_rows(matrix.abs() * hazardous[name].to(matrix), share)
        spared = top_of_rows(matrix.abs() * benign[name].to(matrix), settings.protected_share)
        return matrix.masked_fill(wanted & ~spared, 0.0)

    return sweep(target, settings.hazardous_shares, pruned, tick)


def top_of_rows(scores: Tensor, share: float) -> Tensor:
    """Whether each score is among the ``share`` largest of its row, ``[outputs, inputs]`` bool; the first of equals."""
    import torch

    largest = scores.argsort(dim=1, descending=True, stable=True)[:, : round(share * scores.shape[1])]
    return torch.zeros_like(scores, dtype=torch.bool).scatter_(1, largest, True)


def input_norms(loaded: Any, texts: Sequence[str], max_length: int = 512) -> dict[str, Tensor]:
    """‖X_j‖₂ of every input feature of every block matrix over all real tokens, ``[inputs]`` float64, by weight name."""
    import torch

    from brittle.models.encoding import encode_beginnings, longest_row
    from brittle.models.hidden_states import hidden_states, pad
    from brittle.models.reweighting import block_matrices

    longest = longest_row(loaded.model, max_length)
    rows = [row for row in encode_beginnings(loaded.tokenizer, texts, longest, "texts of the pruning") if row]
    if not rows:
        raise BadInput("there is no text to score weights on; give --forget-text and --retain-text with texts")
    rows.sort(key=len)
    squares = {name: torch.zeros(m.shape[1], dtype=torch.float64) for name, m in block_matrices(loaded).items()}
    real = torch.empty(0, dtype=torch.bool)

    def listener(name: str) -> Callable[[Any, tuple[Tensor, ...]], None]:
        def hook(_module: Any, inputs: tuple[Tensor, ...]) -> None:
            features = inputs[0].reshape(real.numel(), -1)[real.flatten().to(inputs[0].device)]  # OPT's MLP is flat
            squares[name] += features.float().square().sum(dim=0).cpu()

        return hook

    deepest = len(loaded.anatomy.blocks(loaded.model))
    with contextlib.ExitStack() as stack:
        for name in squares:
            module = loaded.model.get_submodule(name.removesuffix(".weight"))
            stack.callback(module.register_forward_pre_hook(listener(name)).remove)
        for start in range(0, len(rows), TEXTS_AT_ONCE):
            input_ids, mask = pad(rows[start : start + TEXTS_AT_ONCE], loaded.tokenizer.pad_token_id)
            real = mask.bool()
            hidden_states(loaded, input_ids, mask, [deepest], lambda hidden: hidden[:0])
    return {name: square.sqrt() for name, square in squares.items()}


def spread(texts: Sequence[str], number: int) -> list[str]:
    """At most ``number`` of the texts, evenly over the list."""
    number = min(number, len(texts))
    return [texts[position * len(texts) // number] for position in range(number)]
