"""What attacks brought back as a page for the documentation: every reading in a table, model by model."""

from __future__ import annotations

from brittle.reports.gather import ReportData
from brittle.reports.markup import in_markdown
from brittle.reports.measures import diverged
from brittle.reports.readings import strength_attacks, unit, yardsticks
from brittle.reports.recovery import Estimate
from brittle.reports.recovery_tables import by, control_words, median_words
from brittle.reports.sentences import several
from brittle.reports.strongest import EPSILON, where

TITLES = {
    "T": "From how few texts: V at the number of texts that brings most back",
    "retain": "What came back from benign fine-tuning",
    "nothing": "What came back without teaching",
}


def page(data: ReportData) -> str:
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
        excess, fast = "–" if row.excess is None else f"{row.excess:.2f}", numbers.get((row.attack, row.model))
        steps = " | ".join(median_words(fast, percent) if fast else "–" for percent in (50, 90))
        lines.append(
            f"| {in_markdown(data.model(row.model).label)} | {row.attack} | {v or row.status} | {excess} | {steps} |"
        )
    return lines


def _worst_lines(data: ReportData) -> list[str]:
    if not data.worst:
        return []
    lines = [
        "", "## The worst case over all attacks", "",
        f"The highest V over all attacks and steps that cost at most {100 * EPSILON:.0f} points on benign questions, beside the "
        "filtered model's own worst case.", "",
        "| model | V before | highest V | under | filtered model's worst | excess recovery |", "|---|---|---|---|---|---|",
    ]  # fmt: skip
    for case in data.worst:
        excess = "–" if case.excess is None else f"{case.excess:.2f}"
        lines.append(
            f"| {in_markdown(data.model(case.found.model).label)} | {100 * case.found.before:.0f} % | {case.found.after} | {by(case.found)} | "
            f"{control_words(case) or 'not measured'} | {excess} |"
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
        f"{100 * EPSILON:.0f} points on benign questions; – where none brings more. Strengths: {units}."
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
