"""``brittle app`` and ``infer/run.py``: start the app in a browser, for this machine alone unless told otherwise."""

from __future__ import annotations

import importlib.util
import os
import sys
from dataclasses import dataclass
from pathlib import Path

from brittle import progress
from brittle.app.started import Started
from brittle.commands.options import Environment, Given, SettingsTypes, shared
from brittle.settings import BadInput, resolve, setting

SCRIPT = Path(__file__).parent.parent / "app" / "main.py"
LOCAL = ("localhost", "127.0.0.1", "::1")
INSTALL = "uv sync --extra app"
FIXED = {
    "browser.gatherUsageStats": "false", "server.headless": "true", "server.fileWatcherType": "none", "client.toolbarMode": "viewer",
    "theme.base": "light", "global.developmentMode": "false", "server.maxUploadSize": "200", "runner.magicEnabled": "false",
}  # fmt: skip
"""What Streamlit is told beside address and port: nothing is sent anywhere, no browser is opened, pages are light as figures are."""


@dataclass(frozen=True)
class AppSettings:
    """Where the app is reached, what it shows, and how much it loads."""

    address: str = setting("localhost", "address to listen at; localhost: this machine alone can reach it")
    port: int = setting(8501, "port to listen at", minimum=1, maximum=65535)
    outroot: str = shared("outroot", help="folder below which results are looked for")
    models: str = setting("unlearned_models", "folder below which the app offers models", environment="UNLEARNED_ROOT")
    most_models: int = setting(3, "models kept loaded at once; the one that was not used longest leaves", minimum=1)
    device: str = shared("device")
    dtype: str = shared("dtype")


def app_settings(_only: str | None = None) -> SettingsTypes:
    """The settings of the app."""
    return [(AppSettings, {})]


def app(given: Given, environment: Environment) -> int:
    """Become the app: the process stays the same, so that Ctrl-C and SIGTERM end it.

    Raises:
        BadInput: Streamlit is not installed, or the device is none of this machine's.
    """
    settings = resolve(AppSettings, given, environment)
    if importlib.util.find_spec("streamlit") is None:
        raise BadInput(f"the app needs Streamlit, which is not installed; install it with: {INSTALL}")
    _check_port(settings)
    started = Started(settings.outroot, settings.models, settings.most_models, settings.device, settings.dtype)
    if settings.address not in LOCAL:
        progress.say(
            f"note: everyone who reaches {settings.address}:{settings.port} can read the results that this machine can read, and load "
            "models; there is no password"
        )
    shown = settings.address if ":" not in settings.address else f"[{settings.address}]"
    progress.say(f"the app is at http://{shown}:{settings.port}; Ctrl-C ends it")
    progress.finish()
    os.execve(sys.executable, words(settings), dict(os.environ) | started.to_environment())


def words(settings: AppSettings) -> list[str]:
    """The command that the process becomes."""
    given = FIXED | {"server.address": settings.address, "server.port": str(settings.port)}
    flags = [f"--{name}={value}" for name, value in given.items()]
    return [sys.executable, "-m", "streamlit", "run", str(SCRIPT), *flags]


def _check_port(settings: AppSettings) -> None:
    """Refuse a port that is taken, and an address that is none of this machine's."""
    import socket

    try:
        family = socket.AF_INET6 if ":" in settings.address else socket.AF_INET
        with socket.socket(family) as tried:
            tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            tried.bind((settings.address, settings.port))
    except OSError as problem:
        raise BadInput(
            f"--address {settings.address} --port {settings.port}: cannot listen there ({problem.strerror}); name another --port, "
            "or an address of this machine"
        ) from None
