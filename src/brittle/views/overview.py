"""The table at the top of the report: everything about a model in one row."""

from __future__ import annotations

from brittle.contracts import MATCHED_T
from brittle.percentages import percent
from brittle.results import verdicts
from brittle.results.measures import forget_accuracy, knowledge, movement
from brittle.results.outputs import ModelResult, ReportData, attacks
from brittle.results.roles import Role
from brittle.views.html import named, section, table
from brittle.views.tables import Cell, Content, Share, Table
from brittle.views.words import BOUND, MEDIANS, OVER_SEEDS, by, excess, in_a_word, median_words

HEADER = (
    "model", "forget before", "retain before", "‖ΔW‖/‖W‖", "stable rank", "V at matched T", "excess recovery",
    "steps to 90 %", "V at worst", "verdict",
)  # fmt: skip


def overview(data: ReportData) -> str:
    """A row per model; a click on a column's name sorts it where scripts run."""
    return section("All models at a glance", table(table_of(data)))


def table_of(data: ReportData) -> Table:
    """Everything about a model in one row."""
    attack = next(iter(attacks(data)), None)
    words = attack.replace("_", " ") if attack else "an attack that teaches T"
    return Table(
        HEADER, [_row(data, model, attack) for model in data.models],
        "T is the half of the hazardous facts that attacks may teach, V the half that none ever shows. Forget and retain: "
        f"accuracy before any attack. Matched T: V where {words} has brought T to {percent(MATCHED_T)}, interpolated between evaluations "
        f"[{OVER_SEEDS}]. Excess "
        "recovery: the same on the scale from the filtered model (0) to the base (1), – where T was not learned or one of them is missing. Steps to 90 % of that scale under "
        f"{words}: {MEDIANS}. At worst: V under the worst of all attacks that cost at "
        f"most {BOUND}, chosen on other questions than it is read on.",
        words=(0, 8, 9), cards=True, sortable=True,
    )  # fmt: skip


def _row(data: ReportData, model: ModelResult, attack: str | None) -> list[Cell | Content]:
    moved = next((found for c in data.from_base() if c.b == model.name and (found := movement(c))), None)
    changed: list[Cell | Content] = (
        [moved.relative_frobenius_norm_all_parameters, Cell(moved.mean_stable_rank, decimals=1)]
        if moved
        else [None, None]
    )
    if model.role == Role.BASE:
        changed = ["–", "–"]
    matched = next((row for row in data.matched if (row.attack, row.model) == (attack, model.name)), None)
    v: list[Content] = [None, None]
    if matched:
        v = [
            matched.v or ("diverged" if matched.diverged else "never learned T"),
            excess(matched.excess),
        ]
    return [
        named(data, model.name), Share(forget_accuracy(data, model)),
        Share(knowledge(data, model).retain), *changed, *v, _steps(data, model, attack), _worst(data, model),
        in_a_word(data, model),
    ]  # fmt: skip


def _worst(data: ReportData, model: ModelResult) -> Cell | None:
    case = verdicts.worst_case(data, model)
    if case is None:
        return None
    highest = case.found.after.mean
    return Cell(Share(highest), remark=by(case.found), placed="below", order=highest)


def _steps(data: ReportData, model: ModelResult, attack: str | None) -> Cell | None:
    row = next((row for row in data.numbers if (row.attack, row.model) == (attack, model.name)), None)
    if row is None:
        return None
    return Cell(median_words(row, 90), order=row.steps_to_90)
