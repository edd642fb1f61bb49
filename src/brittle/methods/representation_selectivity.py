"""RepSelect: ascend, but press down the gradient's main directions, which other knowledge shares and relearning finds first.

G = −∇_W NLL_forget = Σ_i s_i u_i v_iᵀ,   G' = G + Σ_{i ≤ k} (s_k² / s_i − s_i) u_i v_iᵀ          (of each MLP matrix, whole step)
L = −NLL_forget with G' in the place of G

On both sides each of the k largest components is divided by s_i / s_k ("soft collapse"), so s_i becomes s_k² / s_i: what was largest is
smallest. No retain term: what is kept is what the filter leaves alone. Only MLP matrices train. The filter works on the
singular values of updates, so use ``--optimizer sgd``, as the authors do; AdamW divides every entry by its own size and undoes most of
it. A single process without adapters, which may accumulate. Deviations: the gradient is of one step and not of the whole forget set, and
of the model itself (the authors first elicit with adapters trained on the forget texts, and remove them); exact singular vectors.
Source: Sondej et al. 2026 (arXiv 2606.17168) and their code, ``distribution=forget``, ``hard_soft=soft``, both sides.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from brittle import training
from brittle.contracts import MethodNeeds
from brittle.training.hyperparameters import hyperparameter

if TYPE_CHECKING:
    from torch import Tensor

    from brittle.training.step import LossTerms, Step

NAME = "repselect"
NEEDS = MethodNeeds(
    adapters=False, whole_model=True, splits=("forget",), trains=("mlp_expand", "mlp_contract")
)  # fmt: skip
PRESETS: dict[str, dict[str, Any]] = {
    "laboratory": {
        "lr": 0.3,
        "max_steps": 60,
        "batch_size": 8,
        "optimizer": "sgd",
        "weight_decay": 0.0,
        "grad_clip": 0.0,
        "loss_tokens": "answer",
    }
}
TUNING = {
    "collapses": "raise --gradient-components or lower --lr",
    "too weak": "raise --lr or lower --gradient-components",
}


@dataclass(frozen=True)
class Settings:
    """The number k of components that are pressed down."""

    gradient_components: int = hyperparameter("gradient_components")


def loss(settings: Settings, step: Step) -> LossTerms:
    """The likelihood, ascended along the filtered gradient; its value is the likelihood's."""
    filtered = step.once("filtered", lambda: _filtered(settings, step))
    likelihood = step.negative_log_likelihood("forget").detach()
    trained = step.trained()
    along = step.share * sum((gradient * trained[name]).sum() for name, gradient in filtered.items())
    return {"forget": along - along.detach() - likelihood}


def _filtered(settings: Settings, step: Step) -> dict[str, Tensor]:
    """The gradient of the whole step by parameter: matrices without their main directions, all else as it is."""
    gradient = training.terms.whole_gradient(step, lambda part: -part.negative_log_likelihood("forget"))
    return {
        name: training.terms.collapsed(each, settings.gradient_components) if each.dim() == 2 else each
        for name, each in gradient.items()
    }
