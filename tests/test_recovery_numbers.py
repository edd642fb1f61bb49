"""Steps to a level, censoring and the log-step area, worked out by hand."""

from __future__ import annotations

import math
from dataclasses import fields
from typing import Any

import pandas
import pytest

from brittle.results.recovery_speed import RecoveryNumbers, log_step_area, recovery_numbers, write_numbers

Run = list[tuple[int, float]]


def points(model: str, role: str, runs: list[Run], attack: str = "relearning") -> list[dict[str, Any]]:
    return [
        {"model": model, "role": role, "attack": attack, "seed": seed, "step": step, "examples_seen": 16 * step,
         "tokens_seen": 100 * step + seed, "accuracy_t": 1.0, "accuracy_v": v, "accuracy_retain": 1.0}
        for seed, run in enumerate(runs)
        for step, v in run
    ]  # fmt: skip


BASE = points("b", "base", [[(0, 1.0), (10, 0.9)]])


def numbers(*parts: list[dict[str, Any]]) -> dict[str, RecoveryNumbers]:
    return {row.model: row for row in recovery_numbers(pandas.DataFrame([row for part in parts for row in part]))}


def test_excess_is_against_the_filtered_model_at_the_same_step_carried_on() -> None:
    # the filtered model rises from 0.2 to 0.4 at step 10 and ends there: at step 20 it still counts as 0.4
    filtered = points("f", "filtered", [[(0, 0.2), (10, 0.3)], [(0, 0.2), (10, 0.5)]])
    # E: 0 at step 0, (0.64 − 0.4) / 0.6 = 0.4 at 10, (0.7 − 0.4) / 0.6 = 0.5 at 20, (0.94 − 0.4) / 0.6 = 0.9 at 40
    own = points("u", "unlearned", [[(0, 0.2), (10, 0.64), (20, 0.7001), (40, 0.9401)]])
    found = numbers(BASE, filtered, own)["u"]
    assert (found.scale, found.seeds, found.last_step) == ("filtered", 1, 40)
    assert (found.reached_50, found.steps_to_50, found.examples_to_50, found.tokens_to_50) == (1, 20, 320, 2000)
    assert (found.reached_90, found.steps_to_90, found.examples_to_90, found.tokens_to_90) == (1, 40, 640, 4000)
    assert math.isnan(found.steps_to_50_low)  # one seed has no interval
    widths = [math.log(11), math.log(21 / 11), math.log(41 / 21)]
    heights = [0.2, 0.45, 0.7]  # of the trapezoids
    expected = sum(w * h for w, h in zip(widths, heights)) / math.log(41)
    assert found.log_step_area == pytest.approx(expected, abs=1e-3)


def test_seeds_that_do_not_get_there_are_censored_at_their_last_step() -> None:
    filtered = points("f", "filtered", [[(0, 0.0)]])
    fast, slow, never = [(0, 0.0), (10, 0.6)], [(0, 0.0), (10, 0.4), (20, 0.6)], [(0, 0.0), (10, 0.1)]
    found = numbers(BASE, filtered, points("u", "unlearned", [fast, slow, never]))["u"]
    # S(10) = 1 − 1/3; the third leaves at 10; S(20) = 2/3 · (1 − 1/1) = 0
    assert (found.reached_50, found.steps_to_50, found.steps_to_50_low, found.steps_to_50_high) == (2, 20, 10, math.inf)
    assert (found.reached_90, found.steps_to_90) == (0, math.inf)
    assert (found.median(50).value, found.median(50, "examples").value) == (20, 320)
    assert found.log_step_area_low <= found.log_step_area <= found.log_step_area_high


def test_base_and_filtered_are_the_ends_of_the_scale() -> None:
    found = numbers(BASE, points("f", "filtered", [[(0, 0.2), (10, 0.3)]]))
    assert (found["f"].log_step_area, found["f"].steps_to_50) == (0, math.inf)
    assert found["b"].steps_to_90 == 0


def test_without_a_filtered_model_the_scale_starts_before_the_attack_and_says_so() -> None:
    found = numbers(BASE, points("u", "unlearned", [[(0, 0.6), (10, 0.8), (20, 0.97)]]))
    assert (found["u"].scale, found["u"].steps_to_50, found["u"].steps_to_90) == ("before", 10, 20)
    assert "b" not in found  # it has lost nothing that could come back


def test_without_a_base_there_is_no_scale_and_a_missing_evaluation_is_no_number() -> None:
    own = points("u", "unlearned", [[(0, 0.2), (10, math.nan), (20, 0.9)]])
    assert numbers(own) == {}
    found = numbers(BASE, points("f", "filtered", [[(0, 0.2)]]), own)["u"]
    assert found.steps_to_50 == 20


def test_a_trial_is_read_against_the_same_trial() -> None:
    flat, risen = [(0, 0.2), (10, 0.2)], [(0, 0.2), (10, 0.6)]
    search = "relearning_search"
    found = numbers(
        points("b", "base", [[(0, 1.0)]], search),
        points("f", "filtered", [flat, risen], search),
        points("u", "unlearned", [risen, risen], search),
    )["u"]
    assert (found.seeds, found.reached_50) == (2, 1)  # the second trial teaches V to a model that never knew it


def test_columns_that_older_runs_lack_are_empty_and_every_column_is_explained(tmp_path) -> None:
    table = pandas.DataFrame(BASE + points("u", "unlearned", [[(0, 0.2), (10, 0.9)]])).drop(columns="tokens_seen")
    rows = recovery_numbers(table)
    assert math.isnan(rows[0].tokens_to_50) and rows[0].examples_to_50 == 160
    assert all(field.metadata["help"] for field in fields(RecoveryNumbers))
    (tmp_path / "recovery").mkdir()
    write_numbers(tmp_path, rows)
    path = tmp_path / "recovery" / "numbers.csv"
    written = pandas.read_csv(path)
    assert list(written) == [field.name for field in fields(RecoveryNumbers)] and written["steps_to_50"].tolist() == [
        10
    ]
    write_numbers(tmp_path, [])
    assert not path.exists()


def test_area_is_cut_to_the_scale_and_early_recovery_counts_most() -> None:
    assert log_step_area([0, 10], [2.0, 3.0]) == 1 and log_step_area([0, 10], [-1.0, -2.0]) == 0
    assert log_step_area([0], [0.3]) == 0.3
    assert log_step_area([0, 10, 100], [0, 1, 1]) > log_step_area([0, 10, 100], [0, 0, 1])
