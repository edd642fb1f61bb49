"""What ``brittle app`` hands to the app that it starts: where results and models lie, how much may be loaded."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

VARIABLE = "BRITTLE_APP"
"""The environment variable that carries it, as JSON."""


@dataclass(frozen=True)
class Started:
    """What the app was started with; the defaults are those of a page that is tested without the command."""

    outroot: str = "outputs"
    models: str = "unlearned_models"
    most_models: int = 3
    device: str = "auto"
    dtype: str = "auto"

    def to_environment(self) -> dict[str, str]:
        """The variable that :func:`started` reads."""
        return {VARIABLE: json.dumps(asdict(self))}

    @property
    def results(self) -> Path:
        """The folder below which results are looked for."""
        return Path(self.outroot).expanduser()


def started() -> Started:
    """What this app was started with."""
    return Started(**json.loads(os.environ.get(VARIABLE, "{}")))
