"""Direct preference optimisation with retain texts preferred to forget texts.

Δ(y) = log π(y) − log π_before(y),   L = −log σ(β · [Δ(y_retain) − Δ(y_forget)])

log π(y) is the sum over the text's tokens, or their mean with ``--log-probability mean``. The sum is the definition
and the default; under the mean β = 0.1 hardly ever saturates, and the loss acts as plain ascent. A retain text and a
forget text share no prompt here, which is the specification's form: each pair is drawn at random. ``idk_dpo`` is the
paired form. Source: Rafailov et al. 2023; as unlearning, Maini et al. 2024.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from brittle import training
from brittle.contracts import MethodNeeds
from brittle.training.hyperparameters import hyperparameter

if TYPE_CHECKING:
    from brittle.training.step import LossTerms, Step

NAME = "dpo"
NEEDS = MethodNeeds(reference_log_probabilities=("forget", "retain"), together=True)
PRESETS: dict[str, dict[str, Any]] = {
    "laboratory": {"lr": 0.001, "max_steps": 60, "batch_size": 8, "beta": 0.05, "loss_tokens": "answer"}
}
TUNING = {
    "collapses": "lower --beta (gentler updates)",
    "too weak": "raise --beta (sharper preference), or more steps",
}


@dataclass(frozen=True)
class Settings:
    """Inverse temperature β and what log π aggregates."""

    beta: float = hyperparameter("beta")
    log_probability: str = hyperparameter("log_probability")


def loss(settings: Settings, step: Step) -> LossTerms:
    """The preference of each retain text over the forget text beside it."""
    from torch.nn.functional import logsigmoid

    gain = {
        split: training.terms.sequence_log_probability(step, split, settings.log_probability)
        - training.terms.reference_log_probability(step, split, settings.log_probability)
        for split in ("retain", "forget")
    }
    preference = -logsigmoid(settings.beta * (gain["retain"] - gain["forget"]))
    return {"preference": training.terms.sequence_mean(step, "forget", preference)}
