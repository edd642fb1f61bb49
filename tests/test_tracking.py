"""The mirror in W&B: offline runs, and the question whether a run has finished, against a stand-in."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path

import pytest
from stand_ins import serve
from test_publish import command  # noqa: F401 (a fixture)

from brittle import records, tracking
from brittle.command_line import main
from brittle.records import Identity, writing


@pytest.fixture(autouse=True)
def quiet(monkeypatch, tmp_path):
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))
    monkeypatch.setattr(records, "SINKS", [])


def test_it_is_off_unless_the_environment_asks_for_it(monkeypatch):
    tracking.follow()
    assert records.SINKS == []
    monkeypatch.setenv("WANDB_MODE", "disabled")
    tracking.follow()
    assert records.SINKS == []
    monkeypatch.setenv("WANDB_MODE", "offline")
    tracking.follow()
    tracking.follow()
    assert list(records.SINKS) == [tracking.publish]


def test_names_and_numbers():
    assert tracking.name_of(Path("outputs/a__to__b/weight_comparison")) == "a__to__b/weight_comparison"
    assert tracking.name_of(Path("unlearned_models/base__ga__ep1")) == "base__ga__ep1"
    nested = {"model": "m", "results": {"mmlu": {"acc,none": 0.5, "alias": "x"}}, "steps": 3}
    assert dict(tracking.numbers(nested)) == {"results/mmlu/acc": 0.5, "steps": 3}


def finish_record(folder: Path, kind: str = "unlearned model") -> Path:
    identity = Identity(kind, {"base": "abc"}, {"method": "ga", "lr": 1e-5})
    with writing(folder, identity) as draft:
        draft.table("training", [{"step": 1, "loss": 2.0}, {"step": 2, "loss": 1.0}])
        draft.table("per_layer", [{"layer": 0, "change": 0.5}])
        draft.summary({"forget_nll": 3.5})
        import matplotlib.pyplot as pyplot

        pyplot.figure().savefig(draft.folder / "figure.png")
    return folder


def test_a_finished_record_becomes_an_offline_run_with_group_tables_plots_and_losses(monkeypatch, tmp_path):
    import wandb

    seen: dict = {"log": []}
    begin = wandb.init

    def init(**options):
        seen["init"] = options
        run = begin(**options)
        log = run.log
        monkeypatch.setattr(run, "log", lambda data, **named: (seen["log"].append((data, named)), log(data, **named)))
        summary, update = type(run.summary), type(run.summary).update
        monkeypatch.setattr(summary, "update", lambda self, new: (seen.update(summary=new), update(self, new))[1])
        return run

    monkeypatch.setattr(wandb, "init", init)
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_RUN_GROUP", "sweep one")
    tracking.follow()
    finish_record(tmp_path / "outputs" / "laboratory", kind="laboratory model")
    assert "init" not in seen
    folder = finish_record(tmp_path / "unlearned_models" / "base__ga__ep1")
    options = seen["init"]
    assert (options["name"], options["group"], options["job_type"]) == ("base__ga__ep1", "sweep one", "unlearned model")
    assert options["config"]["method"] == "ga"
    assert options["config"]["fingerprint"] == records.read_record(folder)["fingerprint"]
    assert [(data, named) for data, named in seen["log"] if named] == [
        ({"train/loss": 2.0}, {"step": 1}),
        ({"train/loss": 1.0}, {"step": 2}),
    ]
    logged = {key for data, _ in seen["log"] for key in data}
    assert {"tables/per_layer", "tables/training", "plots/figure"} <= logged
    assert seen["summary"]["forget_nll"] == 3.5
    assert list((tmp_path / "wandb").glob("offline-run-*/*.wandb"))


def test_a_mirror_that_fails_is_one_line_and_the_record_stays(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setattr(tracking, "_send", lambda *_: (_ for _ in ()).throw(OSError("no route\nto host")))
    tracking.follow()
    folder = finish_record(tmp_path / "record")
    assert records.read_record(folder)["status"] == "complete"
    assert capsys.readouterr().err.splitlines() == [
        f"note: W&B did not take {tracking.name_of(folder)} (no route); the record is complete"
    ]


@pytest.fixture
def check(monkeypatch, capsys):
    """``--check-wandb-only`` of a command, in this process: its exit code, output and errors."""

    def asked(command, folder, **environment):  # noqa: F811
        with monkeypatch.context() as patch, pytest.raises(SystemExit) as end:
            patch.chdir(folder)
            for name, value in environment.items():
                patch.setenv(name, value)
            main("unlearn", [*command[2:], "--check-wandb-only"])
        said = capsys.readouterr()
        return subprocess.CompletedProcess(command, int(end.value.code or 0), said.out, said.err)

    return asked


def test_a_run_that_finished_elsewhere_counts_and_without_wandb_the_local_record_decides(command, check, tmp_path):  # noqa: F811
    told = [command[0], "-X", "importtime", *command[1:], "--check-wandb-only"]
    program = subprocess.run(told, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert program.returncode == 1 and "not finished" in program.stdout, program.stderr
    loaded = {line.rpartition("|")[2].strip() for line in program.stderr.splitlines()}
    assert "brittle.runs.unlearning_plan" in loaded and not loaded & {"torch", "transformers"}, "it takes seconds"
    assert check(command, tmp_path).returncode == 1
    with serve("tracker") as service:
        there = {"WANDB_BASE_URL": service.url, "WANDB_API_KEY": "0" * 40}
        assert check(command, tmp_path, **there).returncode == 1
        (asked,) = [body for _, body in service.requests if "Runs(" in body["query"]]
        wanted = json.loads(asked["variables"]["filters"])
        assert wanted.keys() == {"state", "display_name"} and wanted["state"] == "finished"
        assert re.match("base-[0-9a-f]{6}__grad_diff__", wanted["display_name"])
        service.runs = [wanted | {"state": "crashed"}]
        assert check(command, tmp_path, **there).returncode == 1
        service.runs = [wanted | {"config.fingerprint": "another"}]
        found = check(command, tmp_path, **there)
        assert found.returncode == 0 and found.stderr.count("is of other code or data") == 1
        assert check([*command, "--strict"], tmp_path, **there).returncode == 1
        asked = [json.loads(body["variables"]["filters"]) for _, body in service.requests if "Runs(" in body["query"]]
        service.runs = [next(each for each in asked if "config.fingerprint" in each)]
        for flags in ([], ["--strict"]):
            found = check([*command, *flags], tmp_path, **there)
            assert found.returncode == 0 and "finished" in found.stdout and "note:" not in found.stderr
        assert "000000" not in found.stdout + found.stderr
        for flags in (["--force"], ["--push-to-hub"]):  # they need the model itself
            assert check([*command, *flags], tmp_path, **there).returncode == 1
    assert not (tmp_path / "unlearned_models").exists()
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, timeout=120)
    assert check(command, tmp_path).returncode == 0
    assert check([*command, "--seed", "1"], tmp_path).returncode == 1


def test_a_models_evaluation_joins_the_models_run(monkeypatch, tmp_path):
    wandb = pytest.importorskip("wandb")
    begun, begin = [], wandb.init
    monkeypatch.setattr(wandb, "init", lambda **options: begun.append(options) or begin(**options))
    monkeypatch.setenv("WANDB_MODE", "offline")
    tracking.follow()
    folder = finish_record(tmp_path / "elsewhere" / "base__ga__ep1")
    finish_record(folder / "benchmarks", kind="benchmarks")
    tracking.add(folder, folder / "summary.json")
    assert len(begun) == 3 and len({options["id"] for options in begun}) == 1
    assert {(options["name"], options["job_type"], options["resume"]) for options in begun} == {
        ("base__ga__ep1", "unlearned model", "allow")
    }
    finish_record(tmp_path / "outputs" / "base" / "benchmarks", kind="benchmarks")  # a base's is a run of its own
    assert begun[-1]["name"] == "base/benchmarks" and begun[-1]["id"] != begun[0]["id"]
