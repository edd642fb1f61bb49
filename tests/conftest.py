"""Options, one thread per test process, and a cache folder that is not the user's."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # read once, when huggingface_hub is imported
sys.path.insert(0, str(Path(__file__).parent))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--slow", action="store_true", help="also run the tests marked slow")
    parser.addoption("--fast", action="store_true", help="leave out the tests marked end_to_end")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "end_to_end: whole programs on the tiny laboratory; left out by --fast")


LONGEST = (
    "test_shell_programs", "test_readme", "test_campaign", "test_pipeline", "test_processes", "test_contributing",
    "test_stopping", "test_planted", "test_specification", "test_benchmarks", "test_broken_records", "test_python_interface",
)  # fmt: skip
"""Files that take about a minute or more. Two processes share the files and begin with these, so that both end at one time."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    places = {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path.stem, len(places)))
    for item in items:
        if "slow" in item.keywords and not config.getoption("--slow"):
            item.add_marker(pytest.mark.skip(reason="slow; run with --slow"))
        if "end_to_end" in item.keywords and config.getoption("--fast"):
            item.add_marker(pytest.mark.skip(reason="left out by --fast"))


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    import torch

    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def wandb_reads_the_environment_anew() -> Iterator[None]:
    """wandb keeps the address and the mode that it read first for as long as the process lives: it forgets them here."""
    yield
    if (wandb := sys.modules.get("wandb")) is not None:
        wandb.teardown()


@pytest.fixture(scope="session", autouse=True)
def brittle_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """``BRITTLE_HOME`` for the session: a temporary folder, or ``BRITTLE_TEST_HOME`` if set (keeps laboratories)."""
    own = tmp_path_factory.getbasetemp()  # of several processes, a folder in the one that they share
    shared = own.parent if "PYTEST_XDIST_WORKER" in os.environ else own
    folder = Path(os.environ.get("BRITTLE_TEST_HOME") or shared / "brittle_home")
    folder.mkdir(parents=True, exist_ok=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BRITTLE_HOME", str(folder))
        yield folder
