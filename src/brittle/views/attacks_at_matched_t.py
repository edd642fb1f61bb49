"""The sections of the report on what came back under attack."""

from __future__ import annotations

from brittle import discovery
from brittle.figures import of_attacks
from brittle.results.outputs import ReportData, attacks, matched_rows
from brittle.views import attack_tables
from brittle.views.html import Section, figures, paragraph, section, side_by_side, table
from brittle.views.words import NOT_MEASURED, OVER_SEEDS

WHY = (
    "It teaches T and never shows V. Any model can be taught T; V can only come back if it was still there. Models are "
    "compared once each has learned T (at least 95 %), because a slow learner looks robust at equal steps."
)


def attack(data: ReportData) -> list[Section]:
    """Recovery curves and V at matched T, one section per attack."""
    found = [_one_attack(data, name) for name in attacks(data)]
    return found or [section("What came back under attack", paragraph(f"Recovery: {NOT_MEASURED}."))]


def _one_attack(data: ReportData, name: str) -> Section:
    first = name == attacks(data)[0]
    return section(
        f"What came back: {name.replace('_', ' ')}",
        paragraph(" ".join([discovery.find("attacks", name).summary, *([WHY] if first else [])])),
        side_by_side(
            figures(
                data, lambda part: of_attacks.matched_figure(part, matched_rows(part, name)), "V once T is learned",
                "A dot to the right of its grey band knows facts that the attack never showed; the band is where 95 % "
                f"of scores lie for a model that cannot tell the entities apart, the line a {OVER_SEEDS}.",
            ),
            figures(
                data, lambda part: of_attacks.recovery_figure(part, name), "T and V during the attack",
                "Read V only to the right of the step where the same model's T passes the dotted 95 %; the dashed "
                f"green line is the filtered model, which never knew (mean and {OVER_SEEDS}).",
            ),
        ),
        table(
            attack_tables.matched(data, name).only(
                *attack_tables.MATCHED, caption=None if first else f"Columns as under {attacks(data)[0].replace('_', ' ')}."
            )
        ),
        table(attack_tables.speed(data, name)),
    )  # fmt: skip
