"""Representation rerouting by the layer numbers of the circuit-breaker code: the embeddings are number 0.

L = α(1 − p) · mean_l ReLU(cos(h_l^forget + n_l, h_l^forget before)) + α p · mean_l ‖h_l^retain − h_l^retain before‖₂
p = step / (2 · steps),   h_l the output of block l − 1 of ours

The loss and the schedule are those of ``rr`` (the authors' p = step / 300 over 150 steps); what differs is how layers are
counted: their code indexes transformers' list of hidden states, whose entry 0 is the embeddings, so that their target layers 10 and
20 are the outputs of blocks 9 and 19 counted from 0. Their adapters sit in blocks 0 to the largest target *number*, one block
more than the loss of forget texts reaches; here what trains is what the loss reaches. Deviations, as for ``rr``: the nudge n,
preservation at the target layers (theirs: at every hidden state), full parameters unless ``--lora-rank`` is given (theirs: 16,
rate 1e-4, constant). Source: Zou et al. 2024 (arXiv 2406.04313) and their code.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from brittle import training
from brittle.contracts import MethodNeeds
from brittle.training.hyperparameters import hyperparameter

if TYPE_CHECKING:
    from brittle.training.step import LossTerms, Step

NAME = "rr_paper"
NEEDS = MethodNeeds(
    reference_hidden_states=("forget", "retain"), layers=True, logits=False, together=True, first_layer=1
)
PRESETS: dict[str, dict[str, Any]] = {
    "laboratory": {"lr": 0.003, "max_steps": 120, "batch_size": 8, "layer_id": (2, 3)}
}
SAME_AS = {
    "method": "rr",
    "here": {"layer_id": (1, 2)},
    "there": {"layer_id": (0, 1)},
    "words": "layers one higher here, the updates are the same",
}
TUNING = {
    "collapses": "lower --rerouting-coeff or --lr",
    "too weak": "more steps or a higher --lr: the schedule gives rerouting the first half",
}


@dataclass(frozen=True)
class Settings:
    """The coefficient α and the layers l, counted with the embeddings as 0."""

    rerouting_coeff: float = hyperparameter("rerouting_coeff")
    layer_id: tuple[int, ...] = hyperparameter("layer_id")


def loss(settings: Settings, step: Step) -> LossTerms:
    """The scheduled terms of ``rr``, one block earlier."""
    blocks = [layer - NEEDS.first_layer for layer in sorted(settings.layer_id)]
    return training.before.rerouting(step, settings.rerouting_coeff, blocks)
