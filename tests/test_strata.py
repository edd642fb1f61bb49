"""Each layer imports only from lower ones; only ``models`` knows transformers; help needs no torch."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "src" / "brittle"
STRATA = {
    "version": 0, "bad_input": 0, "progress": 0, "progress_voice": 0, "progress_log": 0, "lists": 0, "hub": 0, "percentages": 0, "environment": 0, "values": 0, "settings": 0, "leases": 0, "places": 0,
    "stopping": 0, "problems": 0, "source": 0, "discovery": 0, "records": 0, "tables": 0, "contracts": 0, "tracking": 0,
    "mathematics": 1, "data": 2, "models": 2, "training": 3,
    "methods": 4, "diagnostics": 4, "attacks": 4, "evaluation": 4,
    "results": 5, "suites": 5, "figures": 6, "views": 7, "runs": 7, "sweeps": 7.5, "app": 7.7, "commands": 8, "python_interface": 9, "command_line": 9,
    "__init__": 9,
}  # fmt: skip
ONLY = {
    "data": {"data"},
    "suites": {"suites", "data", "models"},
    "results": {"results", "mathematics"},
    "figures": {"figures", "results", "mathematics"},
    "views": {"views", "figures", "results", "mathematics"},
    "app": {
        "app", "results", "views", "figures", "models", "data", "suites", "sweeps.state", "runs.laboratory_models", "runs.data_check",
        "diagnostics.layerwise_accuracy",
    },
}  # fmt: skip
"""What a folder may read above stratum 0, where the strata alone would allow more: folders, or single files of them."""
PLUGINS = ("methods", "diagnostics", "attacks")
FILES = sorted(PACKAGE.rglob("*.py"))


def part(path: Path) -> str:
    inside = path.relative_to(PACKAGE)
    return inside.parts[0] if len(inside.parts) > 1 else inside.stem


def imports(path: Path) -> set[str]:
    """Every module that a file imports, also inside functions and for types."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_file_imports_from_lower_strata_only(path: Path) -> None:
    own = part(path)
    for module in imports(path):
        if not module.startswith("brittle."):
            continue
        other = module.split(".")[1]
        if other not in STRATA:  # a name of the package itself, such as its version
            continue
        allowed = STRATA[other] < STRATA[own] or other == own or STRATA[own] in (0, 9) and STRATA[other] == STRATA[own]
        assert allowed, f"{module} stands as high as {own}, or higher"
        if own in ONLY and STRATA[other] > 0:
            inside = module.removeprefix("brittle.")
            single = any(f"{inside}.".startswith(f"{name}.") for name in ONLY[own] if "." in name)
            package = any(name.startswith(f"{inside}.") for name in ONLY[own])  # of which a file is imported
            assert other in ONLY[own] or single or package, f"{own} must not read {module}"
        if own in PLUGINS and other == own:
            assert module.count(".") < 2, f"plugins never import each other: {module}"


def test_no_file_imports_itself_by_a_detour() -> None:
    """No circle of files either, also none through functions or types."""
    names = {".".join(("brittle", *path.relative_to(PACKAGE).with_suffix("").parts)): path for path in FILES}
    names = {name.removesuffix(".__init__"): path for name, path in names.items()}
    graph = {name: (imports(path) & names.keys()) - {"brittle"} for name, path in names.items()}
    for name, path in names.items():
        if path.name == "__init__.py":  # a package may offer what lies in it
            graph[name].discard(name)
    for name in graph:  # a submodule runs its package first; a package that offers a submodule is no detour
        graph[name] -= {".".join(name.split(".")[:depth]) for depth in range(1, name.count(".") + 1)}
    while leaves := [name for name, needed in graph.items() if not needed]:
        for leaf in leaves:
            del graph[leaf]
        graph = {name: needed - set(leaves) for name, needed in graph.items()}
    assert not graph, f"these import each other: {sorted(graph)}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_only_models_imports_transformers(path: Path) -> None:
    assert part(path) == "models" or not any(name.split(".")[0] == "transformers" for name in imports(path))


def test_no_drawer_for_everything_and_no_long_file() -> None:
    assert not [path for path in FILES if path.stem in ("utils", "common", "helpers")]
    assert not [path for path in FILES if len(path.read_text().splitlines()) > 300]
    functions = (
        (path.name, each.name, (each.end_lineno or 0) - each.lineno + 1)
        for path in FILES for each in ast.walk(ast.parse(path.read_text())) if isinstance(each, ast.FunctionDef)
    )  # fmt: skip
    assert not [each for each in functions if each[2] > 60]


def test_help_of_every_command_needs_no_torch() -> None:
    code = """
import sys
from brittle.command_line import main
from brittle.commands import COMMANDS
for arguments in [["--help"], *([name, "--help"] for name in COMMANDS)]:
    try:
        main(None, arguments)
    except SystemExit as end:
        assert end.code == 0, arguments
heavy = [name for name in ("torch", "transformers", "pandas", "sklearn") if name in sys.modules]
print("heavy:", heavy)
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip().endswith("heavy: []")


def test_what_a_command_refuses_needs_no_torch() -> None:
    """The modules of all commands, which a refused flag or file never goes beyond."""
    names = [f"brittle.commands.{path.stem}" for path in sorted((PACKAGE / "commands").glob("*.py"))]
    program = (
        f"import importlib, sys; [importlib.import_module(name) for name in {names}]; print('torch' in sys.modules)"
    )
    shown = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (shown.stdout.strip(), shown.stderr) == ("False", "")
