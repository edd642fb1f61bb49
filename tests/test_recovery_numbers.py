"""Steps to a level, censoring and the log-step area, worked out by hand."""

from __future__ import annotations

import math
from dataclasses import fields
from typing import Any

import numpy
import pandas
import pytest
from hypothesis import given
from hypothesis import strategies as st

from brittle.results.recovery_speed import RecoveryNumbers, log_step_area, recovery_numbers, write_numbers

Run = list[tuple[int, float]]


def points(model: str, role: str, runs: list[Run], attack: str = "relearning") -> list[dict[str, Any]]:
    return [
        {"model": model, "role": role, "attack": attack, "seed": seed, "step": step, "examples_seen": 16 * step,
         "tokens_seen": 100 * step + seed, "accuracy_t": 1.0, "accuracy_v": v, "accuracy_retain": 1.0}
        for seed, run in enumerate(runs)
        for step, v in run
    ]  # fmt: skip


BASE = points("b", "base", [[(0, 1.0), (10, 0.9), (20, 0.9)]])


def numbers(*parts: list[dict[str, Any]]) -> dict[str, RecoveryNumbers]:
    return {row.model: row for row in recovery_numbers(pandas.DataFrame([row for part in parts for row in part]))}


def test_excess_is_against_the_filtered_model_at_the_same_step() -> None:
    # the filtered model rises from 0.2 to 0.4 at step 10 and stays there
    filtered = points(
        "f", "filtered", [[(0, 0.2), (10, 0.3), (20, 0.3), (40, 0.3)], [(0, 0.2), (10, 0.5), (20, 0.5), (40, 0.5)]]
    )
    # E: 0 at step 0, (0.64 − 0.4) / 0.6 = 0.4 at 10, (0.7 − 0.4) / 0.6 = 0.5 at 20, (0.94 − 0.4) / 0.6 = 0.9 at 40
    own = points("u", "unlearned", [[(0, 0.2), (10, 0.64), (20, 0.7001), (40, 0.9401)]])
    found = numbers(points("b", "base", [[(0, 1.0), (40, 0.9)]]), filtered, own)["u"]
    assert (found.scale, found.seeds, found.last_step, found.horizon) == ("filtered", 1, 40, 40)
    assert (found.reached_50, found.steps_to_50, found.examples_to_50, found.tokens_to_50) == (1, 20, 320, 2000)
    assert (found.steps_to_50_after, found.examples_to_50_after, found.tokens_to_50_after) == (10, 160, 1000)
    assert (found.reached_90, found.steps_to_90, found.examples_to_90, found.tokens_to_90) == (1, 40, 640, 4000)
    assert (found.steps_to_90_after, found.examples_to_90_after, found.tokens_to_90_after) == (20, 320, 2000)
    assert math.isnan(found.steps_to_50_low)  # one seed has no interval
    widths = [math.log(11), math.log(21 / 11), math.log(41 / 21)]
    heights = [0.2, 0.45, 0.7]  # of the trapezoids
    expected = sum(w * h for w, h in zip(widths, heights)) / math.log(41)
    assert found.log_step_area == pytest.approx(expected, abs=1e-3)


def test_no_arm_is_read_beyond_the_shortest() -> None:
    """Of two models with the same curve the one that was followed longer is not the faster one, nor the slower one."""
    curve = [(0, 0.0), (10, 0.3), (20, 0.6), (40, 0.95), (80, 0.95)]
    flat = points("f", "filtered", [[(step, 0.0) for step, _ in curve]])
    base = points("b", "base", [[(step, 0.99) for step, _ in curve]])
    found = numbers(base, flat, points("long", "unlearned", [curve]), points("short", "unlearned", [curve[:3]]))
    one, other = found["long"], found["short"]
    assert (one.horizon, other.horizon, one.last_step) == (20, 20, 80)
    assert one.log_step_area == other.log_step_area
    assert (one.steps_to_50, one.steps_to_90, one.reached_90) == (
        20,
        math.inf,
        0,
    )  # what others were not asked is not told


