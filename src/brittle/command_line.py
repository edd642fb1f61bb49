"""The command line: ``brittle COMMAND`` and the documented root scripts, which name their own command.

Bad input, and what the system refuses, is one line on standard error and exit code 2. Building the parser imports no torch.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Sequence

from brittle import problems, progress, stopping, tracking
from brittle.settings import BadInput, load_dotenv
from brittle.version import __version__


def main(command: str | None = None, arguments: Sequence[str] | None = None) -> None:
    """Run a command and exit with its code.

    ``command`` is given by root scripts: a command's name, or the path of a script that is called like the program of
    a diagnostic (``experiment/collect_weight_comparison.py``). Otherwise it is the first argument.

    Exit codes: 0 done, 1 something gave no result or an error of the program itself, 2 bad input or a failure of the
    system (files, disk, memory), 130 and 143 stopped by Ctrl-C and by SIGTERM, 141 nobody reads the output.
    """
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    _write_whatever_the_locale()
    if command is None and os.environ.get(COMPLETING):
        sys.exit(_complete())
    try:
        load_dotenv()
        tracking.follow()
        code = _run(command, progress.configure(_readable(sys.argv[1:] if arguments is None else arguments)))
        sys.stdout.flush()
    except BadInput as problem:
        code = _tell(f"error: {problem}", 2)
    except BrokenPipeError:
        code = _unread(141)
    except KeyboardInterrupt as problem:
        code = getattr(problem, "code", 130)
    except SystemExit:
        raise
    except Exception as problem:
        if os.environ.get(TRACEBACK):
            raise
        code = _failed(problem)
    finally:
        progress.finish()
    sys.exit(code)


COMPLETING = "_BRITTLE_COMPLETE"
"""Set by a shell that asks for words (``brittle completion``)."""
TRACEBACK = "BRITTLE_TRACEBACK"
"""Set to anything, an error is shown with its traceback."""


def _complete() -> int:
    from brittle.commands import shell

    return shell.answer(os.environ[COMPLETING])


def _failed(problem: Exception) -> int:
    if (reason := problems.of_the_system(problem)) is not None:
        code = _tell(f"error: {reason}" + (f"; then {stopping.go_on()}" if stopping.go_on else ""), 2)
        return _unread(code) if problem_of_output(problem) else code
    told = str(problem) if getattr(problem, "where", None) is not None else problems.unforeseen(problem)
    return _tell(f"error: {told}; this is a fault of the program ({TRACEBACK}=1 shows where)", 1)


def problem_of_output(problem: Exception) -> bool:
    """Whether the standard output itself cannot be written to any more: what waits in it would fail again."""
    if not isinstance(problem, OSError) or problem.filename is not None:
        return False
    try:
        sys.stdout.flush()
    except OSError:
        return True
    return False


def _tell(line: str, code: int) -> int:
    progress.error(line)
    return code


def _unread(code: int) -> int:
    """Drop what waits to be written to a standard output that cannot be written to."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return code


def _write_whatever_the_locale() -> None:
    """Replace characters that the terminal's encoding lacks; files are UTF-8 whatever it is."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def _readable(arguments: Sequence[str]) -> list[str]:
    """The arguments, or BadInput where one is not text: its bytes are no UTF-8, which no file of ours could hold."""
    for number, argument in enumerate(arguments, 1):
        try:
            os.fsencode(argument).decode("utf-8")
        except UnicodeError:
            shown = argument.encode("ascii", "backslashreplace").decode()[:80]
            raise BadInput(f"argument {number} ({shown}) is not UTF-8 text; write it in UTF-8") from None
    return list(arguments)


def _run(command: str | None, arguments: list[str]) -> int:
    if command is None and arguments[:1] == ["--version"]:
        print(f"brittle {__version__}")
        return 0
    from brittle import commands
    from brittle.commands import command_flags

    if command is None:
        if not arguments or arguments[0] in ("-h", "--help"):
            return command_flags.overview()
        command = arguments.pop(0)
    if command == "help" and arguments and not arguments[0].startswith("-"):
        command, arguments = arguments[0], [*arguments[1:], "--help"]
    chosen = commands.find(command)
    prog = os.path.basename(command) if command.endswith(".py") else f"brittle {command}"
    given = command_flags.read(prog, chosen, arguments)
    if isinstance(given, str):
        print(given)
        return 0
    with stopping.heeded(chosen.goes_on):
        try:
            return chosen.run(given, dict(os.environ))
        except KeyboardInterrupt:
            _tell(stopping.sentence(chosen.goes_on), 0)
            raise
