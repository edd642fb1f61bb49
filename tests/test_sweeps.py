"""Whole sweeps in a laboratory of a few steps: once, again, killed, twice at the same moment, with Ray and without."""

from __future__ import annotations

import contextlib
import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pandas
import psutil
import pytest

from brittle.commands.sweep_run import Run
from brittle.commands.sweep_settings import SweepSettings
from brittle.records import read_record
from brittle.runs import laboratory_models, once
from brittle.suites.laboratory import SIZES, Laboratory, define
from brittle.sweeps.configurations import configurations
from brittle.sweeps.file import read

pytestmark = pytest.mark.end_to_end
TEXT = """
base: laboratory:base@swept
filtered: laboratory:filtered@swept
set: {preset: laboratory, max_steps: 2, batch_size: 4}
models:
  - {method: [grad_diff, npo], lr: [1e-3, 2e-3]}
diagnose: [weight_comparison]
attack: {names: [quantization], budget: quick}
"""
ENDED = re.compile(r"\d+ done").fullmatch
START = [sys.executable, "-c", "from brittle.command_line import main; main()", "sweep", "sweep.yaml"]


@pytest.fixture(scope="module", autouse=True)
def swept(brittle_home: Path) -> None:
    """A laboratory of 4 steps: nobody learns anything in it, and everything runs."""
    define("swept", replace(SIZES["tiny"], width=16, layers=2, steps=4))
    laboratory_models.build(Laboratory("swept"), ("base", "filtered"))


def sweep(folder: Path, *flags: str, text: str = TEXT, **environment: str) -> subprocess.Popen[str]:
    folder.mkdir(exist_ok=True)
    (folder / "sweep.yaml").write_text(text)
    named = {"OMP_NUM_THREADS": "1", **environment}
    return subprocess.Popen(
        [*START, *flags], cwd=folder, env=os.environ | named, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        start_new_session=True,
    )  # fmt: skip


def finished(process: subprocess.Popen[str], seconds: float = 900) -> str:
    out, err = process.communicate(timeout=seconds)
    assert process.returncode == 0, err[-3000:]
    return out


def numbers(folder: Path) -> dict[str, str]:
    """What the sweep measured: every table but those of time, by its path."""
    tables = sorted([*folder.glob("outputs/**/*.csv"), *folder.glob("unlearned_models/*/training.csv")])
    return {str(path.relative_to(folder)): path.read_text() for path in tables}


def leftovers(folder: Path) -> list[Path]:
    hidden = [path for path in folder.rglob(".*") if not path.name.endswith(".yaml")]
    return hidden + list(folder.glob("outputs/**/at_work/*"))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An undisturbed sweep."""
    folder = tmp_path_factory.mktemp("whole")
    finished(sweep(folder, "--local", NO_SAVE="1"))
    return folder


def test_every_model_went_through_every_stage_and_lost_its_weights(whole: Path) -> None:
    outputs = whole / "outputs" / "sweeps" / "sweep"
    models = sorted((whole / "unlearned_models").iterdir())
    assert len(models) == 4
    for model in models:
        assert not list(model.glob("*.safetensors"))
        record = read_record(model)
        assert record and record["notes"]["weights"] == "deleted after evaluation (--no-save)"
    points = pandas.read_csv(outputs / "recovery" / "recovery.csv")
    assert points.groupby("role").model.nunique().to_dict() == {"base": 1, "filtered": 1, "unlearned": 4}
    assert len(list(outputs.glob("*__to__*/weight_comparison/record.json"))) == 5
    plan = json.loads((outputs / "comparison.json").read_text())
    assert len(plan["models"]) == 6 and len(plan["comparisons"]) == 5
    content = json.loads((outputs / "sweep.json").read_text())
    assert {job["status"] for job in content["jobs"]} == {"done"} and content["models"] == 4
    assert leftovers(whole) == []


def test_a_second_start_does_nothing(whole: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in whole.rglob("record.json")}
    told = finished(sweep(whole, "--local", NO_SAVE="1"))
    assert "4 of 4 models finished before" in told
    assert {path: path.stat().st_mtime_ns for path in whole.rglob("record.json")} == before


def test_the_report_reads_what_a_sweep_left(whole: Path) -> None:
    done = subprocess.run([*START[:3], "report", "outputs/sweeps/sweep"], cwd=whole, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert (whole / "outputs/sweeps/sweep/report.html").stat().st_size > 50_000


def test_two_shells_at_once_make_each_model_once(whole: Path, tmp_path: Path) -> None:
    both = [sweep(tmp_path / "two", "--local", NO_SAVE="1") for _ in range(2)]
    told = [finished(process) for process in both]
    finished(sweep(tmp_path / "two", "--local", NO_SAVE="1"))
    assert numbers(tmp_path / "two") == numbers(whole)
    jobs = [line for text in told for line in text.splitlines() if line.endswith(("done", "others", "elsewhere"))]
    made = sum(int(part.split()[0]) for line in jobs for part in line.split(", ") if part.endswith(" done"))
    assert made == 4 + 2 * 2, jobs  # each model once; the two references wait for each other and count in both


def test_a_first_interrupt_finishes_what_runs(tmp_path: Path) -> None:
    process = sweep(tmp_path / "stopped", "--local")
    place = tmp_path / "stopped" / "outputs" / "sweeps" / "sweep" / "at_work"
    end = time.monotonic() + 120
    while time.monotonic() < end and not list(place.glob("laboratory*.json")):
        time.sleep(0.1)
    os.kill(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=120)
    assert "still at work will be finished" in err, err[-2000:]
    assert "queued" in out and "1 done" in out or "done" in out
    assert leftovers(tmp_path / "stopped") == []


LONG = """
base: laboratory:base@swept
set: {preset: laboratory, max_steps: 300, batch_size: 4}
models:
  - {method: [grad_diff, npo]}
