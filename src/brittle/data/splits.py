"""T and V: two halves of what is known. An attack trains on T; only V tells hidden knowledge from taught knowledge.

Split by fact, both halves speak of the same entities; split by entity, nothing in T mentions what V asks about. Questions
that name neither and are near-duplicates fall on one side together.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

from brittle.data.multiple_choice import Question
from brittle.data.near_duplicates import near_duplicates
from brittle.settings import BadInput


@dataclass(frozen=True)
class Split:
    """Two lists of questions that share no fact (or no entity)."""

    t: tuple[Question, ...]
    v: tuple[Question, ...]
    joined: int = 0
    """Questions that are on their side because they are near-duplicates of others."""


def split_by_fact(questions: Sequence[Question], seed: int = 0, share: float = 0.5) -> Split:
    """Halve the facts; a question without a fact identifier is its own fact, with its near-duplicates.

    Balanced over subject and relation.
    """
    return _split(questions, lambda q: q.fact, lambda q: (q.subject, (q.fact or "").partition("/")[2]), seed, share)


def split_by_entity(questions: Sequence[Question], seed: int = 0, share: float = 0.5) -> Split:
    """Halve the entities, or the groups where questions have one; all questions of a unit fall on its side.

    An entity is one however it is capitalised. Balanced over subjects. Questions without entities are split by fact.
    """
    if not any(question.entity or question.group for question in questions):
        return split_by_fact(questions, seed, share)
    return _split(questions, lambda q: q.group or q.entity or q.fact, lambda q: q.subject, seed, share)


def _split(
    questions: Sequence[Question], name_of: Callable[[Question], str | None], group: Callable[[Question], Hashable], seed: int,
    share: float,
) -> Split:  # fmt: skip
    """Within every group, shuffle the distinct units and give the first ``share`` of them to T."""
    groups: dict[Hashable, list[str]] = {}
    owner: dict[str, Hashable] = {}
    units, joined = _units(questions, name_of)

    def unit(question: Question) -> str:
        return units[question]

    for question in sorted(questions, key=lambda q: (q.question, q.text)):
        name = unit(question)
        if owner.setdefault(name, group(question)) == group(question) and name not in groups.setdefault(
            group(question), []
        ):
            groups[group(question)].append(name)
    chosen: set[str] = set()
    carried = 0.0
    for key in sorted(groups, key=str):
        names = sorted(groups[key])
        random.Random(f"{seed} {key}").shuffle(names)
        carried += len(names) * share
        count = min(len(names), max(0, round(carried)))
        carried -= count
        chosen.update(names[:count])
    t = tuple(question for question in questions if unit(question) in chosen)
    v = tuple(question for question in questions if unit(question) not in chosen)
    if not t or not v:
        raise BadInput(f"{len(questions)} questions cannot be split into T and V; at least two facts are needed")
    return Split(t, v, joined)


def _units(questions: Sequence[Question], name_of: Callable[[Question], str | None]) -> tuple[dict[Question, str], int]:
    """What each question goes with: its name, or its own text, or the first of its near-duplicates; and how many those join.

    Names that differ in case or spaces alone are one, called as the first of them in alphabetical order.
    """
    called: dict[str, str] = {}
    for name in sorted({name for question in questions if (name := name_of(question))}):
        called.setdefault(_folded(name), name)
    units = {q: called[_folded(name)] if (name := name_of(q)) else q.question for q in questions}
    nameless = sorted({q for q in questions if not name_of(q)}, key=lambda q: (q.question, q.text))
    joined = 0
    for group in near_duplicates([question.text for question in nameless]):
        members = [nameless[position] for position in group]
        joined += len(members) if len({units[member] for member in members}) > 1 else 0
        units |= dict.fromkeys(members, units[members[0]])
    return units, joined


def _folded(name: str) -> str:
    return " ".join(name.casefold().split())
