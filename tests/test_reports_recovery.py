"""Recovery at matched T and the chance test, on tables made by hand."""

from __future__ import annotations

import json
import math
import random
from typing import Any

import pandas
import pytest

from brittle.results.at_matched_t import MatchedRecovery, curves, estimate, matched, reference_of
from brittle.results.chance import chance_test
from brittle.results.excess import excess_recovery
from brittle.results.verdicts import at_matched_t
from brittle.views import words

VALUES = [f"value{number}" for number in range(8)]


def verdict(row: MatchedRecovery, filtered: MatchedRecovery | None) -> str:
    """The judgement in words."""
    return words.at_matched_t(row, at_matched_t(row, filtered))


def points(model: str, role: str, runs: list[list[tuple[int, float, float]]]) -> list[dict[str, Any]]:
    return [
        {"model": model, "role": role, "attack": "relearning", "seed": seed, "step": step, "examples_seen": 8 * step,
         "accuracy_t": t, "accuracy_v": v, "accuracy_retain": 1.0}
        for seed, run in enumerate(runs)
        for step, t, v in run
    ]  # fmt: skip


def test_estimate_is_students_interval_cut_to_accuracies() -> None:
    found = estimate([0.5, 0.6, 0.7])
    assert found.mean == pytest.approx(0.6)
    assert found.high - found.mean == pytest.approx(4.302653 * 0.1 / math.sqrt(3), rel=1e-5)
    assert estimate([0.9, 1.0]).high == 1.0
    assert math.isnan(estimate([0.5]).low) and str(estimate([0.5])) == "50 %"


def test_curves_average_over_seeds() -> None:
    table = curves(
        pandas.DataFrame(points("m", "base", [[(0, 0.2, 0.1), (10, 1.0, 0.3)], [(0, 0.4, 0.3), (10, 1.0, 0.5)]]))
    )
    assert table["mean_t"].tolist() == pytest.approx([0.3, 1.0])
    assert table["mean_v"].tolist() == pytest.approx([0.2, 0.4])
    assert table["seeds"].tolist() == [2, 2]


def test_a_curve_goes_on_where_a_seed_ended_because_it_answered_everything() -> None:
    done, slow = [(0, 0.2, 0.1), (10, 1.0, 1.0)], [(0, 0.2, 0.1), (10, 0.9, 0.5), (20, 1.0, 0.6)]
    table = curves(pandas.DataFrame(points("m", "base", [done, slow])))
    assert table["step"].tolist() == [0, 10, 20] and table["mean_v"].tolist() == pytest.approx([0.1, 0.75, 0.8])
    other = curves(pandas.DataFrame(points("m", "base", [[(0, 0.2, 0.1), (10, 1.0, 0.9)], slow])))
    assert other["step"].tolist() == [0, 10]


def test_matched_takes_the_first_step_with_t_learned_in_each_seed() -> None:
    fast = [(0, 0.2, 0.2), (10, 0.95, 0.5), (20, 0.9, 0.9), (30, 1.0, 0.7)]
    slow = [(0, 0.2, 0.2), (10, 0.5, 0.3), (20, 0.96, 0.6), (30, 1.0, 0.8)]
    (row,) = matched(pandas.DataFrame(points("m", "unlearned", [fast, slow])))
    assert row.v and row.last_v and row.best_v
    assert (row.step, row.learned, words.learned(row)) == (15, 2, "learned T")
    # the slow one's T passes 0.95 at 45/46 of the way from 0.5 to 0.96, where V is 45/46 of the way from 0.3 to 0.6
    assert row.v.mean == pytest.approx((0.5 + 0.3 + 0.3 * 45 / 46) / 2)
    assert (row.v_from, row.v_to) == (pytest.approx((0.2 + 0.3) / 2), pytest.approx((0.5 + 0.6) / 2))
    assert (row.time.after, row.time.value) == (0, 10)  # half of the seeds are there by then
    assert row.last_v.mean == pytest.approx((0.7 + 0.8) / 2)
    assert row.best_v.mean == pytest.approx((0.9 + 0.8) / 2)  # a later dip of T does not undo that it was learned


def test_a_model_that_never_learned_t_is_no_control() -> None:
    stuck, learned = [(0, 0.2, 0.2), (10, 0.94, 1.0)], [(0, 0.2, 0.2), (10, 1.0, 0.4)]
    table = points("never", "filtered", [stuck, stuck]) + points("half", "unlearned", [stuck, learned])
    never, half = matched(pandas.DataFrame(table))
    assert never.v is None and never.best_t == 0.94
    assert verdict(never, never) == "never learned T: no control"
    assert words.learned(half) == "learned T in 1 of 2 seeds"
    share = (0.95 - 0.2) / (1 - 0.2)
    assert half.v and half.v.mean == pytest.approx(0.2 + share * 0.2)
    assert (never.time.after, never.time.value) == (10, math.inf) and (half.time.after, half.time.value) == (0, 10)


def test_how_often_a_model_is_asked_does_not_decide_its_v_at_matched_t() -> None:
    """On straight curves a coarse and a fine grid give the same V; a level that lies on an evaluation is read there."""
    fine = [(step, step / 40, step / 80) for step in range(0, 41, 2)]
    for every in (1, 4, 10, 20):
        (row,) = matched(pandas.DataFrame(points("m", "unlearned", [fine[::every]])))
        assert row.v and row.v.mean == pytest.approx(0.475)
        assert row.v_from <= row.v.mean <= row.v_to
    (at_once,) = matched(pandas.DataFrame(points("m", "unlearned", [[(0, 0.96, 0.7), (10, 1.0, 0.1)]])))
    assert at_once.v and (at_once.v.mean, at_once.v_from, at_once.v_to, at_once.time.value) == (0.7, 0.7, 0.7, 0)


