"""Minor component unlearning (MCU) in its RMU form: misdirect what is left of activations without their main directions.

L = Σ_ℓ  MSE(P_ℓ h_ℓ^forget, c · u) + α · MSE(h_ℓ^retain, h_ℓ^retain before),   P_ℓ = I − Q_ℓ Q_ℓᵀ

Q_ℓ is an orthonormal basis of the mean and the K − 1 largest principal components of the forget texts' activations before training
(K is ``--minor-components``; the authors take 8); u is a unit vector with entries drawn uniformly from [0, 1). Methods
move dominant components, which relearning puts back first; here their gradient is zero. Only MLP matrices train, as in the authors'
runs, unless ``--train-only`` names others. Deviations: one projection onto the complement of the whole span (the authors remove one
direction after another, of which the mean is not orthogonal to the others), the first token counts, and their updates are filtered
by CIR besides. Sources: Xiao et al. 2026 (arXiv 2605.11685), equations 9 to 12; their code, loss ``rmu_mcu``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from brittle import mathematics, training
from brittle.contracts import MethodNeeds
from brittle.training.hyperparameters import hyperparameter

if TYPE_CHECKING:
    from torch import Tensor

    from brittle.training.step import LossTerms, Step

NAME = "rmu_mcu"
NEEDS = MethodNeeds(
    reference_hidden_states=("forget", "retain"), logits=False, layers=True, together=True,
    trains=("mlp_expand", "mlp_contract"),
)  # fmt: skip
PRESETS: dict[str, dict[str, Any]] = {
    "laboratory": {
        "lr": 4e-3,
        "max_steps": 100,
        "batch_size": 8,
        "layer_id": (1, 2),
        "steering_coeff": 100.0,
        "alpha": 2.0,
    }
}
TUNING = {
    "length": "steering_coeff",
    "collapses": "raise --alpha or lower --steering-coeff",
    "too weak": "lower --alpha or --minor-components, or raise --steering-coeff",
}


@dataclass(frozen=True)
class Settings:
    """Retain weight α, target length c, the number K of directions left out, and the blocks ℓ."""

    alpha: float = hyperparameter("alpha")
    steering_coeff: float = hyperparameter("steering_coeff")
    minor_components: int = hyperparameter("minor_components")
    layer_id: tuple[int, ...] = hyperparameter("layer_id")


def loss(settings: Settings, step: Step) -> LossTerms:
    """Misdirection of the minor components on forget texts, preservation on retain texts, summed over blocks."""
    distance = mathematics.vectors.mean_squared_distance
    layers = sorted(settings.layer_id)
    forget, retain = step.hidden_states("forget", layers), step.hidden_states("retain", layers)

    def misdirect(layer: int) -> Tensor:
        main = step.main_directions("forget", layer, settings.minor_components)
        states = forget[layer].float()
        minor = states - (states @ main.mT) @ main
        return step.token_mean("forget", distance(minor, settings.steering_coeff * step.positive_direction(layer)))

    preserve = step.sum_over(layers, lambda at: training.before.squared_change(step, "retain", at, retain[at]))
    return {"forget": step.sum_over(layers, misdirect), "retain": settings.alpha * preserve}
