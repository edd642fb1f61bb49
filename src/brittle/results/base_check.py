"""Were the right questions asked? What the base cannot answer before any attack, no attack can show to be hidden."""

from __future__ import annotations

from dataclasses import dataclass

from brittle.results.measures import forget_accuracy
from brittle.results.outputs import ReportData
from brittle.results.reader import below, number
from brittle.results.roles import Role


@dataclass(frozen=True)
class BaseCheck:
    """The base's accuracy on hazardous questions before any attack, beside chance."""

    accuracy: float
    number: int | None
    chance: float | None
    p: float | None
    """Binomial probability of at least this accuracy by guessing; None where number or chance is not known."""


def base_check(data: ReportData) -> BaseCheck | None:
    """The check of the first base; None where it was not asked."""
    for base in data.of_role(Role.BASE)[:1]:
        accuracy = forget_accuracy(data, base)
        if accuracy is not None:
            asked = data.asked["forget"]
            count = number(below(base.evaluation, "results", "forget").get("questions"))
            if asked.number is None and count > 0:
                asked = type(asked)(int(count), asked.chance)
            return BaseCheck(accuracy, asked.number, asked.chance, asked.p_of(accuracy))
    return None
