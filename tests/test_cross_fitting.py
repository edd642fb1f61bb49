"""The worst case over many attacks is chosen on questions that it is not read on, so chance stays at chance."""

from __future__ import annotations

import itertools
import json
from typing import Any

import numpy
import pandas
import pytest

from brittle.results import at_strongest, attack_kinds
from brittle.results.at_strongest import WorstCase, worst_cases
from brittle.results.cross_fitting import Tried, cross_fitted, halves

ATTACKS = sorted(
    set().union(*(attack_kinds.attacks_read(kind) for kind in attack_kinds.Reading)) - attack_kinds.yardsticks()
)
ENTITIES, RELATIONS, STEPS = 32, 4, (0, 10, 20, 30)
FACTS = [f"e{entity}/r{relation}" for entity in range(ENTITIES) for relation in range(RELATIONS)]
Tables = tuple[pandas.DataFrame, pandas.DataFrame]


def tables(model: str, role: str, chance: Any, seed: int, attacks: list[str] = ATTACKS) -> Tables:
    """Points and answers of one model: every question is right with a probability, whatever was right elsewhere."""
    generator, points, answers = numpy.random.default_rng(seed), [], []
    for attack in attacks:
        for run in range(3):
            right = generator.random((len(FACTS), len(STEPS))) < [chance(attack, step) for step in STEPS]
            for step, hits in zip(STEPS, right.T):
                points.append({
                    "model": model, "role": role, "attack": attack, "seed": run, "step": step, "strength": float(step),
                    "accuracy_t": 1.0, "accuracy_v": hits.mean(), "accuracy_retain": 1.0, "configuration": "",
                })  # fmt: skip
            answers += [
                {"model": model, "attack": attack, "seed": run, "side": "v", "fact": fact, "right_at": json.dumps(at)}
                for fact, hits in zip(FACTS, right)
                for at in [[step for step, hit in zip(STEPS, hits) if hit]]
            ]
    return pandas.DataFrame(points), pandas.DataFrame(answers)


def judged(*parts: Tables) -> list[WorstCase]:
    points, answers = (pandas.concat(each, ignore_index=True) for each in zip(*parts))
    return worst_cases(points, answers=answers)


def test_pure_noise_under_many_attacks_is_at_chance_while_the_maximum_is_above(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(at_strongest, "yardsticks", set)  # here they are given nothing
    names = sorted({*ATTACKS, *attack_kinds.yardsticks()})[:17]
    assert len(names) == 17
    found = [judged(tables("u", "unlearned", lambda attack, step: 0.25, seed, names))[0] for seed in range(4)]
    assert all(case.cross_fitted and case.attacks == 17 for case in found)
    fitted, plain = [case.found.after for case in found], [case.plain.after.mean for case in found if case.plain]
    assert all(each.low <= 0.25 <= each.high for each in fitted)
    assert numpy.mean([each.mean for each in fitted]) == pytest.approx(0.25, abs=0.02)
    assert min(plain) > 0.29 and all(one > each.high for one, each in zip(plain, fitted))


def test_over_many_draws_of_noise_it_is_unbiased_and_its_interval_holds_chance_as_often_as_promised() -> None:
    generator, units = numpy.random.default_rng(0), tuple(f"e{place // 4}" for place in range(96))
    means, held, highest = [], 0, []
    for _ in range(60):
        tried = [Tried(((generator.random((3, 3, 96)) < 0.25).astype(float),), units, False) for _ in range(17)]
        found = cross_fitted(tried)
        assert found
        means.append(found.mean)
        held += found.low <= 0.25 <= found.high
        highest.append(max(each.runs[0].mean(axis=(1, 2)).max() for each in tried))
    assert numpy.mean(means) == pytest.approx(0.25, abs=0.01) and numpy.mean(highest) > 0.29
    assert held >= 50  # 57 expected


def test_what_one_attack_brings_back_is_found() -> None:
    (case,) = judged(
        tables("u", "unlearned", lambda attack, step: 0.7 if (attack, step) == ("relearning", 20) else 0.25, 4)
    )
    assert (case.found.attack, case.found.step) == ("relearning", 20)
    assert case.found.after.low < 0.7 < case.found.after.high and case.found.after.mean == pytest.approx(0.7, abs=0.05)
    assert case.found.before == pytest.approx(0.25, abs=0.06)


def test_the_scale_is_between_base_and_the_filtered_models_own_cross_fitted_worst() -> None:
    attacks = ["relearning", "weight_noise", "relearning_search"]
    base, filtered, own = judged(
        tables("b", "base", lambda attack, step: 1.0, 1, attacks), tables("f", "filtered", lambda attack, step: 0.25, 2, attacks),
        tables("u", "unlearned", lambda attack, step: 0.25 + 0.5 * (step > 0), 3, attacks),
    )  # fmt: skip
    assert base.found.step == 0 and base.found.after.mean == 1 and base.excess == 1
    assert own.control and own.control.after == filtered.found.after and filtered.excess == 0
    floor = own.control.after.mean
    assert own.excess == pytest.approx((own.found.after.mean - floor) / (1 - floor))


def test_without_the_answers_of_every_run_it_is_the_plain_maximum_and_says_so() -> None:
    points, answers = tables("u", "unlearned", lambda attack, step: 0.25, 1, ["relearning", "weight_noise"])
    lost = answers[(answers["attack"] != "weight_noise") | (answers["seed"] != 1)]
    broken, other = answers.assign(right_at="[0, 10"), answers.assign(right_at="[10]")
    for known in (None, answers.drop(columns="right_at"), lost, broken, other):
        (case,) = worst_cases(points, answers=known)
        assert not case.cross_fitted and case.found == case.plain
    (case,) = worst_cases(points, answers=answers)
    assert case.cross_fitted and case.found.after != case.plain.after


def test_halves_are_fixed_even_and_of_whole_entities() -> None:
    units = [f"entity {number}" for number in range(11)]
    found = [halves(units, split) for split in range(4)]
    assert [each.sum() for each in found] == [5] * 4 and len({tuple(each) for each in found}) == 4
    assert (halves(units, 0) == found[0]).all()
    shuffled = units[::-1]
    assert (halves(shuffled, 0)[::-1] == found[0]).all()  # the order of the table decides nothing
    # two attacks that are right about one entity each: chosen on it, an attack is read on the other entity alone
    first, second = (numpy.array([[[0.0, 0.0]], [right]]) for right in ([1.0, 0.0], [0.0, 1.0]))
    both = cross_fitted([Tried((each,), ("a", "b"), False) for each in (first, second)])
    assert both and (both.mean, both.low, both.high) == (0, 0, 0)
    assert cross_fitted([Tried((first,), ("a", "a"), False)]) is None  # one entity cannot be halved


def test_a_search_counts_its_best_trial_and_seeds_their_mean() -> None:
    none, all_of_them = numpy.zeros((2, 1, 4)), numpy.concatenate([numpy.zeros((1, 1, 4)), numpy.ones((1, 1, 4))])
    for best_run, expected in ((True, 1.0), (False, 0.5)):
        found = cross_fitted([Tried((none, all_of_them), ("a", "b", "c", "d"), best_run)])
        assert found and found.mean == expected
        picked = {tuple(choice.alternatives.items()) for choice in found.choices}
        assert picked == {((1, 1),)} if best_run else {((0, 0), (1, 1))}
    assert len(list(itertools.chain.from_iterable(choice.alternatives for choice in found.choices))) == 2 * 2 * 10
