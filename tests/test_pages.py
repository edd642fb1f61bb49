"""The pages: all in the site's contents, each link leads somewhere, scripts are shell, messages are those of the code."""

from __future__ import annotations

import ast
import importlib
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
import yaml
from documented_commands import ROOT

DOCS = ROOT / "docs"
PAGES = sorted(DOCS.glob("*.md"))
WRITTEN_HERE = [*PAGES, ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"]
ELSEWHERE = {"data.md"}
"""Pages that may be absent from the contents."""


def text_of(path: Path) -> str:
    return path.read_text(encoding="utf-8")


@cache
def templates() -> tuple[str, ...]:
    """Every text of the package; what is filled in when it runs is an ellipsis."""
    found = []
    for path in (ROOT / "src" / "brittle").rglob("*.py"):
        for node in ast.walk(ast.parse(text_of(path))):
            if isinstance(node, ast.JoinedStr):
                parts = [part.value if isinstance(part, ast.Constant) else "…" for part in node.values]
                found.append("".join(map(str, parts)))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(node.value)
    return tuple(found)


def test_every_page_is_in_the_contents() -> None:
    contents = set(re.findall(r"^ *- .*: ([\w/]+\.md)$", text_of(ROOT / "mkdocs.yml"), re.M))
    assert contents - ELSEWHERE == {path.name for path in PAGES} - ELSEWHERE


@pytest.mark.parametrize("path", WRITTEN_HERE, ids=lambda path: path.name)
def test_links_lead_to_files(path: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", text_of(path)):
        assert re.match(r"https://", target) or (path.parent / target).exists(), target


@pytest.mark.parametrize("message", re.findall(r"^> (.*)$", text_of(DOCS / "faq.md"), re.M))
def test_message_is_one_that_the_program_says(message: str) -> None:
    assert any(message in template for template in templates())


@pytest.mark.parametrize(
    "script", re.findall(r"^```sh\n(.*?)^```", text_of(DOCS / "installation.md"), re.DOTALL | re.M)
)
def test_script_is_shell_and_starts_programs_that_there_are(script: str) -> None:
    result = subprocess.run(["bash", "-n"], input=script, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    for program in re.findall(r"srun \./(\S+)", script):
        assert (ROOT / program).is_file()


@pytest.mark.parametrize("name", ["memory", "scaling"])
def test_page_is_what_its_program_writes(name: str) -> None:
    sys.path.insert(0, str(DOCS))
    try:
        program = importlib.import_module(f"{name}_page")
    finally:
        sys.path.remove(str(DOCS))
    assert text_of(DOCS / f"{name}.md") == program.page(), f"uv run docs/{name}_page.py"


def test_citation_names_this_version() -> None:
    from brittle import __version__

    citation = yaml.safe_load(text_of(ROOT / "CITATION.cff"))
    assert citation["version"] == __version__ and f"## {__version__}, " in text_of(ROOT / "CHANGELOG.md")


def test_hooks_before_a_commit_are_what_is_checked_afterwards() -> None:
    (repository,) = yaml.safe_load(text_of(ROOT / ".pre-commit-config.yaml"))["repos"]
    checked = text_of(ROOT / ".ci" / "run")
    for hook in repository["hooks"]:
        command = hook["entry"].replace(" --force-exclude", "")
        assert command in checked
