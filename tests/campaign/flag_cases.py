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
                yield Case(kind, command, (*_without(common, flag), flag, value))


def _without(common: tuple[str, ...], flag: str) -> tuple[str, ...]:
    if flag not in common:
        return common
    place = common.index(flag)
    return common[:place] + common[place + 2 :]


def cases() -> Iterator[Case]:
    """All of them."""
    for name, plugin in discovery.plugins("methods").items():
        own = [plugin.load().Settings]
        yield from of_fields("unlearn", own, (*UNLEARN, "--method", name), "values of unlearning methods")
    shared = [types_[0] for types_ in commands.find("unlearn").settings()][:2]
    yield from of_fields("unlearn", shared, (*UNLEARN, "--method", "grad_diff"), "values of unlearning")
    for name, plugin in discovery.plugins("diagnostics").items():
        models = PAIR if plugin.constants["SCOPE"] == "pair" else ("--model", "base")
        common = (name, *models, *TEXTS, *QUESTIONS)
        yield from of_fields("diagnose", [plugin.load().Settings], common, "values of diagnostics")
    shared = [types_[0] for types_ in commands.find("diagnose").settings()][:1]
    for case in of_fields("diagnose", shared, ("causal_depth", *PAIR, *TEXTS, *QUESTIONS), "values of diagnosing"):
        reader = READERS.get(case.arguments[-2], "causal_depth")
        yield replace(case, arguments=(reader, *case.arguments[1:]))
    for name, plugin in discovery.plugins("attacks").items():
        yield from of_fields("attack", [plugin.load().Settings], ("--kind", name, *ATTACK), "values of attacks")
    shared = [types_[0] for types_ in commands.find("attack").settings()][:1]
    yield from of_fields("attack", shared, ("--kind", "few_shot", *ATTACK), "values of attacking")
    shared = [types_[0] for types_ in commands.find("pipeline").settings()][:1]
    yield from of_fields("pipeline", shared, PIPELINE, "values of the pipeline")
    for name in ("evaluate", "create-datasets", "laboratory", "methods", "attacks", "demo"):
        chosen = [types_[0] for types_ in commands.find(name).settings()]
        common = {"evaluate": ("--model", "base", "--tasks", "mmlu"), "laboratory": ("--size", "tiny")}.get(name, ())
        yield from of_fields(name, chosen, common, "values of other commands")
