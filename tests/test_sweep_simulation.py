"""Sweeps on paper: replays worked out by hand, constants that are those measured, and what the command says."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_models import tiny_model_folder

from brittle.commands.sweep import sweep
from brittle.settings import BadInput
from brittle.sweeps.costs import (
    ACTIVATIONS,
    ADAPTERS,
    GB,
    GIB,
    MEASURED,
    SIZES,
    SPECTRA,
    Kind,
    Machine,
    diagnosing_seconds,
    known,
    machine,
    measured,
)
from brittle.sweeps.simulation import Job, Part, replay
from brittle.sweeps.workload import Attack, Training, Work

RESULTS = Path(__file__).parent.parent / "benchmarks" / "results" / "gpu.jsonl"


def job(*parts: tuple[str, float], gpus: int = 1, size: float = 0.0) -> Job:
    return Job("a model", gpus, [Part("make", kind, amount) for kind, amount in parts], size)


def test_one_job_on_one_gpu() -> None:
    """4 GB at 2 GB/s, 10 s of computing, 6 GB written at 2 GB/s: 2 + 10 + 3 seconds."""
    found = replay([[job(("read", 4 * GB), ("compute", 10), ("write", 6 * GB), size=6 * GB)]], Machine(gpus=1, disk=2))
    assert (found.makespan, found.held, found.computing, found.at_work) == (15, 15, 10, 10)
    assert (found.read, found.written, found.kept, found.at_once) == (4 * GB, 6 * GB, 6 * GB, 6 * GB)
    assert found.loads(True) == pytest.approx({"GPUs": 10 / 15, "shared disk": 10 / 2 / 15, "network": 1 / 15})
    assert found.busiest(True) == "GPUs"


def test_eight_jobs_of_four_gpus_go_two_at_a_time() -> None:
    found = replay([[job(("compute", 100), gpus=4, size=GB)] * 8], Machine(gpus=8))
    assert found.makespan == 400 and found.share(found.held) == 1
    assert found.share(found.at_work) == 0.25, "layers are spread: one GPU of four computes"
    assert (found.at_once, found.kept) == (2 * GB, 8 * GB)
    sharded = replay([[job(("compute", 100), gpus=4)] * 8], Machine(gpus=8, gain=1))
    assert sharded.share(sharded.at_work) == 1


def test_a_hundred_nodes_that_read_one_base_wait_for_the_disk() -> None:
    """100 readers of 14 GB at 2 GB/s in all: 700 s, then 7 s of computing each, at the same time."""
    found = replay([[job(("read", 14 * GB), ("compute", 7))] * 100], Machine(nodes=100, gpus=1, disk=2, network=10))
    assert found.makespan == pytest.approx(707)
    assert found.share(found.computing) == pytest.approx(7 / 707) and found.busiest(True) == "shared disk"
    few = replay([[job(("read", 14 * GB), ("compute", 7))]], Machine(nodes=100, gpus=1, disk=20, network=10))
    assert few.makespan == pytest.approx(1.4 + 7), "a node's own network is the limit"


def test_transfers_share_the_disk_while_both_last() -> None:
    """Two readers of 2 and 6 GB at 1 GB/s each until 2 s, then the second alone at 2 GB/s: 2 and 2 + 4 / 2 seconds."""
    found = replay([[job(("read", 2 * GB)), job(("read", 6 * GB))]], Machine(gpus=2, disk=2, network=100))
    assert found.makespan == pytest.approx(4) and found.held == pytest.approx(2 + 4)


def test_the_first_that_has_no_room_holds_up_those_behind_it() -> None:
    """On 4 GPUs: 2 for 10 s, then 4 for 10 s, then 1 for 10 s: the third waits for the second, as the driver has it."""
    jobs = [job(("compute", 10), gpus=gpus) for gpus in (2, 4, 1)]
    assert replay([jobs], Machine(gpus=4)).makespan == 30
    assert replay([jobs[:1], jobs[2:]], Machine(gpus=4)).makespan == 20, "a phase waits for the one before"
    assert replay([jobs], Machine(gpus=2)).left == 2


def test_kept_weights_fill_the_disk() -> None:
    jobs = [job(("compute", 10), size=40 * GB)] * 5
    kept, deleted = (replay([jobs], Machine(gpus=4, space=100), no_save) for no_save in (False, True))
    assert (kept.left, kept.makespan, kept.kept) == (3, 10, 80 * GB)
    assert (deleted.left, deleted.makespan, deleted.at_once) == (0, 30, 80 * GB)
    assert kept.loads(False)["disk space"] == 0.8


@given(
    st.lists(st.tuples(st.integers(1, 4), st.floats(0, 1e10), st.floats(0, 1e4)), max_size=12), st.integers(1, 3)
)  # fmt: skip
def test_nothing_is_lost_and_no_more_is_held_than_there_is(rows: list, nodes: int) -> None:
    jobs = [job(("read", read), ("compute", seconds), gpus=gpus) for gpus, read, seconds in rows]
    found = replay([jobs], Machine(nodes=nodes, gpus=4))
    assert found.left == 0 and found.read == pytest.approx(sum(row[1] for row in rows))
    assert found.computing == pytest.approx(sum(row[0] * row[2] for row in rows), rel=1e-6, abs=1e-3)
    assert found.share(found.held) <= 1 + 1e-9 and all(load <= 1 + 1e-9 for load in found.loads(True).values())


def test_constants_are_those_measured() -> None:
    rows = [json.loads(line) for line in RESULTS.read_text().splitlines()]
    method = {True: "grad_diff", False: "rmu"}
    found: dict[Kind, dict] = {kind: {} for kind in MEASURED}
    for kind in MEASURED:
        for row in (row for row in rows if row["what"] == "training" and "failed" not in row):
            same = (row["weights"], row["method"], row["compute"]) == (kind.weights, method[kind.whole], kind.compute)
            if same and row["options"] in ("", "--dtype fp32"):
                found[kind][row["size"]] = (row["tokens_per_second"], row["peak_gib"])
    assert found == MEASURED
    passes = {row["pass"]: row for row in rows if row["what"] == "diagnosing" and row["device"] == "cuda"}
    assert passes["weights of two blocks, with spectra"]["seconds"] == SPECTRA
    activations = passes["activations, 48 texts"]
    assert activations["seconds"] + activations["finishing_seconds"] == ACTIVATIONS


def test_sizes_are_those_of_the_memory_page() -> None:
    text = (Path(__file__).parent.parent / "docs" / "memory.md").read_text()
    assert all(f"| {parameters:,} |" in text for parameters in SIZES.values())


def test_between_and_beyond_measured_sizes() -> None:
    kind = Kind(ADAPTERS)
    for size, (tokens, peak) in MEASURED[kind].items():
        assert measured(kind, SIZES[size]) == pytest.approx((tokens, peak * GIB))
    assert measured(kind, 10 * SIZES["7B"]) == pytest.approx((1189.3, 587.86 * GIB))
    assert measured(kind, 1e6) == (69983, 3.807 * GIB)
    assert 11893 < measured(kind, 3e9)[0] < 50592
    assert known(kind, 7e9) and not known(Kind("float32"), 7e9)
    assert diagnosing_seconds(8 * SIZES["1B"]) == pytest.approx(16 * (8 * SPECTRA + ACTIVATIONS))


def test_work_by_hand() -> None:
    """7B with adapters: 250 steps of 4,096 tokens at 11,893 a second; two bytes a parameter read twice, four written."""
    parameters = float(SIZES["7B"])
    work = Work("a", parameters, 2 * parameters, Training(Kind(ADAPTERS), 250, 4096))
    found = work.job(Machine())
    assert found.gpus == 1 and found.size == 4 * parameters
    assert [part.amount for part in found.parts[:4]] == pytest.approx(
        [2 * parameters, 250 * 4096 / 11893, 4 * parameters, 2 * parameters]
    )
    hungry = Training(Kind("float32", compute="fp32"), 300, 8192)
    attacked = Work("b", parameters, 2 * parameters, work.made, True, [Attack("relearning", 3, hungry)]).job(Machine())
    scaled = 21.862 * GIB * parameters / SIZES["1B"]
    assert hungry.bytes(parameters) == pytest.approx(16 * parameters + 2 * (scaled - 16 * parameters))
    assert attacked.gpus == 4, "194 GiB: of 148 at the measured step, 102 stand and 46 grow with its tokens"
    whole = Work("b", parameters, 2 * parameters, work.made, attacks=[Attack("relearning", 3, hungry)])
    assert (whole.group(Machine()), whole.group(Machine(), 8)) == (4, 8)
    assert [part.stage for part in attacked.parts].count("attack") == 6
    with pytest.raises(BadInput, match="the largest group"):
        Work("c", 70e9, 140e9, hungry).job(Machine())
    assert Work("d", parameters, 1.0, work.made, merged=False).job(Machine()).size == 0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nods=3", "unknown key 'nods'; did you mean nodes"), ("nodes=0", "a whole number above 0"), ("gpus=1.5", "a whole number"),
        ("disk=fast", "disk='fast' must be a number above 0"), ("disk=nan", "must be a number"), ("nodes", "nodes='' must be"),
        ("nodes=2,nodes=3", "named twice"), ("nodes=1e6", "at most 100,000 GPUs"), ("gain=2", "a gain from 0 to 1"),
    ],
)  # fmt: skip
def test_what_is_refused(text: str, message: str) -> None:
    with pytest.raises(BadInput, match=message) as problem:
        machine(text)
    assert "\n" not in str(problem.value)


def test_keys() -> None:
    assert machine("nodes=100, gpus=8,memory=141") == Machine(nodes=100, gpus=8, memory=141)
    assert machine("") == Machine()


TEXT = """
base: {base}
seeds: [1, 2, 3]
models:
  - {{method: grad_diff, lr: [1e-5, 2e-5]}}
