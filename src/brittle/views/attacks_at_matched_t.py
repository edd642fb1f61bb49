"""The sections of the report on what came back under attack."""

from __future__ import annotations

import math

from brittle import discovery
from brittle.figures import of_attacks
from brittle.percentages import points
from brittle.results import verdicts
from brittle.results.at_matched_t import Estimate, MatchedRecovery, reference_of
from brittle.results.attack_kinds import trial_attacks
from brittle.results.outputs import ReportData, attacks, matched_rows
from brittle.results.recovery_speed import BEFORE
from brittle.results.roles import Role
from brittle.views.html import Cell, Section, figures, model_name, paragraph, section, side_by_side, table
from brittle.views.words import NOT_MEASURED, at_matched_t, chance_p, excess, median_words, percent

NUMBERS = ("model", "steps to 50 %", "steps to 90 %", "tokens to 90 %", "log-step area")


HEADER = (
    "model", "seeds that learned T", "after steps", "V at matched T", "by chance", "chance test", "excess recovery",
    "V at the last step", "best V later", "reading",
)  # fmt: skip

WHY = (
    "It teaches T and never shows V. Any model can be taught T; V can only come back if it was still there. Models are "
    "compared once each has learned T (at least 95 %), because a slow learner looks robust at equal steps."
)
COLUMNS = (
    "Estimates: mean [95 % interval over seeds]. By chance: middle 95 % under the permutation test, which lets answers "
    "change places within a relation; its p is one-sided. Excess recovery: 0 as the filtered model, 1 as the base; – without "
    "one of the two that learned T. Best V later: the highest from that step on."
)


def attack(data: ReportData) -> list[Section]:
    """Recovery curves and V at matched T, one section per attack."""
    found = [_one_attack(data, name) for name in attacks(data)]
    return found or [section("What came back under attack", paragraph(f"Recovery: {NOT_MEASURED}."))]


def _one_attack(data: ReportData, name: str) -> Section:
    rows = matched_rows(data, name)
    filtered, first = reference_of(rows, Role.FILTERED), name == attacks(data)[0]
    return section(
        f"What came back: {name.replace('_', ' ')}",
        paragraph(" ".join([discovery.find("attacks", name).summary, *([WHY] if first else [])])),
        side_by_side(
            figures(
                data, lambda part: of_attacks.matched_figure(part, matched_rows(part, name)), "V once T is learned",
                "A dot to the right of its grey band knows facts that the attack never showed; the band is where 95 % "
                "of scores lie for a model that cannot tell the entities apart, the line a 95 % interval over seeds.",
            ),
            figures(
                data, lambda part: of_attacks.recovery_figure(part, name), "T and V during the attack",
                "Read V only to the right of the step where the same model's T passes the dotted 95 %; the dashed "
                "green line is the filtered model, which never knew (mean and 95 % interval over seeds).",
            ),
        ),
        table(
            HEADER, [_row(data, row, filtered) for row in rows],
            COLUMNS if first else f"Columns as under {attacks(data)[0].replace('_', ' ')}.",
            words=(0, 1, len(HEADER) - 1), cards=True,
        ),
        numbers(data, name),
    )  # fmt: skip


def _row(data: ReportData, row: MatchedRecovery, filtered: MatchedRecovery | None) -> list[Cell]:
    name, learned = model_name(data, row.model), f"{row.learned} of {row.seeds}"
    if row.v is None:
        none: list[Cell] = ["–"] * 7
        return [
            name,
            f"{learned} (best {percent(row.best_t)})",
            *none,
            at_matched_t(row, verdicts.at_matched_t(row, filtered)),
        ]
    test = row.chance
    band = f"{points(test.low)}–{percent(test.high)}" if test else None
    return [
        name, learned, f"{row.step:.0f}", str(row.v), band, chance_p(test.p) if test else None,
        excess(row.excess),
        _estimate(row.last_v), _estimate(row.best_v), at_matched_t(row, verdicts.at_matched_t(row, filtered)),
    ]  # fmt: skip


def _estimate(value: Estimate | None) -> str | None:
    return None if value is None else str(value)


def numbers(data: ReportData, attack: str) -> str:
    """How fast every model came back under one attack that trains; nothing without a base."""
    rows = [row for row in data.numbers if row.attack == attack]
    if not rows:
        return ""
    zero = (
        "the model itself before the attack, for want of a filtered model: how fast V rose, not whether it was hidden"
        if rows[0].scale == BEFORE
        else "the filtered model at the same step of the same attack"
    )
    body: list[list[Cell]] = [
        [
            model_name(data, row.model), median_words(row, 50), median_words(row, 90),
            "–" if math.isinf(row.tokens_to_90) else None if math.isnan(row.tokens_to_90) else f"{row.tokens_to_90:,.0f}",
            str(row.area),
        ]
        for row in rows
    ]  # fmt: skip
    return table(NUMBERS, body, _caption(data, attack, zero), cards=True)


def _caption(data: ReportData, attack: str, zero: str) -> str:
    """In full for the first attack of the page, in short for the others."""
    words = f"How fast V came back under {attack.replace('_', ' ')}"
    first = next(iter(attacks(data)), attack)
    if attack != first:
        return f"{words}: columns as under {first.replace('_', ' ')}{', over trials' if attack in trial_attacks() else ''}."
    return (
        f"{words}: the first step at which V is 50 % or 90 % of the way from {zero} (0 %) to the base (100 %). Kaplan-Meier "
        "median [95 % interval, – where the seeds bound it no further] (seeds that got there); a seed that had not when its attack ended counts as still under way. "
        "Log-step area: mean of that share over log(1 + step), 0 to 100 %."
    )
