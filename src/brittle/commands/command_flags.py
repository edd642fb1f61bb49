"""The parser of a command: its flags, and what ``--help`` says of each is what the command does."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from brittle import discovery, progress
from brittle.commands.options import GROUPS, Command, Environment, Given
from brittle.commands.parser import CONFIG, HELP, Parser
from brittle.settings import fields_of

OF_PLUGINS = {
    "methods": "Settings of methods", "attacks": "Settings of attacks", "diagnostics": "Settings of diagnostics",
}  # fmt: skip
Defaults = dict[str, dict[Any, list[str]]]
"""By setting: each default, with the plugins that have it."""


def parser_of(prog: str, command: Command, only: str | None = None) -> Parser:
    """The parser of a command; with ``only``, of one method, diagnostic or attack, with its own defaults.

    BadInput if there is none of that name.
    """
    notes: list[str] = []
    if only and command.folder:
        plugin = discovery.plugins(command.folder).get(only) or (
            discovery.plugins("evaluation").get(only) if command.folder == "diagnostics" else None
        )
        plugin = plugin or discovery.find(command.folder, only)
        notes = [f"{plugin.name}: {plugin.summary}", *_presets(plugin)]
    parser = Parser(prog, command.summary, command.examples, notes, list(GROUPS))
    required = command.required({command.positional: only} if only and command.positional else {})
    defaults = _defaults(command.folder, only)
    own_titles = {name: title for title, names in GROUPS.items() for name in names}
    for settings_type, used_by in command.settings(only) if only else command.settings():
        plugins = settings_type.__name__ == "Settings"
        readers = {} if only else used_by
        words = {
            field.name: describe(
                field, readers.get(field.name, ()), defaults if plugins else {}, field.name in required
            )
            for field in fields_of(settings_type)
        }
        training = settings_type.__name__ == "TrainingSettings"
        group = OF_PLUGINS.get(command.folder, "Settings") if plugins else "Training" if training else own_titles
        parser.add(settings_type, words, group)
    if command.positional:
        must = command.positional in required and command.positional not in parser.spellings().values()
        parser.takes(
            command.positional, command.positional_help + (" [required]" if must else ""), must, command.several
        )
    names = tuple(discovery.plugins(command.folder)) if command.folder else command.choices
    parser.choices({command.positional: names} if command.positional else {})
    return parser


def read(prog: str, command: Command, arguments: Sequence[str]) -> Given | str:
    """What was typed and what the file of ``--config`` says, by setting's name; or the text of help, if that was asked for.

    BadInput: something is unknown, contradicts itself or is missing; a command that lacks what it requires says what it
    does, and how it is called.
    """
    parser = parser_of(prog, command)
    typed = parser.read(arguments)
    path, asked = typed.pop(CONFIG, None), typed.pop(HELP, False)
    given = {**(_of_file(path, parser, command) if path is not None else {}), **typed}
    if asked:
        only = str(given.get(command.positional) or "").strip()
        alone = command.folder and only and len(only.replace(",", " ").split()) == 1
        return (parser_of(prog, command, only) if alone else parser).help_text()
    if missing := command.required(given):
        names = [parser.shown(name) for name in missing]
        example = f"; for example: {command.examples[0]}" if command.examples else ""
        parser.refuse(f"{command.summary}; it needs {' and '.join(names)}{example}")
    return given


def _of_file(path: str, parser: Parser, command: Command) -> Given:
    from brittle.commands import configuration_file  # YAML costs a tenth of what help may take

    known = parser.spellings() | ({command.positional: command.positional} if command.positional else {})
    return configuration_file.read(path, known, parser.switches())


def overview(_given: Given | None = None, _environment: Environment = None) -> int:
    """Print all commands, one a line."""
    from brittle.commands import COMMANDS

    width = max(map(len, COMMANDS))
    print("brittle: after unlearning, is the knowledge gone or only hidden?\n\ncommands:")
    for name, command in COMMANDS.items():
        print(f"  {name:<{width}}  {command.summary}")
    print(f"\nbrittle COMMAND --help shows a command's flags. Start with: brittle demo\n\n{progress.HELP}")
    return 0


def describe(
    field: dataclasses.Field[Any], readers: Sequence[str] = (), defaults: Defaults | None = None, required: bool = False
) -> str:
    """What help says of a setting: its meaning, who reads it, its default, its environment variable."""
    words = str(field.metadata["help"])
    if readers:
        words += f" [{', '.join(readers)}]"
    by_default = (defaults or {}).get(field.name) or {field.default: []}
    told = [
        _default(value) + (f" ({', '.join(names)})" if len(by_default) > 1 else "")
        for value, names in by_default.items()
    ]
    if any(_tells(value) for value in by_default):
        words += f" (default: {'; '.join(told)})"
    if field.metadata["environment"]:
        words += f" [env: {field.metadata['environment']}]"
    return words + (" [required]" if required or field.default is dataclasses.MISSING else "")


def _tells(value: Any) -> bool:
    """Whether a default says something: nothing, off and none do not."""
    return value is not None and value is not dataclasses.MISSING and value is not False and value not in ("", ())


def _default(value: Any) -> str:
    if isinstance(value, tuple):
        return ",".join(map(str, value)) or "none"
    if value is None or isinstance(value, bool):
        return {True: "on", False: "off", None: "none"}[value]
    text = str(value)
    return text if len(text) <= 40 else text.replace(",", ", ")  # long lists break between their items


def _defaults(folder: str, only: str | None) -> Defaults:
    """The defaults of all plugins of a folder (or of one)."""
    found: Defaults = {}
    for name, plugin in discovery.plugins(folder).items() if folder else ():
        if only in (None, name):
            for field in fields_of(plugin.load().Settings):
                value = plugin.variant.get(field.name, field.default)
                found.setdefault(field.name, {}).setdefault(value, []).append(name)
    return found


def _presets(plugin: discovery.Plugin) -> list[str]:
    """What a preset of this plugin sets instead of the defaults."""
    module = plugin.load()
    named: Mapping[str, Mapping[str, Any]] = {
        **{f"--preset {name}": values for name, values in getattr(module, "PRESETS", {}).items()},
        **({"--budget quick": module.QUICK} if getattr(module, "QUICK", {}) else {}),
    }
    return [
        f"{flag} sets " + ", ".join(f"--{name.replace('_', '-')} {_default(value)}" for name, value in values.items())
        for flag, values in named.items()
    ]
