"""Two pages for the documentation, from records: what the diagnostics say of every model, and what attacks brought back."""

from __future__ import annotations

from brittle.contracts import MATCHED_T
from brittle.percentages import percent
from brittle.results import origin
from brittle.results.attack_kinds import strength_attacks
from brittle.results.outputs import ReportData
from brittle.views import attack_tables
from brittle.views.sentences import control_sentences, sensitivity_sentence, telling_sentence
from brittle.views.signature import measured
from brittle.views.tables import in_markdown, markdown
from brittle.views.words import MEDIANS, NOT_MEASURED, OVER_SEEDS, several

MATCHED = ("model", "attack", "V at matched T", "V around", "excess recovery", *attack_tables.STEPS)
HOW_FAST = (
    f"V at matched T: where T is {percent(MATCHED_T)}, between the two evaluations whose V stands beside it [{OVER_SEEDS}]. "
    f"Steps: until V is 50 % or 90 % of the way from the filtered model (at the same step) to the base; {MEDIANS}."
)
WORST = ("model", "V before", "V at worst", "under", "filtered model's worst", "excess recovery", "highest V")
TITLES = {
    "T": "From how few texts: V at the number of texts that brings most back",
    "retain": "What came back from benign fine-tuning",
    "nothing": "What came back without teaching",
}


def of_attacks(data: ReportData) -> str:
    """Matched T, the worst case over all attacks, then the attacks that are read at their strongest."""
    parts = [
        "# What attacks bring back in the laboratory",
        f"Written by `uv run brittle signature OUTPUTS --attacks-page FILE` from {_records(data)}; nothing here is typed by hand. The "
        "attacks: [attacks.md](attacks.md). What varied in an interval stands above each table; a number without one rests on a single seed or "
        "has no chance in it.",
    ]  # fmt: skip
    tables = {
        "At matched T": attack_tables.matched(data).only(*MATCHED, caption=HOW_FAST),
        "The worst case over all attacks": attack_tables.worst(data).only(*WORST),
    }
    for teaches, title in TITLES.items():
        shown = attack_tables.strengths(data, strength_attacks(teaches))
        tables[title] = shown.only(*(name for name in shown.header if name != "no attack"))
    parts += [f"## {title}\n\n{markdown(table)}" for title, table in tables.items() if table.rows]
    return "\n\n".join(parts) + "\n"


def of_measures(data: ReportData) -> str:
    """Every measure over all models as Markdown, with the thesis's predictions marked."""
    parts = [
        "# What the diagnostics say in the laboratory",
        f"Written by `uv run brittle signature OUTPUTS --page FILE` from {_records(data)}; nothing here is typed by hand.",
        in_markdown(" ".join((telling_sentence(data), sensitivity_sentence(data), *control_sentences(data)))),
        markdown(measured(data))
        or in_markdown(f"Measures of {several([model.label for model in data.models])}: {NOT_MEASURED}."),
    ]
    return "\n\n".join(parts) + "\n"


def _records(data: ReportData) -> str:
    return in_markdown(origin.rests_on([("outputs", data.records)]))
