"""Full-parameter relearning on T, measured on V: what comes back that the attack never showed?

Fine-tune every weight on texts about one half of the hazardous facts (T) and ask about the other half (V). Relearning
T says little, any model can be taught; V can only come back if it was still there. The same attack on a model that
never knew (filtered) shows what teaching T alone gives. AdamW, float32 weights, and a learning rate that falls
linearly to zero, because under a constant one the arms that learn T slowly never quite learn it.
Source: Deeb and Roger 2024 ("Do unlearning methods remove information?"), with a filtered model as control.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from brittle.contracts import MATCHED_T, AttackTarget, Evaluation
from brittle.settings import setting

if TYPE_CHECKING:
    from torch import nn

NAME = "relearning"
TEACHES = "T"


@dataclass(frozen=True)
class Settings:
    """How hard the attack tries."""

    attack_lr: float = setting(1.25e-3, "peak learning rate of the attack", above=0)
    attack_steps: int = setting(300, "optimizer steps of the attack", minimum=1)
    attack_batch_size: int = setting(16, "texts per step of the attack", minimum=1)
    attack_eval_interval: int = setting(20, "steps between evaluations during the attack", minimum=1)
    attack_loss_tokens: str = setting("all", "which tokens the attack's loss covers", choices=("all", "answer"))
    attack_patience: int = setting(
        3, "evaluations with T learned (95 %) after which an arm's attack ends; 0: never", minimum=0
    )
    attack_schedule: str = setting(
        "constant", "learning rate over the attack", choices=("constant", "linear", "cosine")
    )
    attack_max_length: int = setting(512, "longest text of the attack in tokens", minimum=2)


def attack(settings: Settings, target: AttackTarget, seed: int, tick: Callable[[int], None]) -> list[Evaluation]:
    """Train the target's model in place; evaluations at step 0, every interval and the last step."""
    from brittle.training.batches import Sampler, Supply, tokenise
    from brittle.training.loop import LoopSettings, train

    tokenizer = target.loaded.tokenizer
    texts = tokenise(tokenizer, target.texts, settings.attack_max_length, settings.attack_loss_tokens)
    sampler = Sampler("attack", texts, settings.attack_batch_size, tokenizer.pad_token_id, seed)
    evaluations = [target.evaluate(0, 0)]

    def listen(number: int, model: nn.Module, _terms: dict[str, float]) -> bool:
        tick(1)
        if number % settings.attack_eval_interval == 0 or number == settings.attack_steps:
            model.eval()
            evaluations.append(target.evaluate(number, number * settings.attack_batch_size))
            model.train()
        learned = sum(evaluation.accuracy["t"] >= MATCHED_T for evaluation in evaluations)
        return 0 < settings.attack_patience <= learned

    loop = LoopSettings(settings.attack_steps, settings.attack_lr, schedule=settings.attack_schedule, seed=seed)
    train(
        target.loaded.model, Supply([sampler]), lambda step: {"attack": step.negative_log_likelihood("attack")}, loop,
        device=str(target.loaded.device), listeners=[listen],
    )  # fmt: skip
    return evaluations