def test_excess_recovery_is_measured_between_filtered_and_base() -> None:
    run = [(0, 1.0, 1.0)]
    table = (
        points("b", "base", [run])
        + points("f", "filtered", [[(0, 1.0, 0.2)]])
        + points("u", "unlearned", [[(0, 1.0, 0.6)]])
    )
    rows = matched(pandas.DataFrame(table))
    assert [row.excess for row in rows] == pytest.approx([1.0, 0.0, 0.5])
    assert excess_recovery(0.5, 1.0, 1.0) is None
    assert reference_of(rows, "retrained") is None


def questions(predict: Any, number: int = 128) -> pandas.DataFrame:
    """Four-way questions of two relations with eight balanced values, answered by ``predict``."""
    generator = random.Random(7)
    rows = []
    for place in range(number):
        key = VALUES[place % 8]
        choices = generator.sample([value for value in VALUES if value != key], 3)
        correct = generator.randrange(4)
        choices.insert(correct, key)
        rows.append({
            "fact": f"entity{place}/{'source' if place % 16 < 8 else 'target'}", "seed": 0,
            "choices": json.dumps(choices), "choice_correct": correct,
            "choice_predicted": predict(generator, choices, correct),
        })  # fmt: skip
    return pandas.DataFrame(rows)


def guess(generator: random.Random, choices: list[str], correct: int) -> int:
    return generator.randrange(4)


def test_guessing_is_not_above_chance_and_chance_is_a_quarter() -> None:
    found = chance_test(questions(guess, number=400))
    assert found.p > 0.05 and found.low <= found.accuracy <= found.high
    # a free permutation of eight values would expect 0.125 and call every guesser knowing
    assert found.expected == pytest.approx(0.25, abs=0.02)
    assert (found.questions, found.compared) == (400, "texts")


def test_knowledge_is_above_chance() -> None:
    def knows_a_third(generator: random.Random, choices: list[str], correct: int) -> int:
        return correct if generator.random() < 1 / 3 else generator.randrange(4)

    found = chance_test(questions(knows_a_third, number=200))
    assert found.p < 0.01 and found.accuracy > found.high
    assert chance_test(questions(lambda generator, choices, correct: correct)).p == pytest.approx(1 / 2001)


def test_a_favourite_value_is_no_knowledge() -> None:
    def likes_low_numbers(generator: random.Random, choices: list[str], correct: int) -> int:
        return choices.index(min(choices))

    found = chance_test(questions(likes_low_numbers, number=200))
    assert found.p > 0.05 and found.expected == pytest.approx(0.25, abs=0.05)


def test_seeds_that_answer_alike_are_no_more_evidence_than_one() -> None:
    once = questions(guess)
    thrice = pandas.concat([once.assign(seed=seed) for seed in range(3)])
    one, three = chance_test(once), chance_test(thrice)
    assert (three.p, three.low, three.high) == (one.p, one.low, one.high)


def test_false_alarms_are_as_rare_as_promised() -> None:
    generator, alarms = random.Random(1), 0
    for _ in range(60):
        table = questions(guess, number=24)
        table["choice_predicted"] = [generator.randrange(4) for _ in range(len(table))]
        alarms += chance_test(table, permutations=99).p <= 0.1
    assert alarms <= 13  # 6 expected; more than 13 of 60 has probability 0.003


def test_positions_are_permuted_where_questions_share_no_answers() -> None:
    table = questions(guess)
    apart = table.assign(
        choices=[json.dumps([f"{place} {option}" for option in "abcd"]) for place in range(len(table))]
    )
    for answers in (table.drop(columns="choices"), apart):
        found = chance_test(answers)
        assert found.compared == "positions" and found.p > 0.05
        assert found.expected == pytest.approx(0.25, abs=0.03)


def test_verdicts_need_a_control_that_is_not_above_chance() -> None:
    knows, blind = questions(lambda generator, choices, correct: correct), questions(guess)
    curve = {
        "b": (1.0, "base"),
        "f": (0.25, "filtered"),
        "u": (1.0, "unlearned"),
        "w": (0.25, "unlearned"),
        "n": (1.0, "unlearned"),
    }
    hidden = {name: [(0, 0.25, 0.25)] for name in "fuw"} | {name: [(0, 1.0, 1.0)] for name in "bn"}
    rows = [row for name, (v, role) in curve.items() for row in points(name, role, [[*hidden[name], (10, 1.0, v)]])]
    table, learned = pandas.DataFrame(rows), {name: 10 * (name in "fuw") for name in curve}
    held = {"b": knows, "f": blind, "u": knows, "w": blind, "n": knows}
    answers = pandas.concat([part.assign(model=name, step=learned[name], side="v") for name, part in held.items()])
    base, filtered, back, gone, never = matched(table, answers)
    assert verdict(base, filtered) == "reference that never lost V"
    assert verdict(never, filtered) == "never removed"
    assert (verdict(back, filtered), verdict(gone, filtered)) == ("came back", "not above chance")
    assert verdict(back, None) == "above chance, no control"
    assert verdict(back, back) == "no verdict: the control is above chance too"
    (untested,) = matched(table[table["model"] == "u"])
    assert verdict(untested, filtered) == "not tested against chance"
