"""Presets are looked for on what unlearning may be chosen by, and the worst base counts."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pandas
import pytest

from brittle.command_line import main
from brittle.runs import job
from brittle.runs.method_tuning import ABOVE_CHANCE, Candidate, Measured, judged, neighbours


@dataclasses.dataclass(frozen=True)
class Settings:
    retain_weight: float = 1.0
    lat_steps: int = 5
    noise: float = 0.0
    beta: float = 0.1


def test_a_step_away_in_each_number_of_the_methods_own() -> None:
    found = neighbours((("beta", 0.3),), {"lr": 1e-3, "retain_weight": 2.0}, Settings, 3.0)
    assert found[0] == (("beta", 0.3),)
    assert [dict(each) for each in found[1:]] == [
        {"beta": 0.3, "lr": 3e-3}, {"beta": 0.3, "lr": 3.3e-4},
        {"beta": 0.3, "retain_weight": 6.0}, {"beta": 0.3, "retain_weight": 0.67},
        {"beta": 0.9}, {"beta": 0.1},
    ]  # fmt: skip


def test_the_worst_base_counts_and_the_accepted_configuration_comes_first() -> None:
    def row(base: str, changes: str, shortfall: float, distance: float) -> Measured:
        return Measured("rmu", base, changes, 0.3, 0.43, 0.9, 1.0, 0.1, shortfall, distance)

    rows = [
        row("a", "{}", 0.0, 0.1), row("b", "{}", 0.2, 0.9),
        row("a", '{"lr": 1}', 0.0, 0.3), row("b", '{"lr": 1}', 0.0, 0.4),
        row("a", '{"lr": 2}', 0.0, 0.2), row("b", '{"lr": 2}', 0.0, 0.6),
    ]  # fmt: skip
    table = judged(pandas.DataFrame([dataclasses.asdict(each) for each in rows]))
    assert table["changes"].tolist() == ['{"lr": 1}', '{"lr": 2}', "{}"]
    assert table["shortfall"].tolist() == [0.0, 0.0, 0.2] and table["distance"].tolist() == [0.4, 0.6, 0.9]


@pytest.mark.end_to_end
def test_a_candidate_is_measured_on_t_and_benign_knowledge_and_leaves_no_weights(tmp_path: Path) -> None:
    changes = (("batch_size", 8), ("lr", 3e-3), ("max_steps", 25))
    candidates = [Candidate("grad_diff", "laboratory:base@tiny-0", changes, tmp_path)]
    job.carry_out(candidates, "one")
    row = pandas.read_csv(candidates[0].folder / "row.csv").iloc[0]
    assert job.missing(candidates) == [] and not list(tmp_path.rglob("*.safetensors"))
    assert row["forget_t"] < 0.9 and 0 < row["retain"] <= 1
    assert row["forget_bound"] == pytest.approx(10 / 24 + ABOVE_CHANCE)  # binomial(24, 1/4): 97.5 % lie at 10 or below
    over = max(0, row["forget_t"] - row["forget_bound"])
    lost = max(0, row["retain_base"] - 0.05 - row["retain"])
    assert row["shortfall"] == pytest.approx(over + lost + max(0, row["benign_rise"] - 0.25))
    assert not any("_v" in name for name in row.index)  # nothing is chosen by what attacks are judged on


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["--tune", "--only", "rmuu"], "rmuu"),
        (["--bases", "laboratory:base"], "--bases is read with --tune only"),
        (["--seeds", "1"], "--seeds is read with --measure only"),
        (["--only", "rmu"], "--only is read with --measure or --tune only"),
    ],
)
def test_what_cannot_be_tuned_is_refused(arguments, why, capsys) -> None:
    with pytest.raises(SystemExit) as end:
        main("methods", arguments)
    assert end.value.code == 2 and why in capsys.readouterr().err
