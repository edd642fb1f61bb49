"""The sections of the report on what came back under attack."""

from __future__ import annotations

from brittle import discovery
from brittle.reports import drawings_of_attacks, recovery, recovery_tables
from brittle.reports.gather import ReportData
from brittle.reports.markup import Cell, figure, model_name, paragraph, section, side_by_side, table
from brittle.reports.recovery import Estimate, MatchedRecovery
from brittle.reports.sentences import NOT_MEASURED, attacks, chance_p, matched_rows, percent

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


def attack(data: ReportData) -> str:
    """Recovery curves and V at matched T, one section per attack."""
    found = [_one_attack(data, name) for name in attacks(data)]
    return "\n".join(found) or section("What came back under attack", paragraph(f"Recovery: {NOT_MEASURED}."))


def _one_attack(data: ReportData, name: str) -> str:
    rows = matched_rows(data, name)
    filtered, first = recovery.reference_of(rows, "filtered"), name == attacks(data)[0]
    return section(
        f"What came back: {name.replace('_', ' ')}",
        paragraph(" ".join([discovery.find("attacks", name).summary, *([WHY] if first else [])])),
        side_by_side(
            figure(
                drawings_of_attacks.matched_figure(data, rows), "V once T is learned",
                "A dot to the right of its grey band knows facts that the attack never showed; the band is where 95 % "
                "of scores lie for a model that cannot tell the entities apart, the line a 95 % interval over seeds.",
            ),
            figure(
                drawings_of_attacks.recovery_figure(data, name), "T and V during the attack",
                "Read V only to the right of the step where the same model's T passes the dotted 95 %; the dashed "
                "green line is the filtered model, which never knew (mean and 95 % interval over seeds).",
            ),
        ),
        table(
            HEADER, [_row(data, row, filtered) for row in rows],
            COLUMNS if first else f"Columns as under {attacks(data)[0].replace('_', ' ')}.",
            words=(0, 1, len(HEADER) - 1), cards=True,
        ),
        recovery_tables.numbers(data, name),
    )  # fmt: skip


def _row(data: ReportData, row: MatchedRecovery, filtered: MatchedRecovery | None) -> list[Cell]:
    name, learned = model_name(data, row.model), f"{row.learned} of {row.seeds}"
    if row.v is None:
        none: list[Cell] = ["–"] * 7
        return [name, f"{learned} (best {percent(row.best_t)})", *none, recovery.verdict(row, filtered)]
    test = row.chance
    band = f"{100 * test.low:.0f}–{100 * test.high:.0f} %" if test else None
    return [
        name, learned, f"{row.step:.0f}", str(row.v), band, chance_p(test.p) if test else None,
        "–" if row.excess is None else row.excess,
        _estimate(row.last_v), _estimate(row.best_v), recovery.verdict(row, filtered),
    ]  # fmt: skip


def _estimate(value: Estimate | None) -> str | None:
    return None if value is None else str(value)
