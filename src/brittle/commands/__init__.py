"""The commands: what each is called, which settings it reads, and the workflow that carries it out.

Workflows are imported when a command runs, not before: ``--help`` needs no torch.
"""

from __future__ import annotations

import difflib
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from brittle import discovery, progress, stopping
from brittle.commands import pages
from brittle.commands.options import (
    AttacksSettings,
    DemoSettings,
    LaboratorySettings,
    MethodsSettings,
    ReportSettings,
    SignatureSettings,
)
from brittle.settings import BadInput, as_dictionary, fields_of, names_in, references_in, resolve

Given = dict[str, Any]
Environment = Mapping[str, str] | None
SettingsTypes = Iterable[tuple[type, dict[str, list[str]]]]


@dataclass(frozen=True)
class Command:
    """One command. ``settings`` yields its settings types, with the plugins that use each field; ``goes_on`` says what
    the same command does after it was stopped."""

    summary: str
    run: Callable[[Given, Environment], int]
    settings: Callable[[], SettingsTypes] = lambda: ()
    positional: str = ""
    positional_help: str = ""
    required: bool = False
    several: bool = False
    """Whether more than one word may stand there."""
    goes_on: str = stopping.AGAIN


def _demo(given: Given, environment: Environment) -> int:
    chosen = resolve(DemoSettings, given, environment)
    return _pipeline({"laboratory": True, **as_dictionary(chosen)}, None)


def _pipeline(given: Given, environment: Environment) -> int:
    from brittle.commands import pipeline

    started = time.time()
    sparse = given.pop("only_what_is_there", False)
    settings = resolve(pipeline.PipelineSettings, given, environment)
    own = {field.name for field in fields_of(pipeline.PipelineSettings)}
    others = {key: value for key, value in given.items() if key not in own}
    report, failures = pipeline.run(settings, given=others, sparse=sparse)
    print()
    for line in pipeline.answers(report, settings, others, sparse):
        print(line)
    print(f"\nnext: uv run brittle signature {report.parent}  (every measure beside its controls)")
    print(f"report: {report.resolve()}  ({time.time() - started:.0f} s)")
    for failure in failures:
        progress.error(f"no result: {failure.diagnostic} of {failure.where}: {failure.reason}")
    return 1 if failures else 0


def _compare(given: Given, environment: Environment) -> int:
    named = given.pop("models", None) or ""
    models = references_in(named if isinstance(named, str) else ",".join(named), "models")
    if len(models) < 2:
        raise BadInput("compare needs at least two models: brittle compare A B; the first is compared with the others")
    roles = {"filtered": "none", "laboratory": False, "base": models[0], "only_what_is_there": True}
    others = []
    for model in models[1:]:  # the laboratory's own references play their own parts
        part = {"laboratory:filtered": "filtered", "laboratory:retrained": "control"}.get(model.partition("@")[0])
        if part and (roles | given).get(part, "none") == "none":
            roles[part] = model
        else:
            others.append(model)
    return _pipeline(roles | given | {"unlearned": ",".join(others) or "none"}, environment)


def _pipeline_settings() -> SettingsTypes:
    from brittle.commands.pipeline_settings import PipelineSettings

    shown = {name for name, plugin in discovery.plugins("diagnostics").items() if plugin.constants["NEEDS"] != "tables"}
    return [(PipelineSettings, {}), *_of_plugins("diagnostics", shown)]


def _unlearn(given: Given, environment: Environment) -> int:
    from brittle.runs import stages, unlearning, unlearning_plan
    from brittle.views import terminal

    chosen = unlearning_plan.plan(given, environment)
    if chosen.make.check_wandb_only:
        finished = stages.finished_anywhere(chosen)
        print(f"{chosen.folder}: {'finished' if finished else 'not finished'}")
        return 0 if finished else 1
    left = stages.outstanding(chosen)
    folder = unlearning.make_model(chosen)
    if unlearning_plan.process() > 0:
        return 0
    if stages.TRAINING not in left:
        print(f"already made: {chosen.folder} (--force makes it again)")
        return 0
    print(f"-> {folder}")
    for line in terminal.describe(folder):
        print(line)
    print(f"next: uv run brittle diagnose weight_comparison --model-a {chosen.make.model} --model-b {folder}")
    return 0


