"""What a command is, and the flags that several commands share: each is written once, with its help, default and group."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from brittle import discovery, stopping
from brittle.settings import LARGEST_SEED, fields_of, flag_of, setting
from brittle.training.hyperparameters import TrainingSettings

Given = dict[str, Any]
Environment = Mapping[str, str] | None
SettingsTypes = Iterable[tuple[type, dict[str, list[str]]]]
KEPT = "what is finished is kept, and the same command goes on with the rest"


def no_settings(_only: str | None = None) -> SettingsTypes:
    """The settings of a command that has none."""
    return ()


def nothing_required(_given: Given) -> Sequence[str]:
    """What a command without required arguments lacks."""
    return ()


@dataclass(frozen=True)
class Command:
    """One command.

    ``settings`` yields its settings types, with the plugins that use each field; given a plugin's name, those of that
    plugin alone. ``positional`` is the argument without a flag; ``folder`` holds the plugins that it names, and
    ``several`` words may stand there.
    ``required`` tells, of what was given, which settings are missing; of nothing, all that are required. ``goes_on``
    says what the same command does after it was stopped.
    """

    summary: str
    run: Callable[[Given, Environment], int]
    settings: Callable[..., SettingsTypes] = no_settings
    positional: str = ""
    positional_help: str = ""
    required: Callable[[Given], Sequence[str]] = nothing_required
    examples: tuple[str, ...] = ()
    folder: str = ""
    choices: tuple[str, ...] = ()
    several: bool = False
    goes_on: str = stopping.AGAIN


def needs(*names: str) -> Callable[[Given], list[str]]:
    """The rule of a command that always requires the settings of these names."""
    return lambda given: [name for name in names if name not in given]


def of_plugins(folder: str, only: Collection[str] | None = None) -> SettingsTypes:
    """The settings of all plugins (or of those named), each with the plugins that read a flag."""
    found = {name: plugin for name, plugin in discovery.plugins(folder).items() if only is None or name in only}
    types = {name: plugin.load().Settings for name, plugin in found.items()}
    used_by: dict[str, list[str]] = {}
    for name, settings_type in types.items():
        for field in fields_of(settings_type):
            used_by.setdefault(field.name, []).append(name)
    return [(settings_type, used_by) for settings_type in types.values()]


GROUPS = {
    "What": (
        "method", "preset", "probe", "kind", "budget", "attacks", "methods", "tasks", "only", "laboratory", "measure", "models",
        "name", "suite", "size", "world", "worlds", "references", "diagnose", "root", "score", "top", "with_damaged",
    ),
    "Models": ("model", "model_a", "model_b", "unlearned", "base", "filtered", "control", "cb_only", "pretrain"),
    "Texts and questions": (
        "forget_text", "retain_text", "benign_text", "forget_data", "retain_data", "forget", "retain", "benign",
        "text_column", "forget_questions", "retain_questions", "question_format", "question_template", "answers_from", "num_questions", "attack_eval_questions", "max_samples",
        "num_samples", "limit", "include_path",
    ),
    "Comparisons": (
        "random_control", "enable_pretrain_comparison", "enable_cb_comparisons", "enable_attacks", "layers_to_analyze",
    ),
    "Chance": ("seeds", "seed", "model_seeds", "model_seed"),
    "Machine and number types": (
        "device", "dtype", "param_device", "param_dtype", "activation_device", "activation_dtype", "batch_size",
    ),
    "Results": (
        "outroot", "outdir", "output", "plot_outdir", "title", "page", "attacks_page", "results", "force", "no_save", "push_to_hub",
        "no_eval", "eval_tasks", "eval_limit", "check_wandb_only", "strict", "merge", "resume", "checkpoint_interval",
        "wandb_project", "wandb_name",
    ),
}  # fmt: skip
"""Where ``--help`` shows a command's own flags; others stand under a title of their settings type."""

DATA = GROUPS["Texts and questions"]
"""What says which texts and questions are read, and how."""


def next_step(*words: object, aside: str = "") -> str:
    """The line that says what to do next: a command that a shell takes as it stands, and perhaps a remark on it."""
    return f"next: uv run {shlex.join(map(str, words))}" + (f"  ({aside})" if aside else "")


def carried(settings: Any, target: type, names: Collection[str] = DATA) -> list[str]:
    """The flags by which another command reads what this one read: of ``names``, what is not the other's default anyway."""
    there = {field.name: field for field in fields_of(target)}
    words = []
    for field in fields_of(type(settings)):
        value = getattr(settings, field.name)
        if field.name in names and field.name in there and value not in (None, "none", there[field.name].default):
            words += [flag_of(there[field.name]), str(value)]
    return words


SHARED: dict[str, dict[str, Any]] = {
    "outroot": dict(default="outputs", help="folder for results", environment="OUTROOT"),
    "force": dict(default=False, help="run again even if the record is complete"),
    "dtype": dict(default="auto", help="number type", choices=("auto", "fp32", "fp16", "bf16")),
    "device": dict(default="auto", help="auto (best GPU), cuda, cuda:N, mps or cpu"),
    "seeds": dict(default="42,123,456", help="seeds", environment="SEEDS"),
    "page": dict(default=None, help="also write a page to this Markdown file"),
    "size": dict(default="small", help="size of the laboratory", environment="LABORATORY_SIZE"),
    "world": dict(
        default=0, help="seed of the laboratory's world", environment="LABORATORY_WORLD", minimum=0, maximum=LARGEST_SEED
    ),
    "model_seed": dict(
        default=TrainingSettings.seed, help="seed of unlearning in the laboratory", environment="MODEL_SEED", minimum=0,
        maximum=LARGEST_SEED,
    ),
    "methods": dict(default="grad_diff,rmu,cb_lat,wt_dist", help="unlearning methods to show", environment="METHODS"),
    "control": dict(default="none", help="an independent retraining of the base", environment="CONTROL"),
    "filtered": dict(default=None, help="model that never saw the data", environment="FILTERED"),
    "random_control": dict(
        default=True, help="measure a random update with the same singular values beside every comparison",
        environment="RANDOM_CONTROL",
    ),
    "forget_text": dict(
        default=None, help="texts of the hazardous domain (default: data/forget.txt; a laboratory brings its own)",
        environment="FORGET_TEXT", aliases=("--forget-data",),
    ),
    "retain_text": dict(
        default=None, help="benign texts (default: data/retain.txt; a laboratory brings its own)",
        environment="RETAIN_TEXT", aliases=("--retain-data",),
    ),
    "benign_text": dict(
        default=None, help="benign texts of the forget texts' form and length (default: data/benign.txt if there is one)",
        environment="BENIGN_TEXT",
    ),
    "forget_questions": dict(
        default=None, help="hazardous questions: a file, or wmdp-bio from the hub (default; a laboratory brings its own)",
        environment="FORGET_QUESTIONS",
    ),
    "attack_eval_questions": dict(
        default=None, help="questions of each side (T, V, benign) at most that attacks ask, every entity in turn (default: all of T and V)",
        environment="ATTACK_EVAL_QUESTIONS", minimum=1,
    ),
    "retain_questions": dict(
        default=None, help="benign questions: a file, or mmlu from the hub (default; a laboratory brings its own)",
        environment="RETAIN_QUESTIONS",
    ),
}  # fmt: skip
"""Flags that several commands have."""


def shared(name: str, **changes: Any) -> Any:
    """The field of a flag that several commands share; ``changes`` are what this command has otherwise."""
    return setting(**SHARED[name] | changes)
