"""The commands: what each is called, what it is for, and the file that holds its settings and carries it out.

A command's file is imported when it is needed, not before: ``--help`` needs no torch, and no other command's settings.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from brittle import discovery
from brittle.commands.options import KEPT, Command, Given, needs, no_settings
from brittle.settings import BadInput, nearest

__all__ = ["COMMANDS", "Command", "find"]


def _from(file: str, name: str) -> Callable[..., Any]:
    """The function of that name in a command's file, which is imported when the function is called."""
    return lambda *arguments: getattr(importlib.import_module(f"brittle.commands.{file}"), name)(*arguments)


def find(name: str) -> Command:
    """The command of that name; for a script's path, the diagnostic whose ``PROGRAM`` the script is called."""
    if name in COMMANDS:
        return COMMANDS[name]
    plugins = [*discovery.plugins("diagnostics").values(), *discovery.plugins("evaluation").values()]
    programs = {plugin.constants.get("PROGRAM"): plugin for plugin in reversed(plugins)}  # the first of equals
    if plugin := programs.get(Path(name).stem):
        return _program(name, plugin)
    raise BadInput(f"unknown command '{name[:40]}'; {nearest(name, COMMANDS)}")


def _program(script: str, plugin: discovery.Plugin) -> Command:
    """The documented program of one diagnostic."""
    diagnose = COMMANDS["diagnose"]
    models = "--model-a BASE --model-b MODEL" if plugin.constants.get("SCOPE") == "pair" else "--model MODEL"

    def lacking(given: Given) -> list[str]:
        return list(diagnose.required({"name": plugin.name, **given}))

    return Command(
        plugin.summary,
        lambda given, environment: diagnose.run({"name": plugin.name, **given}, environment),
        lambda *_only: diagnose.settings(plugin.name),
        required=lacking,
        examples=(f"uv run experiment/{Path(script).name} {models}",),
    )