def _unlearn_settings() -> SettingsTypes:
    from brittle.runs.unlearning_settings import MakeSettings
    from brittle.training.hyperparameters import TrainingSettings

    return [(MakeSettings, {}), (TrainingSettings, {}), *_of_plugins("methods")]


def _diagnose(given: Given, environment: Environment) -> int:
    from brittle.commands import diagnose

    name = given.pop("name")
    settings = resolve(diagnose.DiagnoseSettings, given, environment)
    folder = diagnose.diagnose(name, settings, given, environment)
    for line in diagnose.answer(folder, settings):
        print(line)
    print(f"-> {folder}")
    return 0


def _diagnose_settings(only: str | None = None) -> SettingsTypes:
    from brittle.commands.diagnose import DiagnoseSettings

    types = _of_plugins("diagnostics", only and {only})
    return [(DiagnoseSettings, {}), *((settings_type, {} if only else used_by) for settings_type, used_by in types)]


def _attack(given: Given, environment: Environment) -> int:
    from brittle.commands import attack
    from brittle.results.outputs import gather
    from brittle.views import terminal

    settings = resolve(attack.AttackSettings, given, environment)
    outputs = attack.run(settings, given)
    data = gather(outputs)
    data.say_left_out()
    for line in [*terminal.lines(data), *attack.cannot_conclude(settings)]:
        print(line)
    print(f"-> {outputs / 'recovery' / 'recovery.csv'}\nnext: uv run brittle report {outputs}")
    return 0


def _attack_settings() -> SettingsTypes:
    from brittle.commands.attack import AttackSettings

    return [(AttackSettings, {}), *_of_plugins("attacks")]


def _of_plugins(folder: str, only: Collection[str] | None = None) -> SettingsTypes:
    """The settings of all plugins (or of those named), each with the plugins that read a flag."""
    found = {name: plugin for name, plugin in discovery.plugins(folder).items() if only is None or name in only}
    types = {name: plugin.load().Settings for name, plugin in found.items()}
    used_by: dict[str, list[str]] = {}
    for name, settings_type in types.items():
        for field in fields_of(settings_type):
            used_by.setdefault(field.name, []).append(name)
    return [(settings_type, used_by) for settings_type in types.values()]


def _evaluate(given: Given, environment: Environment) -> int:
    import os

    from brittle.runs import benchmark

    settings = resolve(benchmark.BenchmarkSettings, given, environment)
    if settings.wandb_project:
        os.environ["WANDB_PROJECT"] = settings.wandb_project
    folder = benchmark.run(settings, given)
    print((folder / "high_level_summary.md").read_text(encoding="utf-8"))
    print(f"-> {folder}")
    return 0


def _evaluate_settings() -> SettingsTypes:
    from brittle.runs.benchmark import BenchmarkSettings

    return [(BenchmarkSettings, {})]


def find(name: str) -> Command:
    """The command of that name; for a script's path, the diagnostic whose ``PROGRAM`` the script is called."""
    plugins = [*discovery.plugins("diagnostics").values(), *discovery.plugins("evaluation").values()]
    programs = {plugin.constants.get("PROGRAM"): plugin for plugin in reversed(plugins)}  # the first of equals
    if plugin := programs.get(Path(name).stem):
        return Command(
            plugin.summary,
            lambda given, environment: _diagnose({"name": plugin.name, **given}, environment),
            lambda: _diagnose_settings(plugin.name),
        )
    if name not in COMMANDS:
        near = difflib.get_close_matches(name, COMMANDS, 1)
        hint = f"did you mean {near[0]}?" if near else f"there is {', '.join(COMMANDS)}"
        raise BadInput(f"unknown command '{name}'; {hint}")
    return COMMANDS[name]