diagnose: [weight_comparison]
attack: {{names: [relearning], budget: quick}}
"""


def test_the_command_prints_and_touches_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    folder = tiny_model_folder(tmp_path / "model")
    for path in folder.iterdir():
        if path.name != "config.json":
            path.unlink()
    (tmp_path / "sweep.yaml").write_text(TEXT.format(base=folder))
    monkeypatch.chdir(tmp_path)
    assert sweep({"file": "sweep.yaml", "simulate": "nodes=2,gpus=4,tokens=16"}, {}) == 0
    told = capsys.readouterr().out
    assert "makespan" in told and "GPU-hours: " in told and "2 nodes of 4 GPUs" in told and "busiest: " in told
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model", "sweep.yaml"]
    assert [path.name for path in folder.iterdir()] == ["config.json"]


def test_without_a_configuration_the_size_is_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    (tmp_path / "sweep.yaml").write_text(TEXT.format(base=tmp_path / "nowhere"))
    given = {"file": str(tmp_path / "sweep.yaml")}
    with pytest.raises(BadInput, match="add parameters=7e9"):
        sweep(given | {"simulate": "nodes=2"}, {})
    assert sweep(given | {"simulate": "nodes=2,parameters=25e9,memory=288"}, {}) == 0
    told = capsys.readouterr().out
    assert "scaled by their parameters, not measured" in told and "GPUs a model: 4 (" in told
