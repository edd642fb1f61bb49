"""What a sweep's models go through after they were made: the pipeline's own comparisons and attacks, for one model at a time."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from brittle.commands.attack import ready_settings
from brittle.commands.pipeline_settings import PipelineSettings
from brittle.commands.pipeline_work import Work, prepared
from brittle.evaluation import multiple_choice_accuracy as accuracy
from brittle.models.references import Located
from brittle.runs import attack, attack_race, comparisons
from brittle.runs.attack_job import Run
from brittle.runs.executor import Tick
from brittle.runs.failures import Failure
from brittle.runs.roles import Arm
from brittle.settings import fields_of, resolve
from brittle.suites import laboratory
from brittle.sweeps.file import Stage, Sweep


def attack_settings(stage: Stage | None) -> dict[str, Any]:
    """Settings by attack, as ``brittle attack`` resolves them."""
    return ready_settings(stage.names, stage.given, stage.given.get("budget", "full")) if stage else {}


def _quick(stage: Stage | None) -> bool:
    return stage is not None and stage.given.get("budget", "full") == "quick"


def asks(base: str) -> bool:
    """Whether models of this base are asked questions of their own in step 0, beside or without published benchmarks."""
    return laboratory.behind(base) is not None


def work_on(sweep: Sweep, base: str, outputs: Path, model: str = "none") -> Work:
    """The pipeline's work on the sweep's references, or on one model beside them: everything located, read and checked.

    References answer step 0, too, where there are questions of their own: models are ranked between them.
    """
    own = {field.name for field in fields_of(PipelineSettings)}
    stages = [stage for stage in (sweep.diagnose, sweep.attack) if stage]
    named = {key: value for stage in stages for key, value in stage.given.items() if key in own}
    chosen: dict[str, Any] = {
        "base": base, "unlearned": model, "filtered": sweep.search.filtered or "none",
        "control": sweep.search.control or "none", "outroot": str(outputs),
        "enable_attacks": sweep.attack is not None, **named,
    }  # fmt: skip
    if sweep.attack:
        chosen["attacks"] = ",".join(sweep.attack.names)
    diagnose = sweep.diagnose or Stage()
    plugins = {key: value for key, value in diagnose.given.items() if key not in own}
    settings = resolve(PipelineSettings, chosen)
    step_0 = (accuracy.NAME,) if model == "none" and asks(base) else ()
    return prepared(settings, plugins, only=(*step_0, *diagnose.names), attacks=attack_settings(sweep.attack))


def measure(
    sweep: Sweep, work: Work, models: Sequence[Located], tick: Tick, tell: Callable[[str], None]
) -> list[Failure]:
    """Diagnose and attack these models in this process; tables over all models are written when the sweep ends."""
    if work.session.only:
        tell("diagnose")
        parts = [part for part in work.parts if part[-1].digest in {model.digest for model in models}]
        comparisons.one_after_the_other(work.session, parts, lambda _: None)
    for name, runs in attack_runs(sweep, work, [arm for arm in work.arms if arm.located in models]).items():
        tell(name)
        for run in itertools.chain.from_iterable(attack_race.rounds(runs)):
            run.carry_out(tick)
    return work.session.failures


def attack_runs(sweep: Sweep, work: Work, arms: Sequence[Arm]) -> dict[str, list[Run]]:
    """All runs on these arms, by attack; with ``budget: quick`` of the first seed."""
    base, seeds = work.arms[0].located, work.seeds[:1] if _quick(sweep.attack) else work.seeds
    return {
        name: attack.runs_of(name, settings, arms, work.field, seeds, work.session.outputs, base)
        for name, settings in work.attacks.items()
    }
