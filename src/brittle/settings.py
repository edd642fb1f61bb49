"""Settings: one field is the default, the flag, the environment name, the folder tag and the help text.

A settings type is a frozen dataclass whose fields are made by :func:`setting`. Nothing about an option is written
anywhere else: the parser, ``--help``, the shell programs' environment and the names of output folders are all read
from the fields.
"""

from __future__ import annotations

import argparse
import dataclasses
import difflib
import os
import re
import types
import typing
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn, TypeVar

SettingsType = TypeVar("SettingsType")
TRUE_WORDS, FALSE_WORDS = {"1", "true", "yes", "on"}, {"", "0", "false", "no", "off"}


class BadInput(Exception):
    """Something the user can mend: the message is one line that says what, why and what to do. Exit code 2."""

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(message.split()))


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
) -> Any:
    """A dataclass field that carries everything there is to know about one option.

    ``tag`` always appears in an output folder's name; ``tag_if_changed`` only when the value is not the default, so
    that documented names stay as documented and different runs still never share a folder. ``minimum`` and ``maximum``
    are inclusive, ``above`` and ``below`` exclusive bounds. ``default=dataclasses.MISSING`` makes the option required.
    """
    metadata = {
        "help": help, "environment": environment, "tag": tag, "tag_if_changed": tag_if_changed,
        "choices": choices, "minimum": minimum, "above": above, "below": below, "maximum": maximum,
        "flag": flag,
    }  # fmt: skip
    return dataclasses.field(default=default, metadata=metadata)


def with_default(settings_type: type, name: str, default: Any) -> Any:
    """The field of another settings type with another default, for a type that inherits from it."""
    fields = {field.name: field for field in dataclasses.fields(settings_type)}
    return dataclasses.field(default=default, metadata=fields[name].metadata)


def flag_of(field: dataclasses.Field) -> str:
    """The command-line flag of a field, ``steering_coeff`` -> ``--steering-coeff``."""
    return field.metadata.get("flag") or "--" + field.name.replace("_", "-")


def fields_of(settings_type: type) -> list[dataclasses.Field]:
    """The fields with annotations turned into types."""
    hints = typing.get_type_hints(settings_type)
    fields = [field for field in dataclasses.fields(settings_type) if "help" in field.metadata]
    for field in fields:
        field.type = hints[field.name]
    return fields


def convert(field: dataclasses.Field, text: str) -> Any:
    """Turn the text of a flag or of an environment variable into the field's type, or raise :class:`BadInput`."""
    kind = field.type
    if isinstance(kind, types.UnionType):
        kind = next(part for part in typing.get_args(kind) if part is not type(None))
    try:
        if kind is bool:
            if text.lower() not in TRUE_WORDS | FALSE_WORDS:
                raise ValueError
            return text.lower() in TRUE_WORDS
        if typing.get_origin(kind) is tuple:
            item = typing.get_args(kind)[0]
            parts = re.sub(r"(?<=\d)-(?=\d)", " ", text) if item is int else text  # folder names write 5-6-7
            return tuple(item(part) for part in parts.replace(",", " ").split())
        return kind(text)  # type: ignore[operator]
    except ValueError:
        name = getattr(kind, "__name__", str(kind))
        raise BadInput(f"{flag_of(field)}: '{' '.join(text.split())}' is not a valid {name}; see --help") from None


def check(settings: Any) -> None:
    """Refuse values outside a field's choices or bounds, in one line that names the flag."""
    for field in fields_of(type(settings)):
        value, rules = getattr(settings, field.name), field.metadata
        if value is None:
            continue
        for item in value if isinstance(value, tuple) else (value,):
            if isinstance(item, float) and not abs(item) < 3.4e38:
                raise BadInput(f"{flag_of(field)}: {item} is not a finite number of 32 bits")
        if rules["choices"] and value not in rules["choices"]:
            raise BadInput(f"{flag_of(field)}: '{value}' is not one of {', '.join(map(str, rules['choices']))}")
        for item in value if isinstance(value, tuple) else (value,):
            _check_bounds(field, item)


def _check_bounds(field: dataclasses.Field, value: Any) -> None:
    for rule, holds, words in (
        ("minimum", lambda v, b: v >= b, "at least"),
        ("above", lambda v, b: v > b, "above"),
        ("below", lambda v, b: v < b, "below"),
        ("maximum", lambda v, b: v <= b, "at most"),
    ):
        bound = field.metadata[rule]
        if bound is not None and not holds(value, bound):
            raise BadInput(f"{flag_of(field)}: {value} is out of range; it must be {words} {bound}")


LARGEST_SEED = 2**32 - 1
"""The largest seed that every generator here takes (NumPy's legacy generators, scikit-learn)."""


def names_in(text: str, flag: str) -> list[str]:
    """The names that a user wrote, with commas or spaces between them; none, or one twice, is refused."""
    names = text.replace(",", " ").split()
    if not names:
        raise BadInput(f"{flag}: '{text}' names nothing; give one or more with commas between them")
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise BadInput(f"{flag}: {twice} stands there twice; name each once")
    return names


