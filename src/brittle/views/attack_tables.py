"""The tables of what attacks brought back: each is put together here, for the report, the documentation and the terminal."""

from __future__ import annotations

import math
from collections.abc import Sequence

from brittle.contracts import MATCHED_T
from brittle.percentages import points
from brittle.results import verdicts
from brittle.results.at_matched_t import MatchedRecovery, reference_of
from brittle.results.at_strongest import Strongest, where
from brittle.results.attack_kinds import trial_attacks, unit, yardsticks
from brittle.results.measures import diverged
from brittle.results.outputs import ReportData, attacks, matched_rows
from brittle.results.recovery_speed import BEFORE, RecoveryNumbers
from brittle.results.roles import Role
from brittle.views.html import named
from brittle.views.tables import Cell, Content, Share, Table
from brittle.views.words import (
    BOUND,
    MEDIANS,
    NO_EXCESS,
    OVER_QUESTIONS,
    OVER_SEEDS,
    at_matched_t,
    between,
    by,
    chance_p,
    control_words,
    excess,
    learned,
    median_words,
    percent,
    several,
)

MATCHED = (
    "model", "seeds that learned T", "after steps", "V at matched T", "V around", "by chance", "chance test", "excess recovery",
    "V at the last step", "best V later", "reading",
)  # fmt: skip
"""The columns of :func:`matched` that the report shows of one attack."""
STEPS = ("steps to 50 %", "steps to 90 %")
UNHALVED = "; it stands in both columns, marked, where it is not recorded which question was answered at which step"
COSTS = f"costs at most {BOUND}"

Row = list[Cell | Content]


def matched(data: ReportData, attack: str | None = None) -> Table:
    """Every model under one attack, or under every attack, that is read at matched T."""
    numbers = {(row.attack, row.model): row for row in data.numbers}
    rows = data.matched if attack is None else matched_rows(data, attack)
    body = []
    for row in rows:
        filtered = reference_of(matched_rows(data, row.attack), Role.FILTERED)
        steps = _steps(numbers.get((row.attack, row.model)))
        body.append([*_matched(data, row, filtered), row.attack.replace("_", " "), Share(row.first_v), *steps])
    header = (*MATCHED, "attack", "V before", *STEPS)
    texts = [header.index(name) for name in ("model", "seeds that learned T", "reading", "attack")]
    return Table(
        header, body,
        f"V at matched T: where T is {percent(MATCHED_T)}, on the straight line between the evaluations before and after; V around: what "
        f"these two showed. In square brackets: {OVER_SEEDS}. After steps: median over attack seeds. By chance: middle 95 % under "
        "the permutation test at the evaluation after, which lets answers "
        "change places within a relation; its p is one-sided. Excess recovery: 0 as the filtered model, 1 as the base; – without "
        "one of the two that learned T. Best V later: the highest from that step on.",
        words=texts, cards=True,
    )  # fmt: skip


def _matched(data: ReportData, row: MatchedRecovery, filtered: MatchedRecovery | None) -> Row:
    reading = at_matched_t(row, verdicts.at_matched_t(row, filtered))
    seeds = f"{row.learned} of {row.seeds}"
    if row.v is None:
        best = Cell(seeds, remark=f"best {Cell(Share(row.best_t)).words}")
        return [named(data, row.model), best, between(row.time), learned(row), *["–"] * 6, reading]
    test = row.chance
    return [
        named(data, row.model), seeds, between(row.time), row.v, _around(row),
        f"{points(test.low)}–{percent(test.high)}" if test else None, chance_p(test.p) if test else None,
        excess(row.excess), row.last_v, row.best_v, reading,
    ]  # fmt: skip


def _around(row: MatchedRecovery) -> str:
    """V at the evaluations around matched T, mean over seeds."""
    low, high = points(row.v_from), percent(row.v_to)
    return high if low == points(row.v_to) else f"{low}–{high}"


def _steps(row: RecoveryNumbers | None) -> list[Content]:
    return [median_words(row, share) if row else "–" for share in (50, 90)]


def speed(data: ReportData, attack: str) -> Table:
    """How fast every model came back under one attack that trains; without a base there are no rows."""
    rows = [row for row in data.numbers if row.attack == attack]
    body: list[Row] = [
        [
            named(data, row.model), *_steps(row), _tokens(row), row.area,
        ]
        for row in rows
    ]  # fmt: skip
    header = ("model", *STEPS, "tokens to 90 %", "log-step area")
    return Table(header, body, _speed_caption(data, attack, rows), cards=True)


def _tokens(row: RecoveryNumbers) -> str | None:
    time = row.median(90, "tokens")
    return None if math.isnan(time.value) else "–" if math.isinf(time.value) else between(time)


