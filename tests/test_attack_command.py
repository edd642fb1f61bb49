"""``brittle attack``: what is done is never done again, and what is missing is said."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pandas
import pytest

from brittle.commands import attack as command
from brittle.runs import attack, executor, laboratory_models
from brittle.settings import BadInput
from brittle.suites import laboratory

SEARCH: dict[str, Any] = {"search_trials": 3, "attack_eval_interval": 1000, "attack_eval_early": ()}


def settings(outroot: Path, **more: Any) -> command.AttackSettings:
    return command.AttackSettings(model="laboratory:base@tiny-0", outroot=str(outroot), seeds="1", **more)


@pytest.fixture
def jobs(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Every run that is carried out, in this process; an entry of None before the next stops there like Ctrl-C."""
    laboratory_models.build(laboratory.Laboratory("tiny"))
    done: list[Any] = []

    def run(asked: list[executor.Task], _title: str, workers: int | None = None) -> None:
        for job in asked:
            if done and done[-1] is None:
                raise KeyboardInterrupt
            job.function(tick=lambda _: None)
            done.append(job.function.__self__)
            if len(done) == 1:
                done.append(None)

    monkeypatch.setattr(executor, "run", run)
    return done


@pytest.mark.end_to_end
def test_a_search_that_was_stopped_goes_on_and_more_trials_join(tmp_path: Path, jobs: list[Any]) -> None:
    chosen = settings(tmp_path, kind="relearning_search")
    with pytest.raises(KeyboardInterrupt):
        command.run(chosen, SEARCH)
    table = tmp_path / "recovery" / "recovery.csv"
    assert set(pandas.read_csv(table).seed) == {0}  # what was done is not lost
    jobs.append("goes on")
    command.run(chosen, SEARCH)
    assert [job.seed for job in jobs if hasattr(job, "seed")] == [0, 1, 2]
    command.run(chosen, SEARCH | {"search_trials": 4})
    assert [job.seed for job in jobs if hasattr(job, "seed")] == [0, 1, 2, 3]
    points = pandas.read_csv(table)
    assert set(points.seed) == {0, 1, 2, 3} and points.configuration.notna().all()
    command.run(chosen, SEARCH | {"search_trials": 4, "attack_lr": 0.1})
    assert len(jobs) == 3 + 4 + 3  # another middle of the learning rates is another search


@pytest.mark.end_to_end
def test_what_was_measured_with_other_seeds_stays_and_what_does_not_is_said(
    tmp_path: Path, jobs: list[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    jobs.append("go")
    short = {"attack_steps": 1, "attack_eval_interval": 1, "attack_eval_early": ()}
    table, chosen = tmp_path / "recovery" / "recovery.csv", settings(tmp_path, kind="relearning")
    command.run(dataclasses.replace(chosen, seeds="1,2"), short)
    both = pandas.read_csv(table)
    for seeds in ("2", "1"):
        command.run(dataclasses.replace(chosen, seeds=seeds), short)
        kept = pandas.read_csv(table)
        assert set(kept.seed) == {1, 2} and len(kept) == len(both)
    answers = pandas.read_csv(table.with_name("recovery_answers.csv"))
    assert set(answers.seed) == {1, 2}
    assert answers[["generated_before", "generated"]].notna().all(axis=None), "what a model says by itself stands there"
    assert "no longer shows" not in capsys.readouterr().err
    command.run(chosen, short | {"attack_lr": 0.1})
    assert set(pandas.read_csv(table).seed) == {1}
    said = " ".join(capsys.readouterr().err.split())
    assert "no longer shows relearning with seed 2 on" in said and "other settings" in said
    command.run(settings(tmp_path, kind="quantization"), {})
    command.run(dataclasses.replace(settings(tmp_path, kind="quantization"), seeds="7"), {})
    points = pandas.read_csv(table)
    assert set(points[points.attack == "quantization"].seed) == {7}  # it knows no chance: one run is all there is
    assert "no longer shows" not in capsys.readouterr().err


@pytest.mark.end_to_end
def test_compute_tokens_and_a_trajectory_are_on_the_record(tmp_path: Path, jobs: list[Any]) -> None:
    jobs.append("go")
    short = {"attack_steps": 3, "attack_eval_interval": 3, "attack_eval_early": (), "attack_dtype": "bf16"}
    walked = settings(tmp_path, kind="relearning", base="laboratory:retrained@tiny-0")
    command.run(walked, short | {"trajectory_steps": (0, 3)})
    points = pandas.read_csv(tmp_path / "recovery" / "recovery.csv")
    assert set(points["compute"]) == {"bf16"}
    assert (points[points.step == 3].tokens_seen > 0).all() and (points[points.step == 0].tokens_seen == 0).all()
    path = pandas.read_csv(tmp_path / "recovery" / "trajectory.csv")
    own = path[path.role == "unlearned"].set_index("step")
    assert own.distance_moved[0] == 0 and own.distance_moved[3] > 0
    assert own["weight_comparison.relative_frobenius_norm"].notna().all()
    assert -1 <= own.cosine_to_base[3] <= 1
    base = path[path.role == "base"].set_index("step")
    assert base.distance_to_base[0] == 0 and base.distance_to_base[3] == pytest.approx(base.distance_moved[3])


def test_what_cannot_be_concluded_is_said(tmp_path: Path) -> None:
    alone = command.cannot_conclude(settings(tmp_path))
    assert len(alone) == 2 and "never knew" in alone[0] and "top of the scale" in alone[1]
    both = settings(tmp_path, base="b", filtered="f")
    assert command.cannot_conclude(both) == []
    assert "update_rescaling" not in attack.names_of(None, base=False)
    with pytest.raises(BadInput, match="update_rescaling looks at the update from the base; name it with --base"):
        command.run(settings(tmp_path, kind="update_rescaling"), {})
    assert not (tmp_path / "recovery").exists()


def test_compare_gives_the_laboratorys_references_their_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    from brittle.commands import pipeline

    seen: list[dict[str, Any]] = []
    monkeypatch.setattr(pipeline, "pipeline", lambda given, _environment, sparse: seen.append(given) or 0)
    pipeline.compare({"models": "laboratory:base,laboratory:filtered@tiny-0,mine,yours", "outroot": "o"}, None)
    assert seen[0]["base"] == "laboratory:base" and seen[0]["filtered"] == "laboratory:filtered@tiny-0"
    assert seen[0]["unlearned"] == "mine,yours" and seen[0]["outroot"] == "o"
    pipeline.compare({"models": "a,laboratory:filtered", "filtered": "gold"}, None)
    assert seen[1]["filtered"] == "gold" and seen[1]["unlearned"] == "laboratory:filtered"
    with pytest.raises(BadInput, match="at least two models"):
        pipeline.compare({"models": "a"}, None)
