"""A search for the attack that brings most back: random trials over optimizer, learning rate, schedule and adapters.

One attack with fixed settings underestimates what an attacker with a budget gets, and defences are sensitive to them. Each
trial draws a configuration (the same for every model) and relearns T; the best V over all trials and steps that keep
benign accuracy within ε counts. The best of many noisy numbers is too high, for the filtered model too: read one against
the other. Trials are records of their own: a search that was killed goes on, and more trials are added to those there are.
With ``--race`` all trials are begun, and those that brought most back after a sixteenth of the longest one's steps go to their end.
Source: TamperBench's ε-bounded attacker-tuned search; Qi et al. 2024 ("On evaluating the durability of safeguards").
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from brittle.contracts import AttackTarget, Evaluation
from brittle.settings import setting, with_default
from brittle.training.racing import RacingSettings
from brittle.training.teaching import TeachingSettings, teach

NAME = "relearning_search"
TEACHES = "T"
TRIALS = "search_trials"
OPTIMIZERS = ("adamw", "lion", "adamw", "sgd", "adamw", "muon")
"""In turn, so that every optimizer is tried also where trials are few."""
RATES = {"adamw": 1.0, "lion": 0.1, "sgd": 100.0, "muon": 3.0}
"""The middle of an optimizer's learning rates as a multiple of ``--attack-lr``; a trial's lies within a factor of ten."""
ADAPTERS = 2.0
"""Adapters take learning rates that much higher."""
SCHEDULES = ("constant", "linear", "cosine")
BATCHES = (4, 8, 16, 32)
RANKS = (0, 0, 4, 16, 64)
"""Rank of the adapters; 0 trains the weights, and is drawn twice as often as each rank."""
STEPS = (40, 80, 160)
WARMUPS = (0.0, 0.1)
QUICK = {"search_trials": 3}


@dataclass(frozen=True)
class Settings(RacingSettings):
    """How many trials. What a trial draws replaces the flag of that name; ``--attack-lr`` is the middle of its rates."""

    search_trials: int = setting(12, "trials of the search, each a configuration of its own", minimum=1, maximum=1000)
    trajectory_steps: tuple[int, ...] = with_default(TeachingSettings, "trajectory_steps", ())


def describe(settings: Settings, seed: int) -> dict[str, Any]:
    """The configuration of a trial: a function of its number alone, so that more trials never change earlier ones."""
    draw = random.Random(f"relearning search {seed}")
    optimizer, rank = OPTIMIZERS[seed % len(OPTIMIZERS)], draw.choice(RANKS)
    rate = settings.attack_lr * RATES[optimizer] * 10 ** draw.uniform(-1, 1) * (ADAPTERS if rank else 1)
    return {
        "optimizer": optimizer, "lr": float(f"{rate:.2g}"), "schedule": draw.choice(SCHEDULES),
        "batch_size": draw.choice(BATCHES), "lora_rank": rank, "steps": draw.choice(STEPS), "warmup": draw.choice(WARMUPS),
    }  # fmt: skip


def attack(settings: Settings, target: AttackTarget, seed: int, tick: Callable[[int], None]) -> list[Evaluation]:
    """Carry out trial number ``seed`` on the target's model, in place."""
    from brittle.models.adapters import add_adapters

    drawn = describe(settings, seed)
    if drawn["lora_rank"]:
        rank = drawn["lora_rank"]
        add_adapters(target.loaded.model, target.loaded.anatomy, rank, 2.0 * rank, seed=seed)
    trial = replace(
        settings, attack_optimizer=drawn["optimizer"], attack_lr=drawn["lr"], attack_schedule=drawn["schedule"],
        attack_batch_size=drawn["batch_size"], attack_steps=drawn["steps"],
        attack_warmup_steps=round(drawn["warmup"] * drawn["steps"]),
    )  # fmt: skip
    return teach(trial, target, target.texts, seed, tick, until=target.until)
