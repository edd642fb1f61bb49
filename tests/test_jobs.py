"""Everything that leaves a record has one shape: it can be listed, sent elsewhere, carried out, killed and begun again."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from test_pipeline import settings_for

from brittle import discovery, records
from brittle.data.measuring_set import AnsweredQuestion, MeasuringSet, Passage
from brittle.models import loading
from brittle.models.references import locate
from brittle.records import Identity
from brittle.runs import laboratory_models
from brittle.runs.attack_job import Run
from brittle.runs.attack_material import prepare
from brittle.runs.benchmark import Benchmark, BenchmarkSettings
from brittle.runs.diagnosis import Comparison
from brittle.runs.diagnosis_job import Diagnosis, together
from brittle.runs.evaluation_job import ModelEvaluation
from brittle.runs.job import Job, missing
from brittle.runs.material import Material, questions_of, texts_of
from brittle.runs.measuring import How, Measurement
from brittle.runs.roles import Arm
from brittle.runs.session import Subject
from brittle.runs.unlearning import Making
from brittle.settings import BadInput
from brittle.suites import laboratory

SMALLEST = laboratory.Recipe(8, 6, width=32, layers=2, heads=2, vocabulary=800, steps=2)


class Killed(BaseException):
    """Stands for a kill: nothing after it runs."""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BRITTLE_HOME", str(tmp_path / "home"))
    monkeypatch.setitem(laboratory.SIZES, "smallest", SMALLEST)
    settings_for(tmp_path, "gpt_neox")
    return tmp_path


def session_in(place: Path) -> Comparison:
    settings = settings_for(place, "gpt_neox")
    texts = texts_of(None, settings.forget_text, settings.retain_text, None)
    return Comparison(place / "outputs", Material(texts, *questions_of(None, settings)), device="cpu")


def diagnosis(place: Path, name: str, *models: str, session: Comparison | None = None) -> Diagnosis:
    subject = Subject(session or session_in(place), tuple(locate(str(place / model)) for model in models))
    return Diagnosis(subject, name, discovery.find("diagnostics", name).load().Settings())


def trained(place: Path) -> Job:
    chosen = laboratory.Laboratory("smallest")
    laboratory_models._save_tokenizer(chosen)
    return laboratory_models.LaboratoryModel(chosen, "base")


def made(place: Path) -> Job:
    flags = {"model": place / "base", "forget_data": place / "forget.txt", "retain_data": place / "retain.txt"}
    more = {"method": "grad_diff", "max_steps": 2, "batch_size": 1, "device": "cpu", "no_eval": True}
    return Making({name: str(path) for name, path in flags.items()} | more | {"outdir": str(place / "models")})


def asked(place: Path) -> Job:
    return ModelEvaluation(session_in(place), locate(str(place / "base")))


def benchmarked(place: Path) -> Job:
    questions = {"t": session_in(place).material.questions["t"]}
    settings = BenchmarkSettings(device="cpu", dtype="fp32")
    return Benchmark(locate(str(place / "base")), place / "benchmarks", (), questions, settings)


def attacked(place: Path) -> Job:
    settings = discovery.find("attacks", "weight_noise").load().Settings(noise_levels=(0.1, 0.2))
    field = prepare(session_in(place).material.worded)
    arm = Arm(locate(str(place / "unlearned")), "unlearned")
    return Run("weight_noise", settings, arm, field, 3, place / "runs", None)


def measured(place: Path) -> Job:
    asked = (AnsweredQuestion("What runs?", "river", perturbed=("fox", "resin")),)
    passages = (Passage("The quick", "brown fox"), Passage("", "The river runs"))
    shown = MeasuringSet(asked, {"retain": asked}, {}, passages, passages[:1], passages, passages[::-1])
    how = How("{question}", 4, (".",), 4, 0.4, True, 2, None, "cpu", "fp32")
    return Measurement("tofu", shown, locate(str(place / "base")), how, place / "outputs")


KINDS: dict[str, Callable[[Path], Any]] = {
    "laboratory": trained,
    "make": made,
    "evaluate": asked,
    "published benchmarks": benchmarked,
    "measures": measured,
    "diagnose weights of a pair": lambda place: diagnosis(place, "weight_comparison", "base", "unlearned"),
    "diagnose patches of a pair": lambda place: diagnosis(place, "causal_depth", "base", "unlearned"),
    "diagnose a model": lambda place: diagnosis(place, "wmdp_logit_lens", "unlearned"),
    "attack": attacked,
}


@pytest.mark.end_to_end
@pytest.mark.parametrize("kind", KINDS)
def test_a_job_is_missing_until_it_is_whole_wherever_it_is_carried_out(
    kind: str, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job, same = KINDS[kind](place), KINDS[kind](place)
    assert isinstance(job.identity, Identity) and isinstance(job.folder, Path) and job.size >= 1
    assert (job.identity, job.folder) == (same.identity, same.folder)
    sent = pickle.loads(pickle.dumps(job))
    assert sent.identity.fingerprint == job.identity.fingerprint and sent.folder == job.folder
    assert missing([job]) == [job]

    def kill(*_arguments: object, **_named: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(records, "put_in_place", kill)
        with pytest.raises(Killed):
            sent.carry_out(lambda _: None)
    assert missing([job]) == [job] and not list(job.folder.parent.glob(f"{job.folder.name}/record.json"))

    ticks: list[int] = []
    pickle.loads(pickle.dumps(sent)).carry_out(ticks.append)
    assert sum(ticks) > 0
    assert missing([job]) == [] and missing([job], force=True) == [job]
    record = json.loads((job.folder / "record.json").read_text())
    assert (record["fingerprint"], record["kind"]) == (job.identity.fingerprint, job.identity.kind)


@pytest.mark.end_to_end
def test_diagnoses_of_the_same_models_share_what_they_load(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loads: list[str] = []
    load = loading.load
    monkeypatch.setattr(loading, "load", lambda located, *rest: loads.append(located.text) or load(located, *rest))
    session = session_in(place)
    names = ("activation_comparison", "activation_covariance", "lipschitzness")
    jobs = [diagnosis(place, name, "base", "unlearned", session=session) for name in names]
    assert together(jobs) == [] and missing(jobs) == []
    assert sorted(loads) == sorted(str(place / name) for name in ("base", "unlearned"))
    assert pickle.loads(pickle.dumps(jobs[0])).subject.session._loaded == {}, "a job travels without models"


@pytest.mark.end_to_end
def test_a_single_diagnosis_raises_what_went_wrong(place: Path) -> None:
    session = session_in(place)
    session.material = Material({"forget": ["one"], "retain": ["two", "three"]}, {})
    job = diagnosis(place, "activation_comparison", "base", "unlearned", session=session)
    with pytest.raises(BadInput, match="the forget texts are 1"):
        job.carry_out(lambda _: None)
    assert missing([job]) == [job]
