"""CONTRIBUTING.md is followed literally, recipe by recipe, in a copy of the repository: written, then run as it says."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from documented_commands import ROOT, commands_in, run

GUIDE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
RECIPES = dict(re.findall(r"^## Add an? (\w+)\n(.*?)(?=^## |\Z)", GUIDE, re.DOTALL | re.M))
EDIT = re.compile(r"In `([\w/.]+)`(, at the end|, in `(\w+)`)?[^`]*:\n\n```(?:python)?\n(.*?)```", re.DOTALL)
COPIED = ("src", "tests", "docs", "unlearn", "experiment", "benchmarks")
CACHES = shutil.ignore_patterns("__pycache__", "*.png")


def test_there_is_a_recipe_for_each_thing_that_is_added() -> None:
    assert list(RECIPES) == ["method", "diagnostic", "attack", "architecture", "suite"]
    for title, text in RECIPES.items():
        blocks = text.count("```") // 2 - text.count("```bash")
        assert len(EDIT.findall(text)) == blocks, f"a block of '{title}' does not say where it belongs"


def follow(root: Path, path: str, at_the_end: bool, inside: str, block: str) -> None:
    """Write a new file, or add the block at a file's end or inside a table of it."""
    file = root / path
    if inside:
        opening = re.compile(rf"^{inside}\b.*[({{]$", re.M)
        text = file.read_text(encoding="utf-8")
        assert len(opening.findall(text)) == 1, f"{path} has no one table {inside}"
        file.write_text(opening.sub(lambda line: f"{line[0]}\n{block.rstrip()}", text), encoding="utf-8")
    else:
        assert file.exists() == at_the_end, f"{path}: a recipe makes new files, and adds to those there are"
        with open(file, "a", encoding="utf-8") as end:
            end.write("\n\n" * at_the_end + block)


@pytest.mark.end_to_end
@pytest.mark.skipif(shutil.which("uv") is None, reason="the commands start with uv")
@pytest.mark.parametrize("title", RECIPES)
def test_recipe_is_found_and_runs(title: str, tmp_path: Path) -> None:
    root = tmp_path / "checkout"
    for name in COPIED:
        shutil.copytree(ROOT / name, root / name, ignore=CACHES)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, root / name)
    for path, where, inside, block in EDIT.findall(RECIPES[title]):
        follow(root, path, where == ", at the end", inside, block)
    for command in commands_in(RECIPES[title]):
        result = run(command, root, PYTHONPATH=str(root / "src"))
        said = result.stdout + result.stderr
        assert result.returncode == 0, f"{command}\n{said[-3000:]}"
        assert "no tests ran" not in said and not re.search(r"^\d+ deselected", said, re.M), command
