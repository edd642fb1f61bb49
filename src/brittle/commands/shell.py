"""``brittle completion``: what a shell needs to complete commands, flags, choices and names; click writes and answers it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click
from click.shell_completion import CompletionItem, ShellComplete, get_completion_class, shell_complete

from brittle import discovery
from brittle.commands.options import Environment, Given
from brittle.settings import BadInput, nearest

SHELLS = ("bash", "zsh", "fish")
VARIABLE = "_BRITTLE_COMPLETE"
"""Set by the shell when it asks for words: which shell it is (see :mod:`brittle.command_line`)."""
INSTALL = {
    "bash": "echo 'eval \"$(brittle completion bash)\"' >> ~/.bashrc",
    "zsh": "echo 'eval \"$(brittle completion zsh)\"' >> ~/.zshrc",
    "fish": "brittle completion fish > ~/.config/fish/completions/brittle.fish",
}


class Commands(click.Group):
    """All commands, each read only when its turn comes."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Their names."""
        from brittle.commands import COMMANDS

        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """One of them with its flags, and what its argument without a flag may be."""
        from brittle.commands import COMMANDS
        from brittle.commands.command_flags import parser_of

        if cmd_name not in COMMANDS:
            return None
        command = COMMANDS[cmd_name]
        parser = parser_of(f"brittle {cmd_name}", command)
        parser.short_help = command.summary
        words = tuple(discovery.plugins(command.folder)) if command.folder else command.choices
        for parameter in parser.params:
            if isinstance(parameter, click.Argument) and (words or cmd_name == "help"):
                offered = words or tuple(COMMANDS)
                parameter._custom_shell_complete = _offer(offered)
        return parser


def _offer(words: Sequence[str]) -> Any:
    return lambda _context, _parameter, incomplete: [
        CompletionItem(word) for word in words if word.startswith(incomplete)
    ]


def completion(given: Given, _environment: Environment) -> int:
    """Print the program that a shell runs to learn the completion."""
    shell = str(given["shell"])
    kind = _class(shell)
    if kind is None:
        raise BadInput(f"brittle completion: unknown shell '{shell}'; {nearest(shell, SHELLS)}")
    print(ShellComplete.source(kind(Commands("brittle"), {}, "brittle", VARIABLE)))
    print(f"# to keep it: {INSTALL[shell]}")
    return 0


def _class(shell: str) -> type[ShellComplete] | None:
    return get_completion_class(shell) if shell in SHELLS else None


def answer(instruction: str) -> int:
    """Print the words that a shell asks for."""
    return shell_complete(Commands("brittle"), {}, "brittle", VARIABLE, instruction)