def _create_datasets(given: Given, environment: Environment) -> int:
    from brittle.commands import create_datasets

    create_datasets.create(resolve(create_datasets.DatasetSettings, given, environment))
    return 0


def _create_datasets_settings() -> SettingsTypes:
    from brittle.commands.create_datasets import DatasetSettings

    return [(DatasetSettings, {})]


def _check_data(given: Given, environment: Environment) -> int:
    from brittle.commands import check_data

    return check_data.run(given, environment)


def _check_data_settings() -> SettingsTypes:
    from brittle.commands.check_data import CheckSettings

    return [(CheckSettings, {})]


def _laboratory(given: Given, _environment: Environment) -> int:
    import dataclasses

    from brittle.runs import laboratory_models
    from brittle.suites import laboratory

    settings = resolve(LaboratorySettings, given)
    size = settings.size
    changes = {f.name: given[f.name] for f in dataclasses.fields(laboratory.Recipe) if f.name in given}
    if settings.name:
        start = laboratory.Laboratory(size).recipe
        values = {name: getattr(settings, name) for name in changes}
        laboratory.define(settings.name, dataclasses.replace(start, **values))
        size = settings.name
    elif changes:
        raise BadInput(
            f"--{next(iter(changes)).replace('_', '-')} changes the recipe; give the new laboratory a --name"
        )
    built = laboratory_models.build(laboratory.Laboratory(size, settings.world), names_in(settings.models, "--models"))
    for name, folder in built.items():
        print(f"laboratory:{name}@{size}-{settings.world}  {folder}")
    return 0


KEPT = "what is finished is kept, and the same command goes on with the rest"
COMMANDS: dict[str, Command] = {
    "demo": Command("the main job in the embedded laboratory: make, diagnose, attack, report", _demo, lambda: [(DemoSettings, {})], goes_on=KEPT),
    "pipeline": Command("compare models, attack them, write the report (experiment/pipeline.sh)", _pipeline, _pipeline_settings, goes_on=KEPT),
    "compare": Command("diagnose the first of several models against each of the others", _compare, _pipeline_settings, "models", "references with spaces or commas between them: the base, then the others", True, True, goes_on=KEPT),
    "unlearn": Command("make an unlearned model (unlearn/unlearn.py)", _unlearn, _unlearn_settings),
    "diagnose": Command("run one diagnostic by name", _diagnose, _diagnose_settings, "name", "see: brittle diagnostics", True),
    "attack": Command("attack models and measure what comes back", _attack, _attack_settings, goes_on=KEPT),
    "evaluate": Command("published benchmarks of one model, through lm-eval (experiment/eval.py)", _evaluate, _evaluate_settings),
    "create-datasets": Command("write data/forget.txt and data/retain.txt", _create_datasets, _create_datasets_settings),
    "check-data": Command("say what was understood of a file of texts or questions", _check_data, _check_data_settings, "file", "file of texts or questions (docs/data.md)"),
    "laboratory": Command("build or define a laboratory", _laboratory, lambda: [(LaboratorySettings, {})], goes_on=KEPT),
    "report": Command("write the report of an outputs folder again", pages.report, lambda: [(ReportSettings, {})], "outputs", "folder with results (outputs)"),
    "signature": Command("one row per unlearned model: every measure, its controls, what came back", pages.signature, lambda: [(SignatureSettings, {})], "outputs", "folder with results (outputs)"),
    "methods": Command("list, measure and document the unlearning methods", pages.methods, lambda: [(MethodsSettings, {})], goes_on=KEPT),
    "diagnostics": Command("list the diagnostics", pages.listing("diagnostics")),
    "attacks": Command("list and document the attacks", pages.attacks, lambda: [(AttacksSettings, {})]),
}  # fmt: skip
