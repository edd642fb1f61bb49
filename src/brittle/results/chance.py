"""Is an accuracy above chance? A permutation test of what the model knows about each question's own entity.

Null hypothesis: the model may know which values a relation has and how often, but nothing about which entity has
which. Then the answer key is one of the many that would have given the same questions: within a relation, answers may
change places wherever the other question offers them among its choices. (Plain permutation would be wrong: a
question always offers its own answer, so guessing is right in 25 %, but matches a freely permuted key of eight
values in 12.5 %.) Keys are drawn by random swaps; every draw starts from one common key that lies as many swaps away
from the true one, which makes the test exact however few swaps are made.  Besag and Clifford 1989, section 2.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache

import numpy
import pandas
from numpy.typing import NDArray

SWAPS_PER_QUESTION = 20


@dataclass(frozen=True)
class ChanceTest:
    """What a model scored, and what keys that it cannot know would have given it."""

    accuracy: float
    p: float
    """Share of keys, the true one included, under which the model scores at least as well (one-sided)."""
    expected: float
    low: float
    high: float
    """The middle 95 % of the scores under the null hypothesis."""
    questions: int
    least: float
    """The p of a model that answers every question right: where that is not small, no answers could have been."""
    compared: str
    """``texts`` of the options, or their ``positions`` where answers cannot change places."""


@dataclass(frozen=True, eq=False)
class _Coded:
    key: NDArray[numpy.int64]  # [questions]
    allowed: NDArray[numpy.bool_]  # [questions, values]
    counts: NDArray[numpy.int64]  # [questions, values], how often each value was predicted (over seeds)
    start: NDArray[numpy.int64]  # [questions], where the question's relation begins
    size: NDArray[numpy.int64]  # [questions], how many questions the relation has

    @property
    def _content(self) -> tuple[object, ...]:
        return self.allowed.shape, *(array.tobytes() for array in vars(self).values())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Coded) and self._content == other._content

    def __hash__(self) -> int:
        return hash(self._content)


def chance_test(answers: pandas.DataFrame, permutations: int = 2000, seed: int = 0) -> ChanceTest:
    """Test one model's answers to one side's questions; answers of several seeds to a question move together.

    Args:
        answers: columns ``fact`` ("entity/relation"), ``choice_predicted``, ``choice_correct`` and, to compare texts,
            ``choices`` (JSON list of the options). Without ``choices``, or where questions share no answers,
            positions are permuted within the relation instead.
    """
    if answers.empty:
        raise ValueError("a chance test needs at least one answer")
    coded, compared = None, "texts"
    if "choices" in answers and answers["choices"].notna().all():
        coded = _coded(answers, texts=True)
    if coded is None or _share_that_can_move(coded) < 0.5:
        coded, compared = _coded(answers, texts=False), "positions"
    return _tested(coded, compared, permutations, seed)


@lru_cache(maxsize=256)  # a report asks of the same answers each time it is written
def _tested(coded: _Coded, compared: str, permutations: int, seed: int) -> ChanceTest:
    generator = numpy.random.default_rng(seed)
    swaps = SWAPS_PER_QUESTION * len(coded.key)
    origin = _swapped(coded.key[None], coded, swaps, generator)
    keys = _swapped(numpy.repeat(origin, permutations, axis=0), coded, swaps, generator)
    everyone = numpy.arange(len(coded.key))
    hits = int(coded.counts[everyone, coded.key].sum())
    null = coded.counts[everyone, keys].sum(axis=1)
    total = int(coded.counts.sum())
    perfect = int((keys == coded.key).all(axis=1).sum())
    low, high = numpy.quantile(null / total, [0.025, 0.975])
    p = (1 + int((null >= hits).sum())) / (1 + permutations)
    return ChanceTest(hits / total, p, float(null.mean() / total), float(low), float(high), len(coded.key),
        (1 + perfect) / (1 + permutations), compared,
    )  # fmt: skip


def _coded(answers: pandas.DataFrame, texts: bool) -> _Coded:
    """Questions in the order of their relations, values as whole numbers."""
    relation = answers["fact"].astype(str).str.rpartition("/")
    ordered = answers.assign(_relation=relation[2].where(relation[1] == "/", "")).sort_values(["_relation", "fact"])
    facts = ordered["fact"].drop_duplicates().tolist()
    rows = {fact: row for row, fact in enumerate(facts)}
    values: dict[object, int] = {}
    entries = []
    for record in ordered.to_dict("records"):
        predicted, correct = int(record["choice_predicted"]), int(record["choice_correct"])
        told = json.loads(record["choices"]) if isinstance(record.get("choices"), str) else range(4)
        options = told if texts else list(range(max(len(told), predicted + 1, correct + 1)))
        codes = [values.setdefault(option, len(values)) for option in options]
        entries.append((rows[record["fact"]], codes, codes[predicted], codes[correct]))
    key = numpy.zeros(len(facts), dtype=numpy.int64)
    allowed = numpy.zeros((len(facts), len(values)), dtype=bool)
    counts = numpy.zeros((len(facts), len(values)), dtype=numpy.int64)
    for row, codes, predicted, correct in entries:
        key[row] = correct
        allowed[row, codes] = True
        counts[row, predicted] += 1
    relations = ordered.drop_duplicates("fact")["_relation"].to_numpy(dtype=str)
    start = numpy.searchsorted(relations, relations, side="left")
    return _Coded(key, allowed, counts, start, numpy.searchsorted(relations, relations, side="right") - start)


def _share_that_can_move(coded: _Coded) -> float:
    movable = 0
    for row in range(len(coded.key)):
        mates = numpy.arange(coded.start[row], coded.start[row] + coded.size[row])
        other = coded.key[mates] != coded.key[row]
        movable += bool((other & coded.allowed[row, coded.key[mates]] & coded.allowed[mates, coded.key[row]]).any())
    return movable / len(coded.key)


def _swapped(
    keys: NDArray[numpy.int64], coded: _Coded, swaps: int, generator: numpy.random.Generator
) -> NDArray[numpy.int64]:
    """Attempt ``swaps`` random swaps in every row of ``keys`` [draws, questions]; a swap must suit both questions."""
    keys, draws = keys.copy(), numpy.arange(len(keys))
    for _ in range(swaps):
        one = generator.integers(len(coded.key), size=len(keys))
        two = coded.start[one] + generator.integers(coded.size[one])
        first, second = keys[draws, one], keys[draws, two]
        fits = coded.allowed[one, second] & coded.allowed[two, first]
        keys[draws, one] = numpy.where(fits, second, first)
        keys[draws, two] = numpy.where(fits, first, keys[draws, two])
    return keys
