"""Settings: one field is the default, the flag, the environment name, the folder tag and the help text.

A settings type is a frozen dataclass whose fields are made by :func:`setting`. Nothing about an option is written
anywhere else: the parser, ``--help``, the shell programs' environment and the names of output folders are all read
from the fields.
"""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Collection, Mapping, Sequence
from typing import Any, TypeVar

from brittle.bad_input import BadInput, shortened
from brittle.environment import home, load_dotenv
from brittle.lists import LARGEST_SEED, names_in, near_path, nearest, references_in, seeds_in, suggestion
from brittle.values import adopt, check, convert, fields_of, flag_of, refuse_unknown, spellings_of

__all__ = [
    "LARGEST_SEED", "BadInput", "adopt", "as_dictionary", "check", "convert", "fields_of", "flag_of", "folder_tags",
    "from_folder_tags", "home", "load_dotenv", "names_in", "near_path", "nearest", "references_in", "refuse_unknown", "resolve", "seeds_in", "setting",
    "shortened", "spellings_of", "suggestion", "with_default", "with_overrides", "without",
]  # fmt: skip

SettingsType = TypeVar("SettingsType")


def setting(
    default: Any,
    help: str,
    *,
    environment: str | None = None,
    tag: str | None = None,
    tag_if_changed: str | None = None,
    choices: Sequence[Any] | None = None,
    minimum: float | None = None,
    above: float | None = None,
    below: float | None = None,
    maximum: float | None = None,
    flag: str | None = None,
    aliases: Sequence[str] = (),
    may_be_empty: bool = False,
    repeatable: bool = False,
) -> Any:
    """A dataclass field that carries everything there is to know about one option.

    ``tag`` always appears in an output folder's name; ``tag_if_changed`` only when the value is not the default, so
    that documented names stay as documented and different runs still never share a folder. ``minimum`` and ``maximum``
    are inclusive, ``above`` and ``below`` exclusive bounds. ``default=dataclasses.MISSING`` makes the option required.
    A list with a default is not to be emptied unless ``may_be_empty``. ``flag`` is the spelling that help shows, where it
    is not the field's name; ``aliases`` are further ones that go on working. One that is ``repeatable`` may stand on a line
    several times, and is then a list with commas.
    """
    metadata = {
        "help": help, "environment": environment, "tag": tag, "tag_if_changed": tag_if_changed,
        "choices": choices, "minimum": minimum, "above": above, "below": below, "maximum": maximum,
        "flag": flag, "aliases": tuple(aliases), "may_be_empty": may_be_empty, "repeatable": repeatable,
    }  # fmt: skip
    return dataclasses.field(default=default, metadata=metadata)


def with_default(settings_type: type, name: str, default: Any) -> Any:
    """The field of another settings type with its own default here, so that what several commands share is declared once."""
    fields = {field.name: field for field in dataclasses.fields(settings_type)}
    return dataclasses.field(default=default, metadata=fields[name].metadata)


def without(settings_type: type, names: Collection[str], unread: Collection[str] = ()) -> type:
    """The settings of a type but for those in ``names``; those in ``unread`` are not taken from the environment."""
    kept: list[tuple[str, Any, Any]] = []
    for field in fields_of(settings_type):
        if field.name not in names:
            metadata = dict(field.metadata) | ({"environment": None} if field.name in unread else {})
            kept.append((field.name, field.type, dataclasses.field(default=field.default, metadata=metadata)))
    return dataclasses.make_dataclass(settings_type.__name__, kept, frozen=True)


def resolve(
    settings_type: type[SettingsType],
    given: Mapping[str, Any],
    environment: Mapping[str, str] | None = None,
    preset: Mapping[str, Any] | None = None,
) -> SettingsType:
    """Build settings: default, then preset, then environment, then the flags that were typed; then check them."""
    values: dict[str, Any] = {}
    for field in fields_of(settings_type):
        name = field.metadata["environment"]
        if field.name in given:
            values[field.name] = _not_empty(field, adopt(field, given[field.name]))
        elif environment is not None and name and environment.get(name):
            values[field.name] = _not_empty(field, convert(field, environment[name]))
        elif preset and field.name in preset:
            values[field.name] = preset[field.name]
        elif field.default is dataclasses.MISSING:
            raise BadInput(f"{flag_of(field)} is required: {field.metadata['help']}")
    settings = settings_type(**values)
    check(settings)
    return settings


def _not_empty(field: dataclasses.Field[Any], value: Any) -> Any:
    """The value; a list that is empty where the default names something would do nothing, and is refused."""
    if value == () and isinstance(field.default, tuple) and field.default and not field.metadata["may_be_empty"]:
        raise BadInput(f"{flag_of(field)} names nothing; give one or more with commas between them")
    return value


def with_overrides(settings_type: type[SettingsType], overrides: Mapping[str, Any]) -> SettingsType:
    """The defaults, with those of ``overrides`` that the type has a field for; other names are left alone."""
    names = {field.name for field in fields_of(settings_type)}
    return resolve(settings_type, {name: value for name, value in overrides.items() if name in names})


def _as_text(value: Any) -> str:
    if isinstance(value, tuple):
        return "-".join(map(_as_text, value))
    return value.replace("_", ".") if isinstance(value, str) else str(value)


def folder_tags(*settings: Any) -> str:
    """The part of an output folder's name that settings decide: ``ep1_lr1e-05_bs4_a100.0_ly5-6-7``.

    Tags that always appear come first, in field order; then those whose value is not the default.
    """
    pairs = [(field, getattr(part, field.name)) for part in settings for field in fields_of(type(part))]
    always = [f"{field.metadata['tag']}{_as_text(value)}" for field, value in pairs if field.metadata["tag"]]
    changed = [
        f"{field.metadata['tag_if_changed']}{_as_text(value)}"
        for field, value in pairs
        if field.metadata["tag_if_changed"] and value != field.default
    ]
    return "_".join(always + changed)


TEXTUAL = (str, bool, tuple[str, ...], str | None)
"""Types whose values do not begin with a digit in a folder's name."""


def from_folder_tags(settings_type: type[SettingsType], tags: str) -> SettingsType:
    """Read back what :func:`folder_tags` wrote; fields without a tag keep their defaults."""
    values: dict[str, Any] = {}
    by_tag = {field.metadata["tag"] or field.metadata["tag_if_changed"]: field for field in fields_of(settings_type)}
    for part in tags.split("_"):
        for tag in sorted(filter(None, by_tag), key=len, reverse=True):
            rest = part.removeprefix(tag)
            if rest != part and (not rest or rest[0].isdigit() or rest[:1] == "-" or by_tag[tag].type in TEXTUAL):
                field = by_tag[tag]
                if typing.get_origin(field.type) is tuple:
                    rest = rest.replace("-", ",")
                if field.type in (str, str | None, tuple[str, ...]):
                    rest = rest.replace(".", "_")
                values[field.name] = convert(field, rest)
                break
    return settings_type(**values)


def as_dictionary(settings: Any) -> dict[str, Any]:
    """The settings as plain JSON values, for records."""
    return {key: list(value) if isinstance(value, tuple) else value for key, value in vars(settings).items()}