def references_in(text: str, flag: str) -> list[str]:
    """Model references that a user wrote: split at commas, or at spaces where the whole is no folder of that name."""
    if "," not in text and _is_there(text):
        return [text]
    parts = [part.strip() for part in text.split(",") if part.strip()] if "," in text else text.split()
    if not parts:
        raise BadInput(f"{flag}: '{text}' names no model; give a hub id, a folder or laboratory:NAME")
    if twice := next((part for part in parts if parts.count(part) > 1), None):
        raise BadInput(f"{flag}: {twice} stands there twice; name each model once")
    return parts


def _is_there(text: str) -> bool:
    """Whether a path of exactly this spelling exists."""
    try:
        return Path(text).expanduser().exists()
    except (OSError, ValueError, RuntimeError):
        return False


def seeds_in(text: str, flag: str = "--seeds") -> list[int]:
    """The seeds that a user wrote, with commas or spaces between them: distinct whole numbers of at most 32 bits."""
    parts = text.replace(",", " ").split()
    if not parts or not all(part.isascii() and part.isdigit() for part in parts):
        raise BadInput(f"{flag}: '{text}' must be whole numbers with commas between them, for example 42,123,456")
    if long := next((part for part in parts if len(part) > 10 or int(part) > LARGEST_SEED), None):
        raise BadInput(f"{flag}: {long[:20]} is too large; a seed is at most {LARGEST_SEED}")
    seeds = [int(part) for part in parts]
    if len(set(seeds)) < len(seeds):
        raise BadInput(f"{flag}: '{text}' has a seed twice, which would count the same run as two; give distinct ones")
    return seeds


class Parser(argparse.ArgumentParser):
    """The one argument parser: errors are one line, unknown words get a suggestion."""

    def error(self, message: str) -> NoReturn:
        unknown = message.removeprefix("unrecognized arguments: ").split()
        if message.startswith("unrecognized") and unknown:
            near = difflib.get_close_matches(unknown[0].split("=")[0], self._option_string_actions, 1)
            message = f"unknown argument {unknown[0]}" + (f"; did you mean {near[0]}?" if near else "")
        raise BadInput(f"{self.prog}: {message} (see {self.prog} --help)")


def add_flags(parser: argparse.ArgumentParser, settings_type: type, used_by: Mapping[str, Iterable[str]] = {}) -> None:  # noqa: B006
    """Add one flag per field. A flag that several settings types share is added once.

    Only flags that the user typed appear in the parsed namespace, so a caller can tell a default from a choice.
    ``used_by`` maps a field's name to the plugins that read it, for the help text.
    """
    for field in fields_of(settings_type):
        flag = flag_of(field)
        if flag in parser._option_string_actions:
            continue
        words = field.metadata["help"]
        if used_by.get(field.name):
            words += f" [{', '.join(used_by[field.name])}]"
        if field.default not in (None, dataclasses.MISSING, False, ()):
            default = ",".join(map(str, field.default)) if isinstance(field.default, tuple) else field.default
            words += f" (default: {default})"
        if field.metadata["environment"]:
            words += f" (environment: {field.metadata['environment']})"
        common: dict[str, Any] = {"dest": field.name, "default": argparse.SUPPRESS, "help": words.replace("%", "%%")}
        if field.type is bool:
            if field.default is True:
                parser.add_argument(flag, action=argparse.BooleanOptionalAction, **common)
            else:
                parser.add_argument(flag, action="store_true", **common)
        else:
            choices = field.metadata["choices"]
            metavar = "|".join(map(str, choices)) if choices else field.name.upper()
            parser.add_argument(flag, metavar=metavar, **common)


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
            raw = given[field.name]
            raw = os.fspath(raw) if isinstance(raw, os.PathLike) else raw
            values[field.name] = convert(field, raw) if isinstance(raw, str) else raw
        elif environment is not None and name and environment.get(name):
            values[field.name] = convert(field, environment[name])
        elif preset and field.name in preset:
            values[field.name] = preset[field.name]
        elif field.default is dataclasses.MISSING:
            raise BadInput(f"{flag_of(field)} is required: {field.metadata['help']}")
    settings = settings_type(**values)
    check(settings)
    return settings


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


def load_dotenv(path: Path | str = ".env") -> None:
    """Put the lines of a ``.env`` file into the environment; what is already set there wins."""
    path = Path(path)
    if not path.is_file():
        return
    for line in path.read_text(encoding="utf-8").splitlines():
        name, separator, value = line.strip().removeprefix("export ").partition("=")
        if separator and name and not name.startswith("#") and not os.environ.get(name.strip()):
            value = value.strip()
            quoted = value[:1] in ("'", '"')
            os.environ[name.strip()] = value.strip("'\"") if quoted else value.partition(" #")[0].rstrip()


def home() -> Path:
    """The folder for caches (laboratories, model digests). ``BRITTLE_HOME`` moves it."""
    return Path(os.environ.get("BRITTLE_HOME") or Path.home() / ".cache" / "brittle")
