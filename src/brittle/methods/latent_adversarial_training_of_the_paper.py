"""Latent adversarial training with an L2 ball around every token, targeted or untargeted.

targeted:    δ* = argmin NLL_forget(h_m + δ),   L = −NLL_forget(h_m + δ*) + w · NLL_retain
untargeted:  δ* = argmax NLL_retain(h_m + δ),   L = −NLL_forget + w · NLL_retain(h_m + δ*),     both with ‖δ_t‖₂ ≤ ε at every token t

δ enters at the output of the middle target block m. The targeted adversary looks for the knowledge that is to go; the untargeted one
raises the loss of what the model is trained on, as in the paper, so that the model must hold the retain texts in a whole
neighbourhood. Steps go along each token's normalised gradient and are projected back into the ball (``lat``: signs in an L∞ box).
With ``--lat-radius relative`` ε is a share of each token's own norm. Deviations: zero start, a new adversary every step (the targeted
code updates four times per adversary and uses AdamW inside), ascent as the unlearning loss. Sources: Casper et al. 2024
(arXiv 2403.05030), untargeted; Sheshadri et al. 2024 (arXiv 2407.15549), targeted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from brittle import training
from brittle.contracts import MethodNeeds
from brittle.training.hyperparameters import hyperparameter

if TYPE_CHECKING:
    from brittle.training.step import LossTerms, Step

NAME = "lat_paper"
NEEDS = MethodNeeds(layers=True)
PRESETS: dict[str, dict[str, Any]] = {
    "laboratory": {
        "lr": 1e-3,
        "max_steps": 60,
        "batch_size": 8,
        "layer_id": (1, 2),
        "retain_weight": 6.0,
        "lat_eps": 1.0,
        "lat_steps": 2,
        "loss_tokens": "answer",
    }
}
TUNING = {
    "collapses": "raise --retain-weight or lower --lat-eps",
    "too weak": "raise --lat-eps or lower --retain-weight",
}


@dataclass(frozen=True)
class Settings:
    """The adversary's radius ε, steps, unit and goal, the retain weight w, and the blocks whose middle one is attacked."""

    lat_eps: float = hyperparameter("lat_eps")
    lat_steps: int = hyperparameter("lat_steps")
    lat_radius: str = hyperparameter("lat_radius")
    lat_goal: str = hyperparameter("lat_goal")
    retain_weight: float = hyperparameter("retain_weight")
    layer_id: tuple[int, ...] = hyperparameter("layer_id")


def loss(settings: Settings, step: Step) -> LossTerms:
    """Ascent on forget and descent on retain texts, one of them with the perturbation in place."""
    attacked = "forget" if settings.lat_goal == "targeted" else "retain"
    middle, perturbation = training.adversary.at_the_middle(
        step, settings, sorted(settings.layer_id), split=attacked, per_token=True, raises=attacked == "retain"
    )
    with step.perturbed(middle, perturbation):
        found = {attacked: step.negative_log_likelihood(attacked)}
    clean = {split: step.negative_log_likelihood(split) for split in ("forget", "retain") if split != attacked}
    found |= clean
    return {"forget": -found["forget"], "retain": settings.retain_weight * found["retain"]}
