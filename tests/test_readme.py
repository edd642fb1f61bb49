"""Every command of the README runs as written, but in the tiny laboratory; the others say what they need."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
NEEDS = ("# needs the hub", "# needs a GPU")
ELSEWHERE = {
    "uv run brittle demo": ".ci/run and test_demo run it",
    "uv run tests/run_tests.py": "it is running",
}
IN_THE_LABORATORY = re.compile(r"laboratory:\w+\b(?!@)")


def commands() -> list[str]:
    """The commands of all blocks that do not say that they need the hub or a GPU."""
    found = []
    for block in re.findall(r"```bash\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL):
        if not block.startswith(NEEDS):
            lines = [line for line in block.splitlines() if line and not line.startswith("#")]
            found += [command.strip() for line in lines for command in line.split("&&")]
    return found


def test_readme_has_the_two_set_up_commands_first() -> None:
    assert [command for command in commands() if not command.startswith("pip")][:2] == list(ELSEWHERE)


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that looks like a checkout, so that nothing is written into the real one."""
    folder = tmp_path_factory.mktemp("checkout")
    for name in ("create_datasets.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder / name)
    for name in ("experiment", "unlearn", "src"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


@pytest.mark.end_to_end
@pytest.mark.skipif(shutil.which("uv") is None, reason="the README's commands start with uv")
@pytest.mark.parametrize("command", [c for c in commands() if c not in ELSEWHERE and not c.startswith("pip ")])
def test_command_runs(command: str, workplace: Path) -> None:
    command = IN_THE_LABORATORY.sub(r"\g<0>@tiny-0", command)
    command = command.replace("--laboratory", "--laboratory --size tiny")
    environment = os.environ | {
        "UV_NO_SYNC": "1",
        "SEEDS": "42",
        "METHODS": "rmu",
        "UV_PROJECT_ENVIRONMENT": os.environ.get("VIRTUAL_ENV", str(ROOT / ".venv")),
    }
    result = subprocess.run(command, shell=True, cwd=workplace, env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr[-2000:]
    assert "Traceback" not in result.stderr
