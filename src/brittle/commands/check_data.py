"""``brittle check-data``: what was understood of a file of texts or questions, before anything is trained or measured."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from brittle.commands.options import SettingsTypes
from brittle.runs.data_check import CheckSettings, check
from brittle.settings import BadInput, resolve


def check_settings(_only: str | None = None) -> SettingsTypes:
    """How a file is read."""
    return [(CheckSettings, {})]


def run(given: dict[str, Any], environment: Mapping[str, str] | None = None) -> int:
    """The command: refuse what cannot be carried out, print what was understood."""
    file = given.pop("file", None)
    settings = resolve(CheckSettings, given, environment)
    if "max_length" in given and not settings.model:
        raise BadInput("--max-length is read with --model only; add it or leave --max-length out")
    for line in check(file, settings):
        print(line)
    return 0
