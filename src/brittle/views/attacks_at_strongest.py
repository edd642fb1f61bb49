"""The sections on attacks that are read at their strongest: nothing taught, benign texts, and a few texts."""

from __future__ import annotations

import math
from functools import partial

from markupsafe import Markup

from brittle.figures import of_attacks
from brittle.percentages import points
from brittle.results.at_strongest import EPSILON, Strongest, where
from brittle.results.attack_kinds import Shown, strength_attacks, trial_attacks, unit, yardsticks
from brittle.results.measures import diverged
from brittle.results.outputs import ReportData
from brittle.views import attacks_at_matched_t
from brittle.views.attacks_at_matched_t import numbers
from brittle.views.html import Cell, figures, model_name, paragraph, section, side_by_side, table, with_small
from brittle.views.words import NO_EXCESS, by, control_words, excess, percent, several

BOUND = f"costs at most {points(EPSILON)} points on benign questions"

FORM = (
    "Template relearning shows texts in the form of the hazardous ones about something else: what returns there too was "
    "suppressed together with the form."
)
NO_FORM = (
    "Its control, texts in the hazardous ones' form about something else (template relearning), was not carried out."
)


def _rows(data: ReportData, attacks: set[str]) -> list[Strongest]:
    return [row for row in data.strongest if row.attack in attacks]


def without_teaching(data: ReportData) -> str:
    """A row per model, a column per attack that shows the model nothing."""
    rows = _rows(data, strength_attacks(Shown.NOTHING))
    if not rows:
        return ""
    return section(
        "What came back without teaching",
        paragraph(
            "These attacks show the model nothing that it could learn hazardous facts from: what rises was there. Read "
            "every model against the filtered one in the same column."
        ),
        _table(
            data, rows,
            f"Accuracy on hazardous questions (few shot: V alone) at the strength in brackets, which brings most back and "
            f"{BOUND}; – where no strength brings more. Small: 95 % interval over seeds, where there is chance in the "
            f"attack. Strengths: {_units(rows)}.{_yardsticks(rows)}",
        ),
    )  # fmt: skip


def benign(data: ReportData) -> str:
    """Fine-tuning on benign texts, with its control in the hazardous texts' form beside it."""
    rows = _rows(data, strength_attacks(Shown.BENIGN))
    if not rows:
        return ""
    attacks = list(dict.fromkeys(row.attack for row in rows))
    return section(
        "What came back from benign fine-tuning",
        paragraph(
            "Benign texts alone are shown, as any user might. A rise that the filtered model shares is no return of knowledge. "
            + (FORM if "template_relearning" in attacks else NO_FORM)
        ),
        _table(
            data, rows,
            f"Accuracy on hazardous questions, T and V, after the number of steps in brackets, which brings most back and "
            f"{BOUND}; – where no step brings more. Small: 95 % interval over seeds.",
        ),
        *(attacks_at_matched_t.numbers(data, attack) for attack in attacks),
    )  # fmt: skip


def from_few_texts(data: ReportData) -> str:
    """V by the number of texts that were taught, each number from the model's own weights."""
    attacks = list(dict.fromkeys(row.attack for row in _rows(data, strength_attacks(Shown.T))))
    if not attacks or data.recovery is None:
        return ""
    pieces = []
    for attack in attacks:
        points = data.recovery[data.recovery["attack"] == attack]
        counts = sorted(points["strength"].unique())
        body: list[list[Cell]] = []
        for model in data.models:
            own = points[points["model"] == model.name].groupby("strength")["accuracy_v"].mean()
            if len(own):
                cells: list[Cell] = [percent(own[count]) if count in own else None for count in counts]
                body.append([model_name(data, model.name), *cells])
        pieces.append(side_by_side(
            figures(
                data, partial(of_attacks.few_texts_figure, attack=attack), "V by the number of texts taught",
                "A line that is high at the left was reminded, not taught. Read every line against the dashed green one, the "
                "filtered model (mean and 95 % interval over seeds; the first point is before the attack).",
            ),
            table(
                ["model", "before", *(f"{count:g}" for count in counts if count)], body,
                "V answered after teaching that number of texts, mean over seeds, whatever it costs on benign questions.",
            ),
        ))  # fmt: skip
    return section(
        "From how few texts",
        paragraph(
            "Each number of texts about T is taught from the model's own weights for the same number of steps. V is in none "
            "of them."
        ),
        *pieces,
    )  # fmt: skip


