"""One import at a time: sessions are threads, and ``transformers`` replaces its own module while it is imported."""

from __future__ import annotations

import importlib
import threading
from typing import Any

_one_at_a_time = threading.RLock()
OF_MODELS = ("generation", "loading", "room", "likelihood", "tuned_lens", "whole")
"""Files of ``brittle.models`` that pages use."""


def module(name: str) -> Any:
    """A module of the project, once no other thread is importing one."""
    with _one_at_a_time:
        return importlib.import_module(name)


def models() -> None:
    """Have ``brittle.models`` imported; called before anything of it is used."""
    for name in OF_MODELS:
        module(f"brittle.models.{name}")
    module("brittle.runs.laboratory_models")


def warm() -> None:
    """Import what pages need while the first one is read; nothing waits for it."""

    def work() -> None:
        module("brittle.app.experiment")
        models()

    threading.Thread(target=work, daemon=True).start()
