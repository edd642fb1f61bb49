"""``brittle evaluate``: published benchmarks of one model."""

from __future__ import annotations

import os

from brittle.commands.options import Environment, Given, SettingsTypes
from brittle.runs.benchmark import BenchmarkSettings
from brittle.settings import resolve


def evaluate(given: Given, environment: Environment) -> int:
    """Ask the model, print the summary."""
    from brittle.runs import benchmark

    settings = resolve(BenchmarkSettings, given, environment)
    if settings.wandb_project:
        os.environ["WANDB_PROJECT"] = settings.wandb_project
    folder = benchmark.run(settings, given)
    print((folder / "high_level_summary.md").read_text(encoding="utf-8"))
    print(f"-> {folder}")
    return 0


def evaluate_settings(_only: str | None = None) -> SettingsTypes:
    """Which model is asked what."""
    return [(BenchmarkSettings, {})]