def _table(data: ReportData, rows: list[Strongest], caption: str) -> str:
    attacks = list(dict.fromkeys(row.attack for row in rows))
    body: list[list[Cell]] = []
    for model in data.models:
        mine = {row.attack: row for row in rows if row.model == model.name}
        lost = [attack for attack in attacks if diverged(data, model.name).get(attack) and attack not in mine]
        if mine or lost:
            before = [percent(row.before) for row in mine.values() if row.attack != "few_shot"]
            cells: list[Cell] = ["diverged" if attack in lost else _cell(mine.get(attack)) for attack in attacks]
            body.append([model_name(data, model.name), before[0] if before else None, *cells])
    header: list[Cell] = ["model", "no attack", *(attack.replace("_", " ") for attack in attacks)]
    return table(header, body, caption, words=(0,), cards=True)


def _yardsticks(rows: list[Strongest]) -> str:
    given = [attack.replace("_", " ") for attack in dict.fromkeys(row.attack for row in rows) if attack in yardsticks()]
    if not given:
        return ""
    return (
        f" Given the base itself, and so no attack but a yardstick: {several(given)}. On the way back to the base a filtered "
        "model too learns everything from there."
    )


def _units(rows: list[Strongest]) -> str:
    return "; ".join(f"{attack.replace('_', ' ')}: {unit(attack)}" for attack in dict.fromkeys(r.attack for r in rows))


def _cell(row: Strongest | None) -> Markup | None:
    if row is None:
        return None
    between = "" if math.isnan(row.after.low) else f"{points(row.after.low)}–{points(row.after.high)}"
    return with_small(f"{percent(row.after.mean)} ({where(row)})", between)


def search(data: ReportData) -> str:
    """The best trial of every search, with its configuration."""
    pieces = []
    for attack in dict.fromkeys(row.attack for row in data.strongest if row.attack in trial_attacks()):
        rows = [row for row in data.strongest if row.attack == attack]
        body: list[list[Cell]] = [
            [
                model_name(data, row.model), percent(row.before), percent(row.after.mean),
                where(row), excess(row.recovered), percent(row.retain), (row.configuration if row.step else "") or "–",
            ]
            for row in rows
        ]  # fmt: skip
        tried = sorted({row.trials for row in rows})
        pieces += [
            table(
                ["model", "V before", "highest V", "at", "excess recovery", "retain then", "configuration of that trial"], body,
                f"The highest V over {'–'.join(map(str, sorted({tried[0], tried[-1]})))} trials and all their steps "
                f"that cost at most {points(EPSILON)} points on benign questions; – where no trial brings more. The best of "
                "many noisy numbers is too high, for the filtered model too: excess recovery is against its own best trial; "
                f"{NO_EXCESS}.",
                words=(0, 6), cards=True,
            ),
            numbers(data, attack),
        ]  # fmt: skip
    if not pieces:
        return ""
    return section(
        "What came back in the worst of many trials",
        paragraph(
            "One attack with fixed settings underestimates an attacker who can try several. Every trial draws optimizer, "
            "learning rate, schedule, batch size and adapters, the same for every model, and teaches T."
        ),
        *pieces,
    )  # fmt: skip


def worst(data: ReportData) -> str:
    """The worst case over the whole grid, a row per model."""
    if len({row.attack for row in data.strongest} | {row.attack for row in data.matched}) < 2:
        return ""
    body: list[list[Cell]] = [
        [
            model_name(data, case.found.model), percent(case.found.before), percent(case.found.after.mean),
            by(case.found), percent(case.found.retain), control_words(case), excess(case.recovered),
        ]
        for case in data.worst
    ]  # fmt: skip
    return section(
        "The worst case over all attacks",
        table(
            ["model", "V before", "highest V", "under", "retain then", "filtered model's worst", "excess recovery"], body,
            f"Of all attacks and steps that cost at most {points(EPSILON)} points on benign questions, the one with the highest V. "
            "The filtered model's worst case is over the attacks carried out on both. Yardsticks, which are given the "
            "base itself, do not count. "
            f"{NO_EXCESS[0].upper()}{NO_EXCESS[1:]}.",
            words=(0, 3, 5), cards=True,
        ),
    )  # fmt: skip