def test_who_answered_everything_is_carried_on_and_who_diverged_is_censored() -> None:
    curve = [(0, 0.0), (10, 0.2), (20, 0.4), (40, 0.6)]
    flat = points("f", "filtered", [[(step, 0.0) for step, _ in curve]])
    done, lost = (
        points("done", "unlearned", [[(0, 0.0), (10, 1.0)]]),
        points("lost", "unlearned", [[(0, 0.0), (10, 0.2)]]),
    )
    ended = pandas.DataFrame([{"attack": "relearning", "model": "lost", "seed": 0}])
    table = pandas.DataFrame(
        points("b", "base", [[(0, 1.0), (10, 1.0)]]) + flat + points("u", "unlearned", [curve]) + done + lost
    )
    found = {row.model: row for row in recovery_numbers(table, ended)}
    assert {row.horizon for row in found.values()} == {40}
    # E rises to 1 over log 11 and stays there to log 41
    assert found["done"].log_step_area == pytest.approx((math.log(11) / 2 + math.log(41 / 11)) / math.log(41))
    assert found["done"].steps_to_90 == 10 and found["b"].log_step_area == 1
    assert (found["lost"].steps_to_50_after, found["lost"].steps_to_50) == (10, math.inf)
    assert math.isnan(found["lost"].log_step_area) and found["u"].steps_to_50 == 40


def test_seeds_that_do_not_get_there_are_censored_at_the_horizon() -> None:
    filtered = points("f", "filtered", [[(0, 0.0), (10, 0.0), (20, 0.0)]])
    fast, slow, never = (
        [(0, 0.0), (10, 0.6), (20, 0.6)],
        [(0, 0.0), (10, 0.4), (20, 0.6)],
        [(0, 0.0), (10, 0.1), (20, 0.1)],
    )
    base = points("b", "base", [[(0, 1.0), (20, 0.9)]])
    found = numbers(base, filtered, points("u", "unlearned", [fast, slow, never]))["u"]
    # a third each in (0, 10], (10, 20] and beyond
    assert (found.reached_50, found.steps_to_50_after, found.steps_to_50) == (2, 10, 20)
    assert (found.steps_to_50_low, found.steps_to_50_high) == (0, math.inf)  # three seeds bound no median
    assert (found.reached_90, found.steps_to_90, found.steps_to_90_after) == (0, math.inf, 20)
    assert (found.median(50).value, found.median(50, "examples").value) == (20, 320)
    assert (found.median(50).after, found.median(50, "examples").after) == (10, 160)
    assert found.log_step_area_low <= found.log_step_area <= found.log_step_area_high


def test_base_and_filtered_are_the_ends_of_the_scale() -> None:
    found = numbers(BASE, points("f", "filtered", [[(0, 0.2), (10, 0.3), (20, 0.3)]]))
    assert (found["f"].log_step_area, found["f"].steps_to_50) == (0, math.inf)
    assert (found["b"].steps_to_90_after, found["b"].steps_to_90) == (0, 0)


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
    table = pandas.DataFrame(BASE + points("u", "unlearned", [[(0, 0.2), (10, 0.9), (20, 0.9)]])).drop(
        columns="tokens_seen"
    )
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


HEIGHTS = st.floats(-0.5, 1.5)
CURVES = st.lists(st.tuples(st.integers(1, 300), HEIGHTS), min_size=1, max_size=8, unique_by=lambda point: point[0])


@given(HEIGHTS, CURVES, st.lists(st.floats(0, 1), max_size=5))
def test_asking_more_often_along_the_same_curve_leaves_the_area(start: float, later: Any, shares: list[float]) -> None:
    steps, excess = zip((0, start), *sorted(later))
    end = math.log1p(steps[-1])
    more = sorted({*steps, *(math.expm1(share * end) for share in shares)})
    between = numpy.interp([math.log1p(step) for step in more], [math.log1p(step) for step in steps], excess)
    assert log_step_area(more, between.tolist()) == pytest.approx(log_step_area(steps, excess), abs=1e-6)


@given(st.floats(0, 1), CURVES, st.floats(0, 1))
def test_the_area_scales_with_the_curve_and_lies_within_it(start: float, later: Any, factor: float) -> None:
    steps, excess = zip((0, start), *sorted((step, abs(height) / 1.5) for step, height in later))
    area = log_step_area(steps, excess)
    assert log_step_area(steps, [factor * height for height in excess]) == pytest.approx(factor * area, abs=1e-7)
    assert min(excess) - 1e-9 <= area <= max(excess) + 1e-9


def test_areas_by_hand_over_a_longer_and_a_shorter_horizon() -> None:
    assert log_step_area([0, 9], [0, 1], 99) == pytest.approx(
        0.75
    )  # over log 10 a half, over another log 10 the last height
    assert log_step_area([0, 99], [0, 1], 9) == pytest.approx(
        0.25
    )  # half way along the line on that scale it is one half
    assert log_step_area([0, 99], [0, 2]) == pytest.approx(0.75)  # cut where it passes 1, at step 9
    assert log_step_area([0, 99], [-1, 1]) == pytest.approx(0.25)