LABORATORY = "--base laboratory:base --filtered laboratory:filtered"
COMMANDS: dict[str, Command] = {
    "demo": Command(
        "the main job in the embedded laboratory: make, diagnose, attack, report",
        _from("demo", "demo"), _from("pipeline_settings", "demo_settings"), goes_on=KEPT,
        examples=("brittle demo", "brittle demo --methods rmu,wt_dist --outroot outputs/two_methods",
                  "brittle demo --worlds 0,1,2 --model-seeds 42,43 --methods rmu --outroot outputs/worlds"),
    ),
    "pipeline": Command(
        "compare models, attack them, write the report (experiment/pipeline.sh)",
        _from("pipeline", "pipeline"), _from("pipeline_settings", "pipeline_settings"), goes_on=KEPT,
        examples=("brittle pipeline --laboratory", "brittle pipeline --base MODEL --unlearned MODEL,MODEL --filtered none"),
    ),
    "compare": Command(
        "diagnose the first of several models against each of the others",
        _from("pipeline", "compare"), _from("pipeline_settings", "compare_settings"), "models",
        "references with spaces or commas between them: the base, then the others", needs("models"), several=True, goes_on=KEPT,
        examples=("brittle compare laboratory:base,laboratory:filtered,laboratory:retrained --max-samples 100",
                  "brittle compare FOLDER FOLDER"),
    ),
    "unlearn": Command(
        "make an unlearned model (unlearn/unlearn.py)",
        _from("unlearn", "unlearn"), _from("unlearn", "unlearn_settings"), "method", "as --method; see: brittle methods",
        needs("method"), folder="methods",
        examples=("brittle unlearn --method cb_lat --model laboratory:base --preset laboratory", "brittle unlearn rmu --help"),
    ),
    "diagnose": Command(
        "run one diagnostic by name",
        _from("diagnose", "diagnose_models"), _from("diagnose", "diagnose_settings"), "name", "see: brittle diagnostics",
        _from("diagnose", "lacking"), folder="diagnostics",
        examples=("brittle diagnose weight_comparison --model-a laboratory:base --model-b laboratory:filtered",
                  "brittle diagnose weight_comparison --help"),
    ),
    "attack": Command(
        "attack models and measure what comes back",
        _from("attack", "attack_models"), _from("attack", "attack_settings"), "kind", "as --kind; see: brittle attacks",
        needs("model"), folder="attacks", goes_on=KEPT,
        examples=(f"brittle attack --kind quantization,few_shot --model laboratory:retrained {LABORATORY}",
                  "brittle attack quantization --help"),
    ),
    "evaluate": Command(
        "published benchmarks of one model, through lm-eval (experiment/eval.py)",
        _from("evaluate", "evaluate"), _from("evaluate", "evaluate_settings"), required=needs("model"),
        examples=("brittle evaluate --model MODEL --tasks mmlu,wikitext --limit 100",),
    ),
    "measure": Command(
        "OpenUnlearning's measures of models, on TOFU, MUSE or the laboratory",
        _from("measure", "measure"), _from("measure", "measure_settings"), "models",
        "references with spaces or commas between them", needs("models"), several=True, goes_on=KEPT,
        examples=("brittle measure laboratory:base laboratory:retrained",
                  "brittle measure MODEL --suite tofu --retain-model MODEL --source FOLDER"),
    ),
    "infer": Command(
        "let models go on with a prompt, side by side (infer/cli.py)",
        _from("infer", "infer"), _from("infer", "infer_settings"), required=_from("infer", "lacking"),
        examples=('brittle infer --model laboratory:base,laboratory:filtered --prompt "..."',
                  "brittle infer --model MODEL --interactive --chat"),
    ),
    "sweep": Command(
        "make, evaluate, diagnose and attack many models from one file (unlearn/sweep_unlearn.sh)",
        _from("sweep", "sweep"), _from("sweep_settings", "sweep_settings"), "file", "the sweep's YAML file (docs/sweeps.md)",
        _from("sweep_settings", "lacking"), goes_on=KEPT,
        examples=("brittle sweep sweeps/laboratory.yaml", "brittle sweep sweeps/documented.yaml --dry-run",
                  "brittle sweep FILE.yaml --shard 3/16 --local"),
    ),
    "create-datasets": Command(
        "write data/forget.txt and data/retain.txt",
        _from("create_datasets", "create_datasets"), _from("create_datasets", "create_datasets_settings"),
        examples=("brittle create-datasets", "brittle create-datasets --laboratory --outdir data/laboratory"),
    ),
    "check-data": Command(
        "say what was understood of a file of texts or questions",
        _from("check_data", "run"), _from("check_data", "check_settings"), "file", "file of texts or questions (docs/data.md)",
        needs("file"), examples=("brittle check-data questions.csv", "brittle check-data texts.jsonl --model MODEL"),
    ),
    "laboratory": Command(
        "build or define a laboratory",
        _from("laboratory", "laboratory"), _from("laboratory", "laboratory_settings"), goes_on=KEPT,
        examples=("brittle laboratory", "brittle laboratory --name wide --width 256 --layers 6"),
    ),
    "planted": Command(
        "score every measure and attack on models of which it is known whether knowledge is hidden",
        _from("planted", "planted"), _from("planted", "planted_settings"), goes_on=KEPT,
        examples=("brittle planted --size tiny --page meta_evaluation.md", "brittle planted --worlds 0,1,2 --kinds gate,low_rank"),
    ),
    "report": Command(
        "write the report of an outputs folder again", _from("pages", "report"), _from("pages", "report_settings"), "outputs",
        "folder with results (outputs)", examples=("brittle report outputs", "brittle report outputs --figures figures", "brittle report outputs --bundle experiment_pages"),
    ),
    "signature": Command(
        "one row per unlearned model: every measure, its controls, what came back",
        _from("pages", "signature"), _from("pages", "signature_settings"), "outputs", "folder with results (outputs)",
        examples=("brittle signature outputs --page signature.md",),
    ),
    "rank": Command(
        "rank unlearned models, from records and W&B (unlearn/analysis/analyze_runs.py)",
        _from("rank", "rank_models"), _from("rank", "rank_settings"),
        examples=("brittle rank", "brittle rank --score excess_recovery --outroot outputs --output ranking.md"),
    ),
    "app": Command(
        "talk to models and read results in a browser (infer/run.py)",
        _from("app", "app"), _from("app", "app_settings"), goes_on="the same command starts it again",
        examples=("brittle app", "brittle app --outroot outputs --port 8600"),
    ),
    "methods": Command(
        "list, measure and document the unlearning methods",
        _from("pages", "methods"), _from("pages", "methods_settings"), goes_on=KEPT,
        examples=("brittle methods", "brittle methods --measure --only rmu,cb_lat"),
    ),
    "diagnostics": Command("list the diagnostics", _from("pages", "diagnostics"), examples=("brittle diagnostics",)),
    "attacks": Command(
        "list and document the attacks", _from("pages", "attacks"), _from("pages", "attacks_settings"),
        examples=("brittle attacks", "brittle attacks --page attacks.md"),
    ),
    "completion": Command(
        "complete commands, flags and names in bash, zsh or fish", _from("shell", "completion"), no_settings, "shell",
        "bash, zsh or fish", needs("shell"), choices=("bash", "zsh", "fish"), examples=('eval "$(brittle completion bash)"',),
    ),
    "help": Command(
        "what a command does, its flags and examples", _from("command_flags", "overview"), no_settings, "command",
        "a command, and after it a method, diagnostic or attack", examples=("brittle help attack",),
    ),
}  # fmt: skip
"""Every command by its name, in the order in which ``brittle --help`` shows them."""
