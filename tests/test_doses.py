"""Dose and response: which trials are made, what is written of them, and what a page shows."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import pandas
import pytest

from brittle import discovery
from brittle.command_line import main
from brittle.figures import of_doses
from brittle.runs import job, method_trials
from brittle.runs.method_trials import Row, Trial, strength
from brittle.views.plugin_pages import write


def row(method: str, dose: float, seed: int = 42, **changes: float | None) -> Row:
    values = dict.fromkeys((field.name for field in dataclasses.fields(Row)), 0.5)
    given = values | {"method": method, "seed": seed, "dose": dose, "strength": "lr", "steps_to_t": 20} | changes
    return Row(**given)  # type: ignore[arg-type]


def table(folder: Path, *rows: Row) -> Path:
    path = folder / "methods.csv"
    pandas.DataFrame(rows).assign(laboratory="small-0-0a1b2c3d").to_csv(path, index=False)
    return path


def test_a_dose_multiplies_what_a_methods_file_names_or_else_the_learning_rate(tmp_path: Path) -> None:
    names = [name for name, plugin in discovery.plugins("methods").items() if "laboratory" in plugin.load().PRESETS]
    found = {name: strength(name)[0] for name in names}
    assert {name: own for name, own in found.items() if own != "lr"} == {
        "task_vector": "task_scale", "wt_dist": "wt_noise_std", "wt_dist_scaled": "wt_noise_scale",
    }  # fmt: skip
    trial = Trial("wt_dist", 42, "laboratory:base", tmp_path, 0.5)
    assert trial.flags["wt_noise_std"] == 0.06 and "lr" not in trial.flags
    folders = {Trial("rmu", seed, "b", tmp_path, dose).folder for seed in (1, 2) for dose in (0.25, 1.0, 2.0)}
    assert len(folders) == 6


def test_seeds_at_the_preset_and_doses_with_the_first_seed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    planned: list[Trial] = []

    def carried_out(trials: list[Trial], _title: str) -> None:
        for trial in trials:
            planned.append(trial)
            trial.folder.mkdir(parents=True)
            pandas.DataFrame([row(trial.method, trial.dose, trial.seed)]).to_csv(trial.folder / "row.csv", index=False)

    base = type("Base", (), {"text": "laboratory:base"})
    monkeypatch.setattr(method_trials.laboratory_models, "find", lambda _reference: base)
    monkeypatch.setattr(job, "missing", lambda trials: trials)
    monkeypatch.setattr(job, "carry_out", carried_out)
    method_trials.measure(["rmu", "npo"], [1, 2], [0.5, 1.0, 2.0], tmp_path)
    one = [(1, 1.0), (2, 1.0), (1, 0.5), (1, 2.0)]
    assert [(t.method, t.seed, t.dose) for t in planned] == [(name, *each) for name in ("rmu", "npo") for each in one]


def test_the_table_is_of_presets_and_each_page_of_its_doses(tmp_path: Path) -> None:
    path = table(
        tmp_path, row("rmu", 1, forget_t=0.30), row("rmu", 1, 7, forget_t=0.40), row("rmu", 0.5, forget_t=0.62),
        row("rmu", 2, forget_t=0.25, benign_rise=3.0, steps_to_t=None, v_at_matched_t=None), row("npo", 1),
    )  # fmt: skip
    page = write(tmp_path / "methods.md", path)
    assert page == [tmp_path / "methods.md", tmp_path / "images" / "doses.png"] and all(map(Path.is_file, page))
    text = page[0].read_text()
    rows = [line for line in text.splitlines() if line.startswith("| [`")]
    assert len(rows) == 2 and "35 ± 7 %" in rows[1] and "62 %" not in "".join(rows) and "damaged" not in rows[1]
    own = text[text.index("\n## rmu\n") : text.index("\n## rmu_paper\n")]
    doses = [line.split("|")[1:3] for line in own.splitlines() if line.startswith(("| 0.5", "| 1 ", "| 2"))]
    assert doses == [[" 0.5 ", " 62 % "], [" 1 ", " 30 % "], [" 2 (damaged) ", " 25 % "]]
    assert next(line for line in own.splitlines() if line.startswith("| 2")).endswith("| – | – |")
    assert "Dose and response" not in text[text.index("\n## npo\n") : text.index("\n## npo_sam\n")]


def test_presets_alone_have_no_figure(tmp_path: Path) -> None:
    path = table(tmp_path, row("rmu", 1), row("rmu", 1, 7))
    assert of_doses.draw(pandas.read_csv(path)) is None
    assert write(tmp_path / "methods.md", path) == [tmp_path / "methods.md"]
    assert "doses.png" not in (tmp_path / "methods.md").read_text()


def test_the_figure_shades_damage_and_leaves_gaps(tmp_path: Path) -> None:
    path = table(tmp_path, row("rmu", 1), row("rmu", 2, benign_rise=3.0, v_at_matched_t=None), row("npo", 1))
    drawing = of_doses.draw(pandas.read_csv(path))
    assert drawing is not None
    npo, rmu = drawing.axes[:2]
    assert (npo.get_title(loc="left"), rmu.get_title(loc="left")) == ("npo", "rmu")
    assert len(rmu.patches) == 1 and not npo.patches
    (v,) = (line for line in rmu.lines if line.get_label() == of_doses.LINES["v_at_matched_t"][0])
    assert v.get_ydata()[0] == 0.5 and math.isnan(v.get_ydata()[1])


@pytest.mark.parametrize(
    ("arguments", "why"),
    [(["--doses", "1"], "--doses is read with --measure only"), (["--measure", "--doses", "0"], "--doses")],
)
def test_doses_that_are_none(arguments: list[str], why: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main("methods", arguments)
    assert end.value.code == 2 and why in capsys.readouterr().err
