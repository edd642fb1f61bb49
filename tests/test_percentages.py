"""A share is rounded alike wherever it is shown: 34 of 80 are 43 % in the report, in a table and in the terminal."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from brittle.percentages import percent, points
from brittle.results.at_matched_t import Estimate, estimate
from brittle.views import words

PACKAGE = Path(__file__).parent.parent / "src" / "brittle"
BY_HAND = re.compile(r"(\b100(\.0)? \* |\* 100(\.0)?\b|:[.0-9]*%\})")
"""A share that is made per cent, or a format that does it, outside of the one place."""


@pytest.mark.parametrize(
    ("share", "expected"),
    [(34 / 80, "43"), (0.425, "43"), (0.1 + 0.2 + 0.125, "43"), (1 / 3, "33"), (0.005, "1"), (0.0049, "0"), (-0.001, "0"),
     (-0.005, "-1"), (1.0, "100"), (float("nan"), "nan"), (float("inf"), "inf")],
)  # fmt: skip
def test_halves_are_rounded_up_whatever_floating_point_makes_of_them(share: float, expected: str) -> None:
    assert points(share) == expected and percent(share) == f"{expected} %"


def test_one_accuracy_is_one_number_everywhere() -> None:
    assert words.percent(34 / 80) == str(Estimate(34 / 80)) == str(estimate([34 / 80] * 3)).partition(" [")[0] == "43 %"
    assert points(0.42549, 1) == "42.5" and percent(0.4255, 1) == "42.6 %" and words.percent(None) == "not measured"


def test_no_other_place_makes_per_cent_by_hand() -> None:
    own = PACKAGE / "percentages.py"
    found = [
        f"{path.name}: {line.strip()}"
        for path in sorted(PACKAGE.rglob("*.py"))
        if path != own
        for line in path.read_text(encoding="utf-8").splitlines()
        if BY_HAND.search(line)
    ]
    assert not found, "use brittle.percentages or views.words.percent"