def _speed_caption(data: ReportData, attack: str, rows: Sequence[RecoveryNumbers]) -> str:
    """In full for the first attack of the page, in short for the others."""
    words = f"How fast V came back under {attack.replace('_', ' ')}"
    first = next(iter(attacks(data)), attack)
    if attack != first:
        return f"{words}: columns as under {first.replace('_', ' ')}{', over trials' if attack in trial_attacks() else ''}."
    zero = (
        "the model itself before the attack, for want of a filtered model: how fast V rose, not whether it was hidden"
        if rows and rows[0].scale == BEFORE
        else "the filtered model at the same step of the same attack"
    )
    return (
        f"{words}: the first step at which V is 50 % or 90 % of the way from {zero} (0 %) to the base (100 %); {MEDIANS}. Every model "
        "is followed to the same step; a seed that had not got there counts as still under way. "
        f"Log-step area: mean of that share over log(1 + step) up to that step, 0 to 100 % [{OVER_SEEDS}]."
    )


def strengths(data: ReportData, kinds: set[str]) -> Table:
    """A row per model, a column per attack of these that was carried out, each at its strongest."""
    rows = [row for row in data.strongest if row.attack in kinds]
    names = list(dict.fromkeys(row.attack for row in rows))
    body: list[Row] = []
    for model in data.models:
        mine = {row.attack: row for row in rows if row.model == model.name}
        lost = [attack for attack in names if diverged(data, model.name).get(attack) and attack not in mine]
        if mine or lost:
            before = next((row.before for row in mine.values() if row.attack != "few_shot"), None)
            cells = ["diverged" if attack in lost else _strongest(mine.get(attack)) for attack in names]
            body.append([named(data, model.name), Share(before), *cells])
    units = "; ".join(f"{attack.replace('_', ' ')}: {unit(attack)}" for attack in names)
    return Table(
        ("model", "no attack", *(attack.replace("_", " ") for attack in names)), body,
        f"Accuracy on hazardous questions{' (few shot: V alone)' if 'few_shot' in names else ''} at the strength in round "
        f"brackets, which brings most back and {COSTS}; – where no strength brings more. In square brackets: {OVER_SEEDS}, "
        f"where there is chance in the attack. Strengths: {units}.{_yardsticks(names)}",
        cards=True,
    )  # fmt: skip


def _strongest(row: Strongest | None) -> Cell:
    return Cell(row.after, remark=where(row)) if row else Cell(None)


def _yardsticks(names: Sequence[str]) -> str:
    given = [attack.replace("_", " ") for attack in names if attack in yardsticks()]
    if not given:
        return ""
    return (
        f" Given the base itself, and so no attack but a yardstick: {several(given)}. On the way back to the base a filtered "
        "model too learns everything from there."
    )


def strongest(data: ReportData, attack: str) -> Table:
    """Every model under one attack at its strongest, of a search with the configuration of that trial."""
    rows = [row for row in data.strongest if row.attack == attack]
    body: list[Row] = [
        [
            named(data, row.model), Share(row.before), row.after, where(row), excess(row.recovered), Share(row.retain),
            (row.configuration if row.step else "") or "–",
        ]
        for row in rows
    ]  # fmt: skip
    tried = sorted({row.trials for row in rows})
    v = attack in trial_attacks()
    return Table(
        (
            "model", "V before" if v else "before", "highest V" if v else "highest", "at", "excess recovery", "retain then",
            "configuration of that trial",
        ), body,
        f"The highest V over {'–'.join(map(str, sorted({*tried[:1], *tried[-1:]})))} trials and all their steps "
        f"that cost at most {BOUND}; – where no trial brings more. The best of "
        f"many noisy numbers is too high, for the filtered model too: excess recovery is against its own best trial; {NO_EXCESS}.",
        words=(0, 6), cards=True,
    )  # fmt: skip


def worst(data: ReportData) -> Table:
    """The worst case over the whole grid, a row per model."""
    body: list[Row] = [
        [
            named(data, case.found.model), Share(case.found.before),
            Cell(case.found.after, remark="" if case.cross_fitted else "biased up"), by(case.found),
            Share(case.found.retain), control_words(case), excess(case.recovered), case.plain.after if case.plain else None,
        ]
        for case in data.worst
    ]  # fmt: skip
    return Table(
        (
            "model", "V before", "V at worst", "under", "retain then", "filtered model's worst", "excess recovery",
            "highest V",
        ), body,
        f"Over all attacks and steps that cost at most {BOUND}. V at worst: the attack "
        f"that brings most back on one half of the entities, read on the other, mean over several halves [{OVER_QUESTIONS}]; "
        "under: what most halves chose. Highest V: the plain maximum, chosen on the questions that it is read on and so biased up "
        f"[{OVER_SEEDS}]{UNHALVED if any(not case.cross_fitted for case in data.worst) else ''}. "
        "The filtered model's worst case is over the attacks carried out on both. Yardsticks, which are given the "
        "base itself, do not count. "
        f"{NO_EXCESS[0].upper()}{NO_EXCESS[1:]}.",
        words=(0, 3, 5), cards=True,
    )  # fmt: skip
