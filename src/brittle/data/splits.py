"""T and V: two halves of what is known. An attack trains on T; only V tells hidden knowledge from taught knowledge.

Split by fact, both halves speak of the same entities; split by entity, nothing in T mentions what V asks about.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

from brittle.data.multiple_choice import Question
from brittle.settings import BadInput


@dataclass(frozen=True)
class Split:
    """Two lists of questions that share no fact (or no entity)."""

    t: tuple[Question, ...]
    v: tuple[Question, ...]


def split_by_fact(questions: Sequence[Question], seed: int = 0, share: float = 0.5) -> Split:
    """Halve the facts; a question without a fact identifier is its own fact. Balanced over subject and relation."""
    return _split(
        questions, lambda q: q.fact or q.question, lambda q: (q.subject, (q.fact or "").partition("/")[2]), seed, share
    )


def split_by_entity(questions: Sequence[Question], seed: int = 0, share: float = 0.5) -> Split:
    """Halve the entities, or the groups where questions have one; all questions of a unit fall on its side.

    Balanced over subjects. Questions without entities are split by fact.
    """
    if not any(question.entity or question.group for question in questions):
        return split_by_fact(questions, seed, share)
    return _split(questions, lambda q: q.group or q.entity or q.fact or q.question, lambda q: q.subject, seed, share)


def _split(
    questions: Sequence[Question], unit: Callable[[Question], str], group: Callable[[Question], Hashable], seed: int,
    share: float,
) -> Split:  # fmt: skip
    """Within every group, shuffle the distinct units and give the first ``share`` of them to T."""
    groups: dict[Hashable, list[str]] = {}
    owner: dict[str, Hashable] = {}
    for question in questions:
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
    return Split(t, v)
