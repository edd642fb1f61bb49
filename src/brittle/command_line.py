"""The command line: ``brittle COMMAND`` and the documented root scripts, which name their own command.

Bad input is one line on standard error and exit code 2. Building the parser imports no torch.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from brittle import __version__, tracking
from brittle.settings import BadInput, Parser, add_flags, load_dotenv


def main(command: str | None = None, arguments: Sequence[str] | None = None) -> None:
    """Run a command and exit with its code.

    ``command`` is given by root scripts: a command's name, or the path of a script that is called like the program of
    a diagnostic (``experiment/collect_weight_comparison.py``). Otherwise it is the first argument.
    """
    load_dotenv()
    tracking.follow()
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    try:
        code = _run(command, list(sys.argv[1:] if arguments is None else arguments))
    except BadInput as problem:
        print(f"error: {problem}", file=sys.stderr)
        code = 2
    except KeyboardInterrupt:
        print("stopped; the same command goes on where this one was", file=sys.stderr)
        code = 130
    sys.exit(code)


def _run(command: str | None, arguments: list[str]) -> int:
    if command is None:
        if not arguments or arguments[0] in ("-h", "--help"):
            print(_overview())
            return 0
        if arguments[0] == "--version":
            print(f"brittle {__version__}")
            return 0
        command = arguments.pop(0)
    from brittle import commands

    chosen = commands.find(command)
    parser = Parser(
        prog=os.path.basename(command) if command.endswith(".py") else f"brittle {command}",
        description=chosen.summary,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    for settings_type, used_by in chosen.settings():
        add_flags(parser, settings_type, used_by)
    if chosen.positional:
        parser.add_argument(chosen.positional, nargs=None if chosen.required else "?", help=chosen.positional_help)
    given = vars(parser.parse_args(arguments))
    return chosen.run(given, dict(os.environ))


def _overview() -> str:
    from brittle import commands

    width = max(map(len, commands.COMMANDS))
    lines = [f"  {name:<{width}}  {command.summary}" for name, command in commands.COMMANDS.items()]
    return "\n".join([
        "brittle: after unlearning, is the knowledge gone or only hidden?", "", "commands:", *lines, "",
        "brittle COMMAND --help shows a command's flags. Start with: brittle demo",
    ])  # fmt: skip
