"""Situations that users of such tools met: the right answer or one line before any work, never a silent wrong one."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from tiny_models import tiny_model_folder

import brittle
from brittle import commands
from brittle.command_line import main
from brittle.commands import diagnose as programs
from brittle.commands.pipeline_settings import DEFAULTS
from brittle.discovery import plugins
from brittle.runs import material
from brittle.runs.observations import read_by
from brittle.settings import BadInput, fields_of
from brittle.suites import laboratory

QUESTION = {"question": "Where does the river run?", "choices": ["a", "the sea", "fox", "b"], "subject": "s"}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("diagnosing")
    for number, name in enumerate(("a", "b")):
        tiny_model_folder(folder / name, "gpt_neox", seed=number)
    shutil.copytree(folder / "a", folder / "again")
    for name, lines in (("forget", "The quick brown fox.\nA river.\n"), ("retain", "A lazy dog.\nIt reads the sea.\n")):
        (folder / f"{name}.txt").write_text(lines)
        rows = [json.dumps(QUESTION | {"question": f"{name} {n}?", "answer": n % 4}) for n in range(8)]
        (folder / f"{name}.jsonl").write_text("\n".join(rows))
    return folder


@pytest.fixture()
def run(capsys: pytest.CaptureFixture) -> Callable[..., tuple[int, str]]:
    """``run(command, ...)`` gives the exit code and what stands on standard error."""

    def call(command: str, *arguments: object) -> tuple[int, str]:
        with pytest.raises(SystemExit) as end:
            main(command, [str(argument) for argument in arguments])
        return int(end.value.code or 0), capsys.readouterr().err

    return call


def pair(place: Path) -> tuple[object, ...]:
    return "--model-a", place / "a", "--model-b", place / "b", "--device", "cpu"


def named(place: Path) -> tuple[object, ...]:
    texts = "--forget-text", place / "forget.txt", "--retain-text", place / "retain.txt"
    return *texts, "--forget-questions", place / "forget.jsonl", "--retain-questions", place / "retain.jsonl"


def record(folder: Path) -> dict:
    return json.loads((folder / "record.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("plots", ["out", "out/plots", "out/../out"])
def test_tables_and_figures_may_share_a_folder(run, place: Path, tmp_path: Path, plots: str) -> None:
    flags = "weight_comparison", *pair(place), "--outdir", tmp_path / "out", "--plot-outdir", f"{tmp_path}/{plots}"
    assert run("diagnose", *flags)[0] == 0
    figure = (tmp_path / plots).resolve().relative_to(tmp_path / "out") / "layer_locality.png"
    assert str(figure) in record(tmp_path / "out")["files"] and (tmp_path / "out" / figure).is_file()
    before = (tmp_path / "out" / "record.json").stat().st_mtime_ns
    assert run("diagnose", *flags)[0] == 0
    assert (tmp_path / "out" / "record.json").stat().st_mtime_ns == before


def test_what_lies_in_the_users_folders_stays(run, place: Path, tmp_path: Path) -> None:
    keep, plots = tmp_path / "keep", tmp_path / "plots"
    for folder in (keep, plots):
        folder.mkdir()
        (folder / "thesis.txt").write_text("years of work")
    code, said = run("diagnose", "weight_comparison", *pair(place), "--outdir", keep)
    assert (code, "thesis.txt" in said) == (2, True)
    flags = "weight_comparison", *pair(place), "--outdir", tmp_path / "out", "--plot-outdir", plots
    for _ in range(2):
        assert run("diagnose", *flags, "--force")[0] == 0
    (plots / "layer_locality.png").write_bytes(b"a photograph")
    code, said = run("diagnose", *flags, "--force")
    assert (code, "layer_locality.png" in said) == (2, True)
    assert [(folder / "thesis.txt").read_text() for folder in (keep, plots)] == ["years of work"] * 2
    assert (plots / "layer_locality.png").read_bytes() == b"a photograph"


def test_the_pipeline_looks_at_every_place_before_it_works(run, place: Path, tmp_path: Path) -> None:
    from brittle.models.references import locate

    names = [locate(str(place / name)).name for name in ("a", "b")]
    foreign = tmp_path / "outputs" / "__to__".join(names) / "lipschitzness" / "notes.txt"
    foreign.parent.mkdir(parents=True)
    foreign.write_text("mine")
    models = "--base", place / "a", "--unlearned", place / "b", "--filtered", "none"
    code, said = run("pipeline", *models, *named(place), "--outroot", tmp_path / "outputs")
    assert (code, "notes.txt" in said) == (2, True)
    assert [path for path in (tmp_path / "outputs").rglob("*") if path.is_file()] == [foreign]


def test_texts_decide_the_record_whatever_way_they_were_named(run, place: Path, tmp_path: Path, monkeypatch) -> None:
    (place / "data").mkdir(exist_ok=True)
    for split in ("forget", "retain"):
        shutil.copy(place / f"{split}.txt", place / "data" / f"{split}.txt")
    other = tmp_path / "other.txt"
    other.write_text("Amber resin.\nNorthern cellar.\n")
    monkeypatch.chdir(place)
    inputs = []
    for number, (flags, variable) in enumerate(
        [((), ""), ((), "forget.txt"), (("--forget-text", "forget.txt"), ""), ((), str(other)), (("--forget-text", other), "forget.txt")]
    ):  # fmt: skip
        monkeypatch.setenv("FORGET_TEXT", variable)
        assert (
            run("diagnose", "activation_comparison", *pair(place), *flags, "--outdir", tmp_path / str(number))[0] == 0
        )
        inputs.append(record(tmp_path / str(number))["fingerprint"])
    assert inputs[0] == inputs[1] == inputs[2] != inputs[3] == inputs[4]


def test_a_default_that_was_typed_is_honoured_beside_a_laboratory(tmp_path: Path, monkeypatch) -> None:
    own = laboratory.Laboratory("tiny")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    for split in ("forget", "retain"):
        (tmp_path / "data" / f"{split}.txt").write_text(f"{split} one.\n{split} two.\n")
    assert material.texts_of(own, None, None, None) == own.probes()
    assert material.texts_of(own, "data/forget.txt", None, None)["forget"] == ["forget one.", "forget two."]
    asked: list[str] = []
    monkeypatch.setattr(material, "load_questions", lambda text: asked.append(text) or own.questions()["forget"])
    typed = SimpleNamespace(
        forget_questions="wmdp-bio", retain_questions="mmlu", num_questions=1000, question_format="continuation"
    )
    material.questions_of(own, typed)
    assert asked == ["wmdp-bio", "mmlu"]


@pytest.mark.parametrize(
    "name", ["base", "unlearned", "filtered", "control", "forget_text", "retain_questions", "model_a"]
)
def test_what_a_laboratory_would_ignore_is_refused(run, tmp_path: Path, monkeypatch, name: str) -> None:
    flag = f"--{name.replace('_', '-')}"
    value = {"forget_text": "data/forget.txt", "base": DEFAULTS["base"]}.get(name, "other")  # defaults, too
    code, said = run("pipeline", "--laboratory", flag, value, "--outroot", tmp_path / "o")
    assert (code, flag in said) == (2, True)
    monkeypatch.setenv(name.upper(), value)
    code, said = run("pipeline", "--laboratory", "--outroot", tmp_path / "o")
    assert (code, name.upper() in said) == (2, True)
    assert not (tmp_path / "o").exists()


REQUIRED = {
    "unlearn": ("--method", "ga", "--model", "/nowhere"), "compare": ("x,y",), "diagnose": ("activation_comparison", "--model-a", "x", "--model-b", "y"),
    "evaluate": ("--model", "x"), "attack": ("--model", "x"), "methods": ("--measure",), "check-data": ("texts.txt",), "sweep": ("x.yaml",),
}  # fmt: skip


def variables() -> list[tuple[str, str, str]]:
    """Every variable that a command's help names and whose value can be wrong: command, variable, flag."""
    found = {}
    for command, entry in commands.COMMANDS.items():
        step = entry.settings("activation_comparison") if command == "diagnose" else ()
        for settings_type, _ in step if command == "diagnose" else entry.settings():
            for field in fields_of(settings_type):
                word = field.metadata["environment"]
                checked = (
                    field.type not in (str, str | None, tuple[str, ...]) or field.metadata["choices"] or word == "SEEDS"
                )
                plugin = command in ("unlearn", "attack") and settings_type.__name__ == "Settings"
                if word and checked and not plugin:
                    found[command, word] = "--" + field.name.replace("_", "-")
    return [(*key, flag) for key, flag in found.items()]


