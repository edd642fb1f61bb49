"""Ray as a sweep's engine: groups of GPUs, jobs over two nodes, a node that is lost, an address at which nobody answers."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from brittle.runs.executor import Tick
from brittle.settings import BadInput
from brittle.sweeps import ray_pool
from brittle.sweeps.driver import Driver, Entry, Status
from brittle.sweeps.state import Place

pytest.importorskip("ray")
pytestmark = pytest.mark.end_to_end


@dataclass(frozen=True)
class Diary:
    """A job that writes when and where it ran, with which GPUs; ``waits`` seconds long, or until ``until`` is there."""

    title: str
    folder: str
    waits: float = 1.0
    until: str = ""

    def carry_out(self, tick: Tick) -> str:
        path = Path(self.folder, f"{self.title}-{os.getpid()}")
        node = os.environ.get("NODE_OF_TEST", "")
        path.write_text(f"{time.time()} {node} {os.environ.get('CUDA_VISIBLE_DEVICES', '')}\n")
        end = time.monotonic() + 240
        while self.until and not Path(self.until).exists() and time.monotonic() < end:
            time.sleep(0.1)
        time.sleep(self.waits)
        with open(path, "a") as file:
            file.write(f"{time.time()}\n")
        return "done"


@dataclass
class Seen:
    title: str
    began: float
    ended: float | None
    node: str
    gpus: tuple[int, ...]


def diaries(folder: Path) -> list[Seen]:
    found = []
    for path in folder.iterdir():
        first, *rest = path.read_text().splitlines()
        began, node, gpus = (first + " ").split(" ")[:3]
        numbers = tuple(int(number) for number in gpus.split(",") if number)
        found.append(Seen(path.name.partition("-")[0], float(began), float(rest[0]) if rest else None, node, numbers))
    return found


def driven(pool: ray_pool.RayNodes, jobs: list[Diary], outputs: Path, gpus: int = 0) -> Driver:
    driver = Driver(pool, Place(outputs), [Entry(job, gpus=gpus) for job in jobs], most_gpus=8)
    try:
        driver.run()
    finally:
        pool.end()
    return driver


@pytest.mark.parametrize("group", [1, 2, 4])
def test_groups_have_gpus_of_their_own(tmp_path: Path, group: int) -> None:
    (tmp_path / "diaries").mkdir()
    jobs = [Diary(f"job{number}", str(tmp_path / "diaries")) for number in range(8)]
    driven(ray_pool.RayNodes(workers=8, gpus=8), jobs, tmp_path, group)
    found = diaries(tmp_path / "diaries")
    assert len(found) == 8 and all(len(each.gpus) == group for each in found)
    for each in found:
        beside = [other for other in found if other.began <= each.began < (other.ended or 0)]  # as it began
        assert len(beside) <= 8 // group
        assert len({number for other in beside for number in other.gpus}) == group * len(beside)


Join = Callable[[str], subprocess.Popen[bytes]]


@pytest.fixture
def cluster() -> Iterator[tuple[str, Join]]:
    """The address of a head without cores of its own, and how a node of two cores joins, as processes of this machine."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    begun: list[subprocess.Popen[bytes]] = []

    def start(name: str, *flags: str) -> subprocess.Popen[bytes]:
        ray = [str(Path(sys.executable).with_name("ray")), "start", "--block", "--disable-usage-stats", *flags]
        patience = {"RAY_health_check_period_ms": "1000", "RAY_health_check_failure_threshold": "8"}
        begun.append(
            subprocess.Popen(
                ray, env=os.environ | patience | {"NODE_OF_TEST": name}, stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL, start_new_session=True,
            )
        )  # fmt: skip
        return begun[-1]

    try:
        start("head", "--head", f"--port={port}", "--num-cpus=0", "--include-dashboard=false")
        _answers(port)
        yield f"127.0.0.1:{port}", lambda name: start(name, f"--address=127.0.0.1:{port}", "--num-cpus=2")
    finally:
        for process in begun:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _answers(port: int) -> None:
    end = time.monotonic() + 60
    while time.monotonic() < end:
        with socket.socket() as trial:
            if trial.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.2)


def test_jobs_spread_over_nodes_and_a_lost_node_loses_none(cluster: tuple[str, Join], tmp_path: Path) -> None:
    address, join = cluster
    (tmp_path / "diaries").mkdir()
    go = tmp_path / "go"
    jobs = [Diary(f"job{number}", str(tmp_path / "diaries"), 0.2, str(go)) for number in range(8)]
    pool = ray_pool.RayNodes(address=address)
    begun = {}
    for cores, name in ((2, "first"), (4, "second")):  # one after the other: nodes of one machine share its ports
        begun[name] = join(name)
        end = time.monotonic() + 120
        while _cores() < cores:
            assert time.monotonic() < end, f"the {name} node did not join"
            time.sleep(0.2)
    driver = Driver(pool, Place(tmp_path), [Entry(job) for job in jobs])
    lost = False

    def watch(_content: object) -> None:
        nonlocal lost
        found = diaries(tmp_path / "diaries")
        if not lost and len(found) == 4:
            assert {each.node for each in found} == {"first", "second"}
            os.killpg(begun["second"].pid, signal.SIGKILL)
            lost = True
        if lost and _cores() == 2:  # the head has noticed
            go.touch()

    driver.show = watch
    try:
        driver.run()
    finally:
        pool.end()
    assert lost and {entry.status for entry in driver.entries} == {Status.DONE}
    assert sum(entry.tries for entry in driver.entries) == 10  # the two of the lost node were begun again
    assert {each.title for each in diaries(tmp_path / "diaries") if each.ended} == {job.title for job in jobs}


def _cores() -> int:
    import ray

    return int(ray.cluster_resources().get("CPU", 0))


def test_an_address_at_which_nobody_answers_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_pool, "PATIENCE", 0.5)
    with pytest.raises(
        BadInput, match=r"RAY_ADDRESS=127.0.0.1:1 does not answer .*; start Ray there \(ray start --head"
    ):
        ray_pool.RayNodes(address="127.0.0.1:1")
