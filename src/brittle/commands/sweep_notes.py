"""What a user's own script asked ``run_unlearn.sh`` for, call by call: arguments and environment, noted in files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from brittle import discovery
from brittle.commands.command_flags import parser_of
from brittle.runs.unlearning_plan import resolved
from brittle.runs.unlearning_settings import MakeSettings
from brittle.settings import BadInput, fields_of
from brittle.sweeps.configurations import Configuration
from brittle.training.hyperparameters import TrainingSettings


def configurations(folder: str, words: Mapping[str, str]) -> list[Configuration]:
    """One configuration for each note, in the order in which they were written.

    ``words`` is this process's own environment, ``.env`` among it; what was noted wins.

    Raises:
        BadInput: there are none, or one asks for what ``brittle unlearn`` refuses.
    """
    from brittle.commands import COMMANDS

    try:
        notes = sorted(Path(folder).iterdir(), key=lambda path: path.stat().st_mtime_ns)
    except OSError as problem:
        raise BadInput(
            f"--noted {folder} cannot be read ({problem.strerror}); parallel_sweep.sh makes that folder"
        ) from None
    parser = parser_of("run_unlearn.sh", COMMANDS["unlearn"])
    found = []
    for path in notes:
        count, *items = path.read_bytes().decode(errors="surrogateescape").split("\0")
        typed, rest = items[: int(count)], items[int(count) :]
        environment = {**words, **dict(item.split("=", 1) for item in rest if "=" in item)}
        given = {"method": typed[0], **parser.read(typed[1:])}
        found.append(Configuration(given, _title(given, environment), resolved(given, environment), environment))
    if not found:
        raise BadInput(f"--noted {folder} holds no notes; run it through parallel_sweep.sh")
    return found


def _title(given: dict[str, str], environment: dict[str, str]) -> str:
    """The method with what flags and environment say of it."""
    types = [MakeSettings, TrainingSettings, discovery.find("methods", given["method"]).load().Settings]
    fields = [field for settings_type in types for field in fields_of(settings_type)]
    named = {
        f.name: environment[f.metadata["environment"]]
        for f in fields
        if environment.get(f.metadata["environment"] or "")
    }
    told = {**named, **{name: value for name, value in given.items() if name != "method"}}
    return " ".join([given["method"], *(f"{name}={value}" for name, value in told.items())])
