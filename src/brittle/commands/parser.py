"""Arguments to settings by name, and ``--help``: one flag per settings field, read by click.

Click, and neither typer nor cyclopts, because a command's flags are made while it runs, from the settings dataclasses of
whatever plugins there are; the others read a function's signature. It also completes words for three shells. Importing it
takes 0.07 s of processor time (typer 0.09 s); the help of a command with all its plugins comes after 0.2 to 0.33 s. Values stay text here: flags, variables and
files are all turned into values, and refused, in one place (:func:`brittle.settings.resolve`).
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NoReturn

import click
from click.core import ParameterSource
from click.shell_completion import CompletionItem

from brittle import progress
from brittle.settings import BadInput, fields_of, flag_of, shortened, spellings_of, suggestion

NUMBER = re.compile(r"-\.?\d.*")
HELP, CONFIG = "help", "config"


class Flag(click.Option):
    """One spelling of one setting. The first spelling is shown in help; further ones are hidden and fill the same setting."""

    def __init__(self, names: Sequence[str], setting: str, words: str = "", group: str = "", **options: Any) -> None:
        super().__init__(list(names), **options)
        self.setting, self.words, self.group = setting, words, group
        self.choices: tuple[str, ...] = ()

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        """The flag as it is typed, and its words."""
        if self.hidden:
            return None
        shown = ", ".join(self.opts) + (f" / {self.secondary_opts[0]}" if self.secondary_opts else "")
        return (shown if self.is_flag else f"{shown} {self.metavar}", self.words)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Choices; otherwise files."""
        if self.choices:
            return [CompletionItem(word) for word in self.choices if word.startswith(incomplete)]
        return [CompletionItem(incomplete, type="file")]