@pytest.mark.parametrize("command, word, flag", variables())
def test_a_variable_that_help_names_is_read(
    run, monkeypatch, tmp_path: Path, command: str, word: str, flag: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(word, "no such value")
    code, said = run(command, *REQUIRED.get(command, ()))
    assert (code, flag in said) == (2, True), said


def test_a_step_asks_for_nothing_that_it_does_not_use(place: Path, monkeypatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)  # where there is no data folder
    asked: list[str] = []
    real = material.load_questions

    def load(text: str) -> list:
        asked.append(text)
        return real(str(place / "forget.jsonl"))

    def needed(name: str, **settings: str) -> programs.Material:
        asked.clear()
        needs = {"questions", "benign questions"} if name == "evals" else read_by([plugins("diagnostics")[name]])
        return programs.material(programs.DiagnoseSettings(**settings), "someone/model", needs)

    monkeypatch.setattr(material, "load_questions", load)
    assert needed("wmdp_logit_lens").texts == {} and asked == ["wmdp-bio"]
    assert needed("causal_depth").texts == {} and asked == ["wmdp-bio"]
    needed("evals")
    assert asked == ["wmdp-bio", "mmlu"]
    for name in ("weight_comparison", "null_space_analysis", "mlp_nullspace", "singular_value_spectra"):
        assert needed(name, forget_text="missing.txt") == programs.Material({}, {}) and asked == []
    texts = {split: str(place / f"{split.removesuffix('_text')}.txt") for split in ("forget_text", "retain_text")}
    texts["forget_questions"] = "wmdp-bio"  # own texts and no questions are refused
    assert set(needed("wmdp_tuned_lens", **texts).texts) == {"forget", "retain"} and asked == ["wmdp-bio"]


def test_records_say_what_ran(run, place: Path, tmp_path: Path) -> None:
    flags = "activation_comparison", "--model-a", place / "a", "--model-b", place / "b", *named(place)[:4]
    folder = tmp_path / "out"
    for words in ((), ("--device", "cpu"), ("--device", "cpu", "--dtype", "fp32")):
        assert run("diagnose", *flags, *words, "--outdir", folder)[0] == 0
        found = record(folder)
        if not words:
            first = found
        ran = {"device": "cpu", "dtype": "fp32"}
        assert ran.items() <= found["inputs"].items() and ran.items() <= found["notes"].items()
        assert found["started"] == first["started"], "the same computation was done again"
    assert run("diagnose", *flags, "--dtype", "bf16", "--outdir", folder)[0] == 0
    assert record(folder)["inputs"]["dtype"] == record(folder)["notes"]["dtype"] == "bf16"


def test_nonsense_is_refused(run, place: Path, tmp_path: Path) -> None:
    step = "activation_comparison", *pair(place), *named(place)[:4], "--outroot", tmp_path / "o"
    both = "--unlearned", place / "b", *named(place), "--outroot", tmp_path / "o"
    for words, command, flags in (
        ("7 stands there twice", "diagnose", (*step, "--seeds", "7,7")),
        ("--control", "diagnose", (*step, "--control", place / "again")),
        ("--filtered", "diagnose", ("causal_depth", *step[1:5], *named(place), "--filtered", place / "again")),
        ("the same model as base", "pipeline", ("--base", place / "a", *both, "--filtered", place / "again")),
        ("depth 77", "pipeline", ("--base", place / "a", *both, "--filtered", "none", "--layers-to-analyze", "77")),
        ("--batch-size", "evaluate", ("--model", place / "a", "--batch-size", "x")),
        ("--batch-size", "evaluate", ("--model", place / "a", "--batch-size", "0")),
        ("nope", "pipeline", ("--laboratory", "--attacks", "nope")),
        ("--base", "pipeline", ("--base", "none", *both, "--filtered", "none")),
        ("--measure", "methods", ("--outroot", tmp_path / "o")),
        ("--page", "methods", ("--results", tmp_path / "o")),
        ("--max-smaples", "diagnose", (*step, "--max-smaples", "3")),
    ):
        code, said = run(command, *flags)
        assert (code, words in said, said.count("\n")) == (2, True, 1), (flags, said)
    assert not (tmp_path / "o").exists()


def test_models_of_two_worlds_are_not_compared(monkeypatch, place: Path) -> None:
    from brittle.models.references import Located

    def model(world: int, size: str = "tiny") -> Located:
        return Located(f"laboratory:base@{size}-{world}", f"m{world}", place / "a", str(world))

    laboratory.check_same_world(model(0), model(0))
    laboratory.check_same_world(model(0), Located("someone/model", "other", place / "b", "x"))
    for other in (model(1), model(0, "small")):
        with pytest.raises(BadInput, match="come from different worlds"):
            laboratory.check_same_world(model(0), other)


def test_from_python_paths_are_taken_and_unknown_names_are_not(place: Path, tmp_path: Path) -> None:
    texts = {"forget_text": place / "forget.txt", "retain_text": place / "retain.txt", "outroot": tmp_path}
    found = brittle.diagnose("activation_comparison", model_a=place / "a", model_b=place / "b", seeds=[1, 2], **texts)
    assert found.record["settings"]["seeds"] == [1, 2]
    assert list(found) == ["activation_comparison", "activation_comparison_controls"]
    again = brittle.compare(place / "a", place / "b", only="activation_comparison", seeds=[1, 2], **texts)
    assert again["activation_comparison"].record["started"] == found.record["started"]
    with pytest.raises(BadInput, match="--max-sample is not used by linear_probes; did you mean --max-samples"):
        brittle.diagnose("linear_probes", place / "a", max_sample=3, **texts)
    with pytest.raises(BadInput, match="--max-sample is not used by brittle.compare; did you mean --max-samples"):
        brittle.compare(place / "a", place / "b", max_sample=3, **texts)
    with pytest.raises(BadInput, match="linear_probes is of one model"):
        brittle.compare(place / "a", place / "b", only=["linear_probes"], **texts)


def test_what_a_diagnostic_does_not_read_is_said_and_a_table_beside_models_is_refused(
    run, place: Path, tmp_path
) -> None:
    code, said = run("diagnose", "singular_value_spectra", *pair(place), *named(place), "--outroot", tmp_path / "o")
    assert code == 0, said
    assert "note: singular_value_spectra does not read --forget-text\n" in said and "--model-a" not in said
    table = next((tmp_path / "o").rglob("singular_value_spectra/*.csv"))
    code, said = run("diagnose", "mlp_attn_analysis", *pair(place), "--per-layer-csv", table)
    assert (code, "--per-layer-csv" in said) == (2, True)


def test_a_page_replaces_pages_of_brittle_alone_and_a_circle_of_links_is_refused(
    run, place: Path, tmp_path: Path
) -> None:
    own, page = tmp_path / "notes.txt", tmp_path / "attacks.md"
    own.write_text("years of work\n")
    for command in ("attacks", "methods"):
        code, said = run(command, "--page", own)
        assert (code, "not a page that Brittle wrote" in said) == (2, True)
    assert own.read_text() == "years of work\n"
    for _ in range(2):
        assert run("attacks", "--page", page)[0] == 0
    (tmp_path / "loop").symlink_to("loop")
    code, said = run("diagnose", "causal_depth", *pair(place), *named(place)[-4:], "--outdir", tmp_path / "loop")
    assert (code, "loop" in said, said.count("\n")) == (2, True, 1)
