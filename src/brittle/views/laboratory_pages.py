"""Two pages for the documentation, from records: what the diagnostics say of every model, and what attacks brought back."""

from __future__ import annotations

import math

from brittle.percentages import points
from brittle.results.at_matched_t import Estimate
from brittle.results.at_strongest import EPSILON, where
from brittle.results.attack_kinds import strength_attacks, unit, yardsticks
from brittle.results.headlines import Measure, measures
from brittle.results.measures import diverged
from brittle.results.outputs import ReportData
from brittle.views.html import in_markdown
from brittle.views.sentences import control_sentences, sensitivity_sentence, telling_sentence
from brittle.views.signature import EXPECTED, LEGEND, mark, number
from brittle.views.words import NO_EXCESS, by, control_words, excess, learned, median_words, percent, several

TITLES = {
    "T": "From how few texts: V at the number of texts that brings most back",
    "retain": "What came back from benign fine-tuning",
    "nothing": "What came back without teaching",
}


def of_attacks(data: ReportData) -> str:
    """Matched T, the worst case over all attacks, then the attacks that are read at their strongest."""
    lines = [
        "# What attacks bring back in the laboratory", "",
        "Written by `uv run brittle signature OUTPUTS --attacks-page FILE` from records; nothing here is typed by hand. The "
        "attacks: [attacks.md](attacks.md). An interval is of 95 % over seeds; a number without one rests on a single seed or "
        "has no chance in it.", "",
    ]  # fmt: skip
    lines += [*_matched_lines(data), *_worst_lines(data)]
    for teaches in TITLES:
        lines += _strength_lines(data, teaches)
    return "\n".join(lines) + "\n"


def _matched_lines(data: ReportData) -> list[str]:
    lines: list[str] = []
    if data.matched:
        lines += [
            "## At matched T", "",
            "Steps: until V is 50 % or 90 % of the way from the filtered model (at the same step) to the base; Kaplan-Meier median "
            "[95 % interval, – unbounded] (seeds that got there).", "",
            "| model | attack | V at matched T | excess recovery | steps to 50 % | steps to 90 % |", "|---|---|---|---|---|---|",
        ]  # fmt: skip
    numbers = {(row.attack, row.model): row for row in data.numbers}
    for row in data.matched:
        v: Estimate | None = row.v
        fast = numbers.get((row.attack, row.model))
        steps = " | ".join(median_words(fast, percent) if fast else "–" for percent in (50, 90))
        lines.append(
            f"| {in_markdown(data.model(row.model).label)} | {row.attack} | {v or learned(row)} | {excess(row.excess)} | {steps} |"
        )
    return lines


def _worst_lines(data: ReportData) -> list[str]:
    if not data.worst:
        return []
    lines = [
        "", "## The worst case over all attacks", "",
        f"The highest V over all attacks and steps that cost at most {points(EPSILON)} points on benign questions, beside the "
        f"filtered model's own worst case; {NO_EXCESS}.", "",
        "| model | V before | highest V | under | filtered model's worst | excess recovery |", "|---|---|---|---|---|---|",
    ]  # fmt: skip
    for case in data.worst:
        lines.append(
            f"| {in_markdown(data.model(case.found.model).label)} | {percent(case.found.before)} | {case.found.after} | {by(case.found)} | "
            f"{control_words(case) or 'not measured'} | {excess(case.recovered)} |"
        )
    return lines


def _strength_lines(data: ReportData, teaches: str) -> list[str]:
    rows = [row for row in data.strongest if row.attack in strength_attacks(teaches)]
    if not rows:
        return []
    attacks = list(dict.fromkeys(row.attack for row in rows))
    cells = {(row.model, row.attack): f"{row.after} ({where(row)})" for row in rows}
    units = "; ".join(f"{attack}: {unit(attack)}" for attack in attacks)
    given = [attack for attack in attacks if attack in yardsticks()]
    lines = [
        "", f"## {TITLES[teaches]}", "",
        f"Hazardous questions answered at the strength in brackets, which brings most back and costs at most "
        f"{points(EPSILON)} points on benign questions; – where none brings more. Strengths: {units}."
        + (f" Given the base itself, so yardsticks and not attacks: {several(given)}." if given else ""), "",
        "| model | " + " | ".join(attacks) + " |", "|---" * (len(attacks) + 1) + "|",
    ]  # fmt: skip
    for model in data.models:
        if any(model.name == name for name, _ in cells):
            lost = diverged(data, model.name)
            none = {attack: "diverged" if lost.get(attack) else "not measured" for attack in attacks}
            own = [cells.get((model.name, attack), none[attack]) for attack in attacks]
            lines.append(f"| {in_markdown(model.label)} | {' | '.join(own)} |")
    return lines


def of_measures(data: ReportData) -> str:
    """Every measure over all models as Markdown, with the thesis's predictions marked."""
    found = measures(data)
    shown = [model for model in data.models if model.role != "base"]
    unlearned = [model for model in shown if model.role == "unlearned"]
    lines = [
        "# What the diagnostics say in the laboratory",
        "",
        "Written by `uv run brittle signature OUTPUTS --page FILE` from records; nothing here is typed by hand.",
        "",
        in_markdown(" ".join((telling_sentence(data), sensitivity_sentence(data), *control_sentences(data)))),
        "",
        "◆ marks a measure that tells filtering from a second training. The base's column is the base itself or a model "
        "that did not change; in brackets a random update of the same size in every matrix. " + LEGEND,
        "",
        "| measure | base | "
        + " | ".join(in_markdown(model.label) for model in shown)
        + " | thesis: unlearned is | borne out |",
        "|---" * (len(shown) + 4) + "|",
    ]
    for measure in found:
        tells = " ◆" if measure.tells(data) else ""
        base = "–" if math.isnan(measure.untouched) else number(measure.untouched)
        marks = [measure.borne_out(data, model.name) for model in unlearned]
        count = f"{sum(mark is True for mark in marks)} of {sum(mark is not None for mark in marks)}"
        cells = [_cell(data, measure, model.name) for model in shown]
        expected = EXPECTED[measure.headline.thesis]
        lines.append(f"| {measure.headline.words}{tells} | {base} | {' | '.join(cells)} | {expected} | {count} |")
    return "\n".join(lines) + "\n"


def _cell(data: ReportData, measure: Measure, name: str) -> str:
    if name not in measure.values:
        return "not measured"
    random = f" ({number(measure.random[name].value)})" if name in measure.random else ""
    return f"{number(measure.values[name].value)}{random} {mark(data, measure, name)}".strip()
