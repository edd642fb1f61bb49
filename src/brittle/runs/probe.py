"""A few optimizer steps of a run that is planned, to see before hours are spent what it will do. Nothing is written.

The steps are those of the run itself: same texts, same schedule, same optimizer.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from brittle.results.outlook import Walked
from brittle.runs.unlearning_plan import Plan
from brittle.runs.unlearning_steps import begin
from brittle.runs.unlearning_training import measured
from brittle.training.loop import NotFinite, train
from brittle.training.walk import FirstSteps, whole_way

STEPS = 5
"""Optimizer steps that are taken; of a shorter run all."""


def probe(chosen: Plan, tick: Callable[[int], object] = lambda _: None) -> tuple[dict[str, Any], Walked]:
    """Take the first :data:`STEPS` steps of a run.

    Returns what the run's own ``summary.json`` would say after these steps alone, and the steps themselves.
    """
    steps = begin(chosen)
    model, loop = steps.run.loaded.model, steps.loop
    walk, lengths, broke = FirstSteps(steps.weights, STEPS, tick), steps.state_norms(), ""
    first = last = None
    try:
        first = steps.pulls()
        train(
            model, steps.supply, steps.objective, loop, device=steps.device, listeners=[walk], **steps.details,
        )  # fmt: skip
        last = steps.pulls(max(0, len(walk.moved) - 1))
    except NotFinite as problem:
        broke = str(problem)
        model.eval()
    steps.finish()
    own = {"method": chosen.make.method, "steps": len(walk.moved)}
    walked = Walked(loop.steps, tuple(walk.moved), *whole_way(walk.moved, loop), broke)
    return own | measured(steps, first, lengths, last), walked