class Parser(click.Command):
    """The flags of one command: what is typed becomes settings by name; what is wrong is one line with the nearest flag."""

    def __init__(
        self,
        prog: str,
        summary: str = "",
        examples: Sequence[str] = (),
        notes: Sequence[str] = (),
        titles: Sequence[str] = (),
    ) -> None:
        settings = {"max_content_width": 110, "allow_extra_args": True}
        super().__init__(prog, add_help_option=False, context_settings=settings)
        self.prog, self.summary, self.examples, self.notes, self.titles = prog, summary, examples, notes, titles
        self.word, self.usage = "", "[FLAGS]"
        self.own("--help", HELP, "show this and exit", flags=("-h",), is_flag=True)
        self.own("--config", CONFIG, "YAML file of flags by name; flags on the line win over it", metavar="FILE.yaml")

    def own(self, flag: str, name: str, words: str, flags: Sequence[str] = (), **options: Any) -> None:
        """Add a flag that is no setting."""
        self.params.append(Flag([name, flag, *flags], name, words, "Help and configuration", **options))

    def add(self, settings_type: type, words: Mapping[str, str] = {}, group: Mapping[str, str] | str = "") -> None:  # noqa: B006
        """Add the flags of a settings type; one that several types share is added once.

        ``words`` are help texts by setting, ``group`` the titles (or the one title) under which help shows them.
        """
        taken = {flag for parameter in self.params for flag in (*parameter.opts, *parameter.secondary_opts)}
        for field in fields_of(settings_type):
            spelled = [flag for flag in spellings_of(field) if flag not in taken]
            if flag_of(field) not in spelled:
                continue
            title = group if isinstance(group, str) else group.get(field.name, "Settings")
            told = words.get(field.name) or field.metadata["help"]
            for number, flag in enumerate(spelled):
                self.params.append(_option(field, flag, number, told, title or "Settings"))
                taken.add(flag)

    def takes(self, word: str, words: str = "", required: bool = False, several: bool = False) -> None:
        """Add the argument without a flag; of ``several`` words one text is made, with commas between them."""
        self.word = word
        shown = word.upper() + (" ..." if several else "")
        self.usage += f" {shown}" if required else f" [{shown}]"
        self.params.append(click.Argument(["word"], required=False, metavar=word.upper(), nargs=-1 if several else 1))
        self.notes = [*self.notes, f"{word.upper()}: {words}"] if words else self.notes

    def read(self, arguments: Iterable[str]) -> dict[str, Any]:
        """What was typed, by setting's name: text, or True and False for switches. Raises BadInput."""
        arguments = list(arguments)
        try:
            context = self.make_context(self.prog, list(arguments))
        except click.NoSuchOption as problem:
            typed = next((word for word in arguments if word.startswith(problem.option_name)), problem.option_name)
            self.unknown(typed)
        except click.BadOptionUsage as problem:
            takes = "takes no value" if "not take" in problem.message else "expected one argument"
            self.refuse(f"argument {problem.option_name}: {takes}")
        except click.UsageError as problem:
            self.refuse(problem.format_message())
        given = self._given(context)
        if context.args:
            self.unknown(context.args[0])
        return given

    def _given(self, context: click.Context) -> dict[str, Any]:
        """The values of the parameters that were typed; two spellings of one setting must agree."""
        given: dict[str, Any] = {}
        spelled: dict[str, str] = {}
        for parameter in self.params:
            if context.get_parameter_source(str(parameter.name)) is not ParameterSource.COMMANDLINE:
                continue
            value = context.params[str(parameter.name)]
            if isinstance(value, tuple):
                value = ",".join(value)
            name = parameter.setting if isinstance(parameter, Flag) else self.word
            flag = parameter.opts[0] if isinstance(parameter, Flag) else name.upper()
            if isinstance(parameter, Flag) and not parameter.is_flag and _is_flag(value):
                self.refuse(f"argument {flag}: expected one argument")
            if name in given and given[name] != value:
                self.refuse(
                    f"{spelled[name]} {shortened(given[name])} and {flag} {shortened(value)} contradict each other"
                )
            given[name], spelled[name] = value, flag
        return given

    def unknown(self, typed: str) -> NoReturn:
        """Refuse a word that is no flag of this command."""
        flags = [flag for parameter in self.params if isinstance(parameter, Flag) for flag in _flags(parameter)]
        self.refuse(f"unknown argument {shortened(typed)}{suggestion(typed.split('=')[0], flags)}")

    def refuse(self, message: str) -> NoReturn:
        """One line that says where help is."""
        raise BadInput(f"{self.prog}: {message} (see {self.prog} --help)")

    def choices(self, choices: Mapping[str, Sequence[str]]) -> None:
        """Words that a shell offers for a setting, by its name."""
        for parameter in self.params:
            if isinstance(parameter, Flag) and parameter.setting in choices:
                parameter.choices = tuple(choices[parameter.setting])

    def flags(self) -> list[Flag]:
        """The flags that set something."""
        return [one for one in self.params if isinstance(one, Flag) and one.setting not in (HELP, CONFIG)]

    def spellings(self) -> dict[str, str]:
        """Every spelling, without its dashes, with the setting that it sets."""
        return {spelled.removeprefix("--"): flag.setting for flag in self.flags() for spelled in flag.opts}

    def switches(self) -> frozenset[str]:
        """The settings that are on or off."""
        return frozenset(flag.setting for flag in self.flags() if flag.is_flag)

    def shown(self, setting: str) -> str:
        """A setting as it is typed: its flag, or the name of the argument without one."""
        return next((flag.opts[0] for flag in self.flags() if flag.setting == setting), setting.upper())

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Usage, what the command does, examples, then flags by group."""
        formatter.write_usage(self.prog, self.usage)
        with formatter.indentation():
            for text in (self.summary, *self.notes):
                formatter.write_paragraph()
                indent = " " * formatter.current_indent
                formatter.write(click.formatting.wrap_text(text, formatter.width, indent, indent) + "\n")
        if self.examples:
            with formatter.section("Examples"):
                for example in self.examples:
                    formatter.write(" " * formatter.current_indent + example + "\n")
        groups: dict[str, list[tuple[str, str]]] = {title: [] for title in self.titles}
        for parameter in self.params:
            record = parameter.get_help_record(ctx) if isinstance(parameter, Flag) else None
            if record:
                groups.setdefault(parameter.group, []).append(record)  # type: ignore[attr-defined]
        last = groups.pop("Help and configuration")
        for title, records in [*groups.items(), ("Help and configuration", last)]:
            if records:
                with formatter.section(title):
                    formatter.write_dl(records)
        formatter.write(f"\n{progress.HELP}\n")

    def help_text(self) -> str:
        """The text of ``--help``."""
        return self.get_help(click.Context(self, info_name=self.prog, **self.context_settings))


def _option(field: dataclasses.Field[Any], flag: str, number: int, words: str, group: str) -> Flag:
    """The option of one spelling of a setting; those after the first are hidden."""
    name = field.name if number == 0 else f"{field.name}__{number}"
    if number == 0 and field.metadata["aliases"]:
        words += f" (also {', '.join(field.metadata['aliases'])})"
    if field.type is bool:
        switch = f"{flag}/--no-{flag.removeprefix('--')}" if field.default is True else flag
        return Flag([name, switch], field.name, words, group, is_flag=True, default=None, hidden=number > 0)
    choices = field.metadata["choices"]
    metavar = "|".join(map(str, choices)) if choices else flag.removeprefix("--").replace("-", "_").upper()
    several = bool(field.metadata.get("repeatable"))
    made = Flag([name, flag], field.name, words, group, metavar=metavar, hidden=number > 0, multiple=several)
    made.choices = tuple(map(str, choices or ()))
    return made


def _flags(flag: Flag) -> list[str]:
    return [*flag.opts, *flag.secondary_opts]


def _is_flag(value: str) -> bool:
    """Whether a value looks like a flag: one that was left out before the next flag."""
    return value.startswith("-") and value != "-" and not NUMBER.fullmatch(value)
