"""The best of many, read on questions that did not choose it.

The highest of many noisy numbers is too high: it was picked for its luck as well. Here the questions are halved by what they
are about; what brings most back on one half is read on the other, and the other way round, over several such divisions that
are fixed by a hash. Nothing is read on a question that helped to choose, so pure chance stays at chance; half of the questions
choose a little worse than all of them, so what is found is if anything too low.
Source: cross-fitting as in Chernozhukov et al. 2018; the winner's curse, Andrews, Kitagawa and McCloskey 2024.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy
from numpy.typing import NDArray

SPLITS, DRAWS = 10, 1000
Right = NDArray[numpy.float64]


@dataclass(frozen=True)
class Tried:
    """One attack on one model: what each of its runs tried, of which the best counts."""

    runs: tuple[Right, ...]
    """Right answers, 0 or 1, of every run: ``[alternatives, seeds, questions]``; the first is not to attack."""
    units: tuple[str, ...]
    """What each question is about; questions about the same are never parted."""
    best_run: bool
    """Whether the best run counts, as in a search, and not the mean over runs, each with its best alternative."""


@dataclass(frozen=True)
class Choice:
    """What one half of the questions chose: an attack, and in each run that counts an alternative."""

    attack: int
    alternatives: Mapping[int, int]


@dataclass(frozen=True)
class CrossFitted:
    """Accuracy on questions that did not choose, 0 to 1, mean over divisions, and its 95 % interval.

    The interval is a percentile bootstrap over what questions are about and, where the chosen attack has several, its
    seeds; what was chosen is held fixed.
    """

    mean: float
    low: float
    high: float
    choices: tuple[Choice, ...]


def halves(units: Sequence[str], split: int) -> NDArray[numpy.bool_]:
    """Which of the units choose in one division, ``[units]``: half of them, in the order of a hash that never changes."""
    order = sorted(range(len(units)), key=lambda place: hashlib.sha256(f"{split} {units[place]}".encode()).digest())
    chosen = numpy.zeros(len(units), dtype=bool)
    chosen[order[: len(units) // 2]] = True
    return chosen


def cross_fitted(tried: Sequence[Tried]) -> CrossFitted | None:
    """Choose among all attacks on one half and read on the other; None with fewer than two units."""
    names = sorted({unit for each in tried for unit in each.units})
    if len(names) < 2:
        return None
    place = {name: number for number, name in enumerate(names)}
    units = [numpy.array([place[unit] for unit in each.units]) for each in tried]
    generator = numpy.random.default_rng(0)
    unit_weights = _weights(generator, len(names))
    seed_weights = [_weights(generator, _seeds(each)) for each in tried]
    choices, values = [], []
    for split, swapped in itertools.product(range(SPLITS), (False, True)):
        choosing = halves(names, split) ^ swapped
        found = [_best(each, choosing[own]) for each, own in zip(tried, units)]
        attack = max(range(len(tried)), key=lambda number: found[number][0])
        alternatives = found[attack][1]
        answers = numpy.concatenate([tried[attack].runs[run][chosen] for run, chosen in alternatives.items()])
        weights = unit_weights[:, units[attack]] * ~choosing[units[attack]]
        seeds = seed_weights[attack] if len(answers) > 1 else numpy.ones((1 + DRAWS, 1))
        with numpy.errstate(invalid="ignore"):  # no question was left in a draw
            values.append((weights * (seeds @ answers)).sum(axis=1) / seeds.sum(axis=1) / weights.sum(axis=1))
        choices.append(Choice(attack, alternatives))
    there = numpy.isfinite(values)
    with numpy.errstate(invalid="ignore"):  # nor in any half
        by_draw = numpy.where(there, values, 0).sum(axis=0) / there.sum(axis=0)
    low, high = numpy.nanquantile(by_draw[1:], [0.025, 0.975])
    return CrossFitted(float(by_draw[0]), float(low), float(high), tuple(choices))


def _seeds(tried: Tried) -> int:
    """Over how many seeds the attack's answers are averaged."""
    return tried.runs[0].shape[1] if tried.best_run else sum(run.shape[1] for run in tried.runs)


def _weights(generator: numpy.random.Generator, number: int) -> NDArray[numpy.float64]:
    """How often each counts, ``[1 + draws, number]``: as they are, and drawn again with replacement."""
    drawn = generator.multinomial(number, [1 / number] * number, size=DRAWS)
    return numpy.concatenate([numpy.ones((1, number)), drawn])


def _best(tried: Tried, choosing: NDArray[numpy.bool_]) -> tuple[float, dict[int, int]]:
    """The best of an attack on the questions that choose: its accuracy there, and the alternative in each run that counts.

    Of several that are equally good the last, which tried hardest; none where not to attack is as good.
    """
    if not choosing.any():
        return 0.0, dict.fromkeys([0] if tried.best_run else range(len(tried.runs)), 0)
    scores = [run[:, :, choosing].mean(axis=(1, 2)) for run in tried.runs]
    best = {number: int(numpy.flatnonzero(each == each.max())[-1]) for number, each in enumerate(scores)}
    best = {number: place if scores[number][place] > scores[number][0] else 0 for number, place in best.items()}
    highest = [float(each.max()) for each in scores]
    if tried.best_run:
        number = int(numpy.argmax(highest))
        return highest[number], {number: best[number]}
    return sum(highest) / len(highest), best
