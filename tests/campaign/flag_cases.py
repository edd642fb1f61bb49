"""Cases made from the settings themselves: every flag of every command, given what it cannot take."""

from __future__ import annotations

import types
import typing
from collections.abc import Iterable, Iterator
from dataclasses import Field, replace
from typing import Any

from fresh import Case

from brittle import commands, discovery
from brittle.evaluation import multiple_choice_accuracy as accuracy
from brittle.runs.attack import missing_package
from brittle.settings import fields_of, flag_of

TEXTS = ("--forget-text", "forget.txt", "--retain-text", "retain.txt")
QUESTIONS = ("--forget-questions", "forget.jsonl", "--retain-questions", "retain.jsonl")
PAIR = ("--model-a", "base", "--model-b", "unlearned")
ONE_STEP = ("--forget-data", "forget.txt", "--retain-data", "retain.txt", "--device", "cpu", "--max-steps", "1")
UNLEARN = ("--model", "base", "--no-eval", *ONE_STEP)
ATTACK = ("--model", "unlearned", "--base", "base", "--filtered", "filtered", *QUESTIONS)
PIPELINE = ("--base", "base", "--unlearned", "unlearned", "--filtered", "none", *TEXTS, *QUESTIONS)

WORDS = {
    int: ("abc", "1.5", "nan", "²", "9" * 5000, "--"),
    float: ("abc", "nan", "inf", "1e400", "1e39", "1,5"),
    bool: ("perhaps",),
}
"""What no flag of that type may take."""
INPUTS = ("missing.txt", "keep", "/dev/null", "loop", "dangling", "forget.txt/below", "a" * 5000)
OUTPUTS = ("forget.txt/below", "loop", "/dev/null", "/proc/nowhere", "a" * 300, "forget.txt")
MODELS = (
    "missing/model",
    "forget.txt",
    "empty",
    "loop",
    "keep",
    "laboratory:foo",
    "laboratory:base@nope-0",
    "a" * 5000,
)
FILES_READ = ("forget_data", "retain_data", "forget_text", "retain_text", "benign_text", "forget_questions")
FILES_READ += ("retain_questions", "per_layer_csv", "forget", "retain", "benign")
PLACES_WRITTEN = ("outdir", "plot_outdir", "outroot", "page", "attacks_page")
REFERENCES = ("model", "model_a", "model_b", "base", "filtered", "control", "unlearned")

READERS = dict.fromkeys(("--forget-text", "--retain-text", "--benign-text", "--text-column"), "activation_comparison")
READERS |= dict.fromkeys(("--model", "--retain-questions", "--num-questions", "--question-format"), accuracy.NAME)
"""Diagnostics that read a flag, where causal_depth does not."""


def base_type(field: Field[Any]) -> tuple[type, bool]:
    """A field's type without ``| None``, and whether it is a tuple of it."""
    kind: Any = field.type
    if isinstance(kind, types.UnionType):
        kind = next(part for part in typing.get_args(kind) if part is not type(None))
    several = typing.get_origin(kind) is tuple
    return (typing.get_args(kind)[0] if several else kind), several


def bad_values(field: Field[Any]) -> Iterator[str]:
    """Texts that this field must refuse."""
    kind, several = base_type(field)
    if field.metadata["choices"]:
        yield from ("foo", "FP32 ", "")
        return
    if kind in (int, float):
        yield from (f"1,{word}" if several and word != "1,5" else word for word in WORDS[kind])
        for bound, beyond in (("minimum", -1), ("maximum", 1)):
            if (value := field.metadata[bound]) is not None:
                yield str(value + beyond)
        if (value := field.metadata["above"]) is not None:
            yield str(value)
    elif field.name in FILES_READ:
        yield from INPUTS
    elif field.name in PLACES_WRITTEN:
        yield from OUTPUTS
    elif field.name in REFERENCES:
        yield from MODELS


def of_fields(command: str, settings_types: Iterable[type], common: tuple[str, ...], kind: str) -> Iterator[Case]:
    """One case per flag and bad value, beside arguments that are right."""
    seen = set()
    for settings_type in settings_types:
        for field in fields_of(settings_type):
            flag = flag_of(field)
            if flag in seen or base_type(field)[0] is bool:
                continue
            seen.add(flag)
            for value in bad_values(field):
                yield Case(kind, command, (*_without(common, flag), flag, value), names=(flag, value[:20] or flag))


def _without(common: tuple[str, ...], flag: str) -> tuple[str, ...]:
    if flag not in common:
        return common
    place = common.index(flag)
    return common[:place] + common[place + 2 :]


def sound() -> Iterator[Case]:
    """The commands that the others spoil, as they are."""
    for command, arguments, _ in plugin_commands():
        yield Case("nothing wrong", command, arguments, False, sound=True)
    yield Case("nothing wrong", "pipeline", PIPELINE, False, sound=True)


def plugin_commands() -> Iterator[tuple[str, tuple[str, ...], type]]:
    """Each method, diagnostic and attack by its command, with arguments that make it short, and its settings."""
    short = {"layer_id": "0", "attack_steps": "2", "search_trials": "1"}
    for folder, command in (("methods", "unlearn"), ("diagnostics", "diagnose"), ("attacks", "attack")):
        for name, plugin in discovery.plugins(folder).items():
            if folder == "attacks" and missing_package(name):
                continue
            models = PAIR if plugin.constants.get("SCOPE") == "pair" else ("--model", "base")
            common = {
                "unlearn": (*UNLEARN, "--method", name),
                "diagnose": (name, *models, *TEXTS, *QUESTIONS),
                "attack": ("--kind", name, *ATTACK),
            }[command]
            settings = plugin.load().Settings
            own = [field for field in fields_of(settings) if field.name in short]
            yield command, (*common, *(word for f in own for word in (flag_of(f), short[f.name]))), settings


def cases() -> Iterator[Case]:
    """All of them."""
    yield from sound()
    kinds = {"unlearn": "unlearning methods", "diagnose": "diagnostics", "attack": "attacks"}
    for command, common, settings in plugin_commands():
        yield from of_fields(command, [settings], common, f"values of {kinds[command]}")
    for command, name, extra in (
        ("unlearn", "unlearning", (*UNLEARN, "--method", "grad_diff")),
        ("attack", "attacking", ("--kind", "few_shot", *ATTACK)),
        ("pipeline", "the pipeline", PIPELINE),
    ):
        shared = [types_[0] for types_ in commands.find(command).settings()][: 2 if command == "unlearn" else 1]
        yield from of_fields(command, shared, extra, f"values of {name}")
    shared = [types_[0] for types_ in commands.find("diagnose").settings()][:1]
    for case in of_fields("diagnose", shared, ("causal_depth", *PAIR, *TEXTS, *QUESTIONS), "values of diagnosing"):
        reader = READERS.get(case.arguments[-2], "causal_depth")
        models = ("--model", "base") if reader == accuracy.NAME and case.arguments[-2] != "--model" else ()
        yield replace(case, arguments=(reader, *models, *case.arguments[1:]))
    for name in ("evaluate", "create-datasets", "laboratory", "methods", "attacks", "demo"):
        chosen = [types_[0] for types_ in commands.find(name).settings()]
        common = {"evaluate": ("--model", "base", "--tasks", "mmlu"), "laboratory": ("--size", "tiny")}.get(name, ())
        yield from of_fields(name, chosen, common, "values of other commands")
