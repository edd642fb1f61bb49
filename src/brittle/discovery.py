"""Discovery: the folder is the registry. A file with ``NAME = "cb_lat"`` is a plugin called ``cb_lat``.

Listing parses the files without importing them, so ``--help`` stays fast and needs no torch.
"""

from __future__ import annotations

import ast
import difflib
import importlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from brittle.settings import BadInput


@dataclass(frozen=True)
class Plugin:
    """One plugin: its documented name, the module that holds it and the first line of its docstring."""

    name: str
    module: str
    summary: str
    constants: dict[str, Any]
    path: Path

    @property
    def variant(self) -> dict[str, Any]:
        """The settings that make this plugin of the several that its file declares (``VARIANTS``)."""
        variants: dict[str, dict[str, Any]] = self.constants.get("VARIANTS", {})
        return variants.get(self.name, {})

    @property
    def same_as(self) -> str | None:
        """The plugin that this one is another name or form of (``SAME_AS``): a table with one row per algorithm shows that one."""
        found: dict[str, Any] = self.constants.get("SAME_AS", {})
        return found.get("method")

    @property
    def on_request(self) -> bool:
        """Whether it runs only when asked for by name (``ON_REQUEST``)."""
        return self.name in self.constants.get("ON_REQUEST", ())

    def load(self) -> ModuleType:
        """Import the plugin's file."""
        return importlib.import_module(self.module)


@cache
def plugins(folder: str) -> dict[str, Plugin]:
    """Every plugin of ``brittle/<folder>`` by documented name, without importing any.

    A file declares ``NAME`` or, where one formula has several documented weightings, ``NAMES``. Literal constants
    written in capitals (``STEP``, ``PROGRAM`` …) are read along.
    """
    found: dict[str, Plugin] = {}
    for path in sorted((Path(__file__).parent / folder).glob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        constants = _literal_constants(tree)
        names = constants.get("NAMES") or ([constants["NAME"]] if "NAME" in constants else [])
        for name in names:
            if name in found:
                raise ValueError(f"two plugins are called {name}: {found[name].path} and {path}")
            summary = (ast.get_docstring(tree) or "").partition("\n")[0]
            found[name] = Plugin(name, f"brittle.{folder.replace('/', '.')}.{path.stem}", summary, constants, path)
    return found


def _literal_constants(tree: ast.Module) -> dict[str, Any]:
    constants: dict[str, Any] = {}
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id.isupper():
            try:
                constants[node.targets[0].id] = ast.literal_eval(node.value)
            except ValueError:
                continue
    return constants


def find(folder: str, name: str) -> Plugin:
    """The plugin of that name, or one line that lists the nearest ones."""
    known = plugins(folder)
    if name not in known:
        near = difflib.get_close_matches(name, known, 3) or sorted(known)
        kind = folder.rstrip("s")
        raise BadInput(f"unknown {kind} '{name}'; there is {', '.join(near)} (all: brittle {folder})")
    return known[name]
