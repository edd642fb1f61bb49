"""Every command of the README and of the pages runs as written, but in the tiny laboratory; the others say what they need."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from documented_commands import PAGES, ROOT, commands_in, examples_in, run

ELSEWHERE = {
    "pip install uv": ".ci/run runs it",
    "uv sync": ".ci/run runs it",
    "uv run brittle demo": ".ci/run and test_demo run it",
    "uv run tests/run_tests.py": "it is running",
}
COMMANDS = list(dict.fromkeys(c for page in PAGES for c in commands_in(page.read_text(encoding="utf-8"))))


def test_readme_has_the_commands_of_set_up_main_job_and_tests_first() -> None:
    assert commands_in((ROOT / "README.md").read_text(encoding="utf-8"))[:4] == list(ELSEWHERE)


def test_the_check_on_a_clean_clone_runs_these_commands() -> None:
    """With --quiet between a program and what it does, and output put aside."""
    lines = [line.replace(" --quiet", "") for line in (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()]
    for command in ELSEWHERE:
        assert any(line == command or line.startswith(f"{command} 2> ") for line in lines), command


def test_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 120


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that looks like a checkout, so that nothing is written into the real one."""
    folder = tmp_path_factory.mktemp("checkout")
    for name in ("create_datasets.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder / name)
    for name in ("experiment", "unlearn", "infer", "sweeps", "src"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


@pytest.mark.end_to_end
@pytest.mark.skipif(shutil.which("uv") is None, reason="the README's commands start with uv")
@pytest.mark.parametrize("command", [c for c in COMMANDS if c not in ELSEWHERE])
def test_command_runs(command: str, workplace: Path) -> None:
    result = run(command, workplace)
    assert result.returncode == 0, result.stderr[-2000:]
    assert "Traceback" not in result.stderr


@pytest.mark.end_to_end
def test_the_example_in_python_runs_on_what_the_commands_left(workplace: Path) -> None:
    (example,) = examples_in((ROOT / "docs" / "commands.md").read_text(encoding="utf-8"))
    assert len(example.strip().splitlines()) <= 10
    done = subprocess.run([sys.executable, "-c", example], capture_output=True, text=True, cwd=workplace)
    assert done.returncode == 0, done.stderr[-2000:]
    assert list((workplace / "compared").glob("*__to__*/weight_comparison/record.json"))
