"""Values of settings: from text or from Python to a field's type, within its bounds, or refused in one line."""

from __future__ import annotations

import dataclasses
import functools
import math
import operator
import re
import types
import typing
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from brittle.bad_input import BadInput, shortened
from brittle.lists import nearest, suggestion

LARGEST_NUMBER, LARGEST_WHOLE = (2 - 2**-23) * 2.0**127, 2**63 - 1
"""What the weights' arithmetic (32-bit floats) and its counters (64-bit integers) hold."""
TRUE_WORDS, FALSE_WORDS = {"1", "true", "yes", "on"}, {"", "0", "false", "no", "off"}
NOTHING = "none"
"""The word for no number at all in a list that may be empty, as ``--help`` has it."""
AS_PRINTED = re.compile(r"\d+(\.\d+)?(-\d+(\.\d+)?)+")
"""Numbers of a list as ``--help`` and folders' names show them, ``5-6-7``."""


def flag_of(field: dataclasses.Field[Any]) -> str:
    """The command-line flag of a field, ``steering_coeff`` -> ``--steering-coeff``."""
    return field.metadata.get("flag") or "--" + field.name.replace("_", "-")


def spellings_of(field: dataclasses.Field[Any]) -> tuple[str, ...]:
    """Every flag that sets a field: the one that help shows, then those that go on working."""
    return (flag_of(field), *field.metadata["aliases"])


def fields_of(settings_type: type) -> list[dataclasses.Field[Any]]:
    """The fields with annotations turned into types."""
    return [*_fields_of(settings_type)]


@functools.lru_cache(maxsize=512)
def _fields_of(settings_type: type) -> tuple[dataclasses.Field[Any], ...]:
    hints = typing.get_type_hints(settings_type)
    fields = [field for field in dataclasses.fields(settings_type) if "help" in field.metadata]
    for field in fields:
        field.type = hints[field.name]
    return tuple(fields)


def convert(field: dataclasses.Field[Any], text: str) -> Any:
    """Turn the text of a flag or of an environment variable into the field's type, or raise :class:`BadInput`."""
    kind = _kind(field)
    try:
        text.encode()
        if kind is bool:
            if text.lower() not in TRUE_WORDS | FALSE_WORDS:
                raise ValueError
            return text.lower() in TRUE_WORDS
        if typing.get_origin(kind) is tuple:
            item = typing.get_args(kind)[0]
            if item is not str and field.metadata.get("may_be_empty") and text.strip().lower() == NOTHING:
                return ()
            if item is not str and AS_PRINTED.fullmatch(text.strip()):
                text = text.replace("-", ",")
            return tuple(item(part) for part in text.replace(",", " ").split())
        return kind(text)
    except ValueError:
        name = getattr(kind, "__name__", str(kind))
        raise BadInput(f"{flag_of(field)}: '{shortened(text)}' is not a valid {name}; see --help") from None


def _kind(field: dataclasses.Field[Any]) -> Any:
    """The field's type, without None."""
    kind: Any = field.type
    if isinstance(kind, types.UnionType):
        kind = next(part for part in typing.get_args(kind) if part is not type(None))
    return kind


def adopt(field: dataclasses.Field[Any], value: Any) -> Any:
    """A value given from Python as the field's type: paths become text, lists tuples, NumPy's numbers plain ones."""
    if isinstance(value, str) or value is None:
        return convert(field, value) if isinstance(value, str) else None
    kind = _kind(field)
    if typing.get_origin(kind) is tuple:
        if isinstance(value, Iterable):
            return tuple(_adopt_one(field, typing.get_args(kind)[0], item) for item in value)
        return (_adopt_one(field, typing.get_args(kind)[0], value),)
    return _adopt_one(field, kind, value)


def _adopt_one(field: dataclasses.Field[Any], kind: Any, value: Any) -> Any:
    value = value.item() if hasattr(value, "item") else value
    allowed: tuple[type, ...] = {str: (str, Path, int), int: (int,), float: (int, float)}.get(kind, (kind,))
    fits = isinstance(value, allowed) and (kind is bool or not isinstance(value, bool))
    if kind is int and isinstance(value, float) and value.is_integer():
        fits, value = True, int(value)
    if not fits:
        raise BadInput(f"{flag_of(field)}: {shortened(repr(value))} is not a valid {kind.__name__}")
    try:
        return kind(value)
    except OverflowError:
        raise BadInput(f"{flag_of(field)}: {shortened(value)} is out of range") from None


def check(settings: Any) -> None:
    """Refuse values outside a field's choices or bounds, in one line that names the flag.

    Numbers have bounds of their own: what a 32-bit float and a 64-bit integer hold.
    """
    for field in fields_of(type(settings)):
        value, rules = getattr(settings, field.name), field.metadata
        if value is None:
            continue
        items = value if isinstance(value, tuple) else (value,)
        for item in items:
            if isinstance(item, float) and not math.isfinite(item):
                raise BadInput(f"{flag_of(field)}: {item} is not a finite number")
        twice = [item for item in items if items.count(item) > 1]
        if twice:
            raise BadInput(f"{flag_of(field)}: {shortened(twice[0])} stands there twice; name each once")
        if rules["choices"] and value not in rules["choices"]:
            words = [str(choice) for choice in rules["choices"]]
            hint = suggestion(str(value), words)
            raise BadInput(f"{flag_of(field)}: '{shortened(value)}' is not one of {', '.join(words)}{hint}")
        for item in items:
            _check_bounds(field, item)


def _check_bounds(field: dataclasses.Field[Any], value: Any) -> None:
    for rule, holds, words in (
        ("minimum", operator.ge, "at least"),
        ("above", operator.gt, "above"),
        ("below", operator.lt, "below"),
        ("maximum", operator.le, "at most"),
    ):
        bound = field.metadata[rule]
        if bound is not None and not holds(value, bound):
            raise BadInput(f"{flag_of(field)}: {shortened(value)} is out of range; it must be {words} {bound}")
    largest = {float: LARGEST_NUMBER, int: LARGEST_WHOLE}.get(type(value))
    if largest is not None and abs(value) > largest:
        raise BadInput(f"{flag_of(field)}: {shortened(value)} is out of range; it must be at most {largest:.3g}")


def refuse_unknown(given: Iterable[str], *settings_types: type) -> None:
    """Refuse names, given from Python, that no field of these settings types has, with the one that is nearest."""
    names = [field.name for settings_type in settings_types for field in fields_of(settings_type)]
    for name in given:
        if name not in names:
            raise BadInput(f"unknown setting {shortened(name)}; {nearest(name, names)}")
