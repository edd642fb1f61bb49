"""``brittle unlearn``: make one unlearned model, or say whether it is made."""

from __future__ import annotations

from typing import TYPE_CHECKING

from brittle.commands.options import Environment, Given, SettingsTypes, next_step, of_plugins
from brittle.runs.unlearning_settings import MakeSettings
from brittle.settings import BadInput
from brittle.training.hyperparameters import TrainingSettings

if TYPE_CHECKING:
    from brittle.runs.unlearning_plan import Plan


def unlearn(given: Given, environment: Environment) -> int:
    """Make the model that the flags, the environment and the preset describe."""
    from brittle import tracking
    from brittle.runs import laboratory_models, stages, unlearning, unlearning_plan

    make = unlearning_plan.resolved(given, environment).make
    if make.check_wandb_only and not laboratory_models.is_there(make.model) and not tracking.can_be_asked():
        print(f"not finished: {make.model}, which it is made from, is not built here")
        return 1
    chosen = unlearning_plan.plan(given, environment)
    if chosen.make.check_wandb_only:
        finished = stages.finished_anywhere(chosen)
        print(f"{chosen.folder}: {'finished' if finished else 'not finished'}")
        return 0 if finished else 1
    if chosen.make.probe:
        return _probe(chosen)
    left = stages.outstanding(chosen)
    folder = unlearning.make_model(chosen)
    if unlearning_plan.process() > 0:
        return 0
    if stages.TRAINING not in left:
        print(f"already made: {chosen.folder} (--force makes it again)")
        return 0
    from brittle.views import terminal

    print(f"-> {folder}")
    for line in terminal.describe(folder):
        print(line)
    named = "--model-a", chosen.make.model, "--model-b", folder
    print(next_step("brittle", "diagnose", "weight_comparison", *named))
    return 0


def _probe(chosen: Plan) -> int:
    """The first steps of the run, and what is to be expected of the rest."""
    from brittle import progress
    from brittle.runs import probe, unlearning_plan
    from brittle.runs.unlearning_identity import processes
    from brittle.views import probe as shown

    if processes() > 1:
        raise BadInput("--probe measures the steps of one process; launch it alone")
    steps = min(probe.STEPS, unlearning_plan.planned_steps(chosen))
    with progress.work(f"probing ({chosen.make.method})", steps) as bar:
        summary, walked = probe.probe(chosen, bar.update)
    for line in shown.lines(summary, walked, chosen.identity.settings):
        print(line)
    return 0


def unlearn_settings(only: str | None = None) -> SettingsTypes:
    """What is made, how it is trained, and the methods' own settings."""
    return [(MakeSettings, {}), (TrainingSettings, {}), *of_plugins("methods", only and {only})]