"""
"""Trainings that are still at work when a second Ctrl-C comes."""


def test_a_second_interrupt_stops_what_runs_and_the_same_command_goes_on(tmp_path: Path) -> None:
    finished(sweep(tmp_path / "whole", "--local", text=LONG))
    process = sweep(tmp_path / "stopped", "--local", text=LONG)
    outputs = tmp_path / "stopped" / "outputs" / "sweeps" / "sweep"
    end = time.monotonic() + 300
    while time.monotonic() < end and not list(outputs.glob("at_work/*grad_diff*.json")):
        time.sleep(0.1)
    below = psutil.Process(process.pid).children(recursive=True)
    os.kill(process.pid, signal.SIGINT)
    assert process.stderr is not None
    said = [""]
    while "still at work will be finished" not in said[-1]:
        said.append(process.stderr.readline())
        assert said[-1], said  # it ended at the first Ctrl-C
    os.kill(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=60)  # not the time that the models would take: two are left
    assert process.returncode == 128 + signal.SIGINT and "Traceback" not in err, err[-3000:]
    assert psutil.wait_procs(below, timeout=10)[1] == []
    assert leftovers(tmp_path / "stopped") == []
    jobs = {job["title"]: job["status"] for job in json.loads((outputs / "sweep.json").read_text())["jobs"]}
    assert [status for title, status in jobs.items() if "reference" not in title] == ["queued", "queued"]
    assert not list((tmp_path / "stopped").glob("unlearned_models/*/record.json"))
    finished(sweep(tmp_path / "stopped", "--local", text=LONG))
    assert numbers(tmp_path / "stopped") == numbers(tmp_path / "whole")
    assert leftovers(tmp_path / "stopped") == []


@pytest.mark.slow
def test_twenty_four_models_in_two_shells_at_once_are_trained_once_each(tmp_path: Path) -> None:
    rates = ", ".join(f"{number}e-4" for number in range(1, 25))
    text = (
        "base: laboratory:base@swept\nset: {preset: laboratory, max_steps: 1, batch_size: 4}\n"
        f"models:\n  - {{method: grad_diff, lr: [{rates}]}}\n"
    )
    both = [sweep(tmp_path / "two", "--local", text=text, NO_SAVE="1") for _ in range(2)]
    told = [finished(process, 1800) for process in both]
    made = [int(part.split()[0]) for text in told for part in ", ".join(text.splitlines()).split(", ") if ENDED(part)]
    assert sum(made) == 24 + 2, told  # the reference is answered for in both
    assert len(list((tmp_path / "two").glob("unlearned_models/*/training.csv"))) == 24
    assert leftovers(tmp_path / "two") == []


def test_what_is_the_same_for_all_models_is_asked_once_and_changes_no_identity(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "sweep.yaml"
    path.write_text(TEXT)
    found = read(str(path))
    run = Run(SweepSettings(outroot=str(tmp_path), outdir=str(tmp_path)), found, configurations(found, {}), {})
    one_by_one = [model.identity for model in map(run.model, run.own) if not model.finished()]
    asked: list[str] = []
    find = laboratory_models.find
    monkeypatch.setattr(laboratory_models, "find", lambda text: (asked.append(text), find(text))[1])
    with once.remembering():
        together = [model.identity for model in map(run.model, run.own) if not model.finished()]
    assert together == one_by_one and len(together) == 4
    assert sorted(asked) == ["laboratory:base@swept", "laboratory:filtered@swept"]


def test_a_search_makes_as_many_models_as_it_has_trials_and_goes_on(tmp_path: Path) -> None:
    text = (
        "base: laboratory:base@swept\nsearch: optuna\ntrials: {}\nset: {{preset: laboratory, max_steps: 2, batch_size: 4}}\n"
        "models:\n  - {{method: [grad_diff, npo], lr: {{from: 1e-4, to: 1e-2, scale: log}}}}\n"
    )
    finished(sweep(tmp_path / "search", "--local", text=text.format(2)))
    first = {path.name for path in (tmp_path / "search" / "unlearned_models").iterdir()}
    told = finished(sweep(tmp_path / "search", "--local", text=text.format(4)))
    assert len(first) == 2 and "2 of 4 trials finished before" in told
    assert len(list((tmp_path / "search" / "unlearned_models").iterdir())) == 4
    told = finished(sweep(tmp_path / "search", "--local", text=text.format(4)))
    assert "4 of 4 trials finished before" in told and "done" not in told.split("finished before")[1].splitlines()[0]
    assert "npo" in (tmp_path / "search/outputs/sweeps/sweep/ranking.md").read_text()
    assert leftovers(tmp_path / "search") == []


KILLS, MODELS = (20, 24) if os.environ.get("BRITTLE_ALL_KILLS") else (5, 8)


@pytest.mark.slow
def test_a_sweep_that_is_killed_again_and_again_ends_as_one_that_is_not(tmp_path: Path) -> None:
    """Driver or a worker, at random moments; what was trained once is not trained again."""
    rates = ", ".join(f"{number}e-4" for number in range(1, 1 + MODELS // 4))
    text = TEXT.replace("lr: [1e-3, 2e-3]", f"lr: [{rates}], seed: [1, 2]").replace(
        "diagnose: [weight_comparison]\n", ""
    )
    finished(sweep(tmp_path / "whole", "--local", text=text, NO_SAVE="1"))
    chance = random.Random(0)
    trained: dict[Path, int] = {}
    kills = 0
    while kills < KILLS:
        process = sweep(tmp_path / "killed", "--workers", "2", text=text, NO_SAVE="1")
        try:
            process.communicate(timeout=chance.uniform(4, 14))
            break  # all is done before so many kills
        except subprocess.TimeoutExpired:
            kills += 1
            workers = [each for each in psutil.Process(process.pid).children(recursive=True) if "python" in each.name()]
            if workers and chance.random() < 0.5:
                with contextlib.suppress(psutil.NoSuchProcess):
                    chance.choice(workers).kill()
            os.kill(process.pid, signal.SIGKILL)
            process.communicate()
        now = {path: path.stat().st_mtime_ns for path in tmp_path.glob("killed/unlearned_models/lab*/training.csv")}
        assert {path: now.get(path) for path in trained} == trained
        trained = now
    told = finished(sweep(tmp_path / "killed", "--local", text=text, NO_SAVE="1"))
    assert f"of {MODELS} models finished before" in told
    jobs = json.loads((tmp_path / "killed/outputs/sweeps/sweep/sweep.json").read_text())["jobs"]
    assert sum(job["status"] in ("done", "done before") for job in jobs) == MODELS + 2
    assert numbers(tmp_path / "killed") == numbers(tmp_path / "whole")
    assert leftovers(tmp_path / "killed") == []
