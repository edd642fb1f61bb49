"""The sections on attacks that are read at their strongest: nothing taught, benign texts, and a few texts."""

from __future__ import annotations

from functools import partial

from brittle.figures import of_attacks
from brittle.results.attack_kinds import Shown, strength_attacks, trial_attacks
from brittle.results.outputs import ReportData
from brittle.views import attack_tables
from brittle.views.html import figures, named, paragraph, section, side_by_side, table
from brittle.views.tables import Cell, Content, Share, Table
from brittle.views.words import OVER_SEEDS

FORM = (
    "Template relearning shows texts in the form of the hazardous ones about something else: what returns there too was "
    "suppressed together with the form."
)
NO_FORM = (
    "Its control, texts in the hazardous ones' form about something else (template relearning), was not carried out."
)


def without_teaching(data: ReportData) -> str:
    """A row per model, a column per attack that shows the model nothing."""
    shown = attack_tables.strengths(data, strength_attacks(Shown.NOTHING))
    if not shown.rows:
        return ""
    return section(
        "What came back without teaching",
        paragraph(
            "These attacks show the model nothing that it could learn hazardous facts from: what rises was there. Read "
            "every model against the filtered one in the same column."
        ),
        table(shown),
    )


def benign(data: ReportData) -> str:
    """Fine-tuning on benign texts, with its control in the hazardous texts' form beside it."""
    kinds = strength_attacks(Shown.BENIGN)
    attacks = list(dict.fromkeys(row.attack for row in data.strongest if row.attack in kinds))
    if not attacks:
        return ""
    return section(
        "What came back from benign fine-tuning",
        paragraph(
            "Benign texts alone are shown, as any user might. A rise that the filtered model shares is no return of knowledge. "
            + (FORM if "template_relearning" in attacks else NO_FORM)
        ),
        table(attack_tables.strengths(data, kinds)),
        *(table(attack_tables.speed(data, attack)) for attack in attacks),
    )


def from_few_texts(data: ReportData) -> str:
    """V by the number of texts that were taught, each number from the model's own weights."""
    kinds = strength_attacks(Shown.T)
    attacks = list(dict.fromkeys(row.attack for row in data.strongest if row.attack in kinds))
    if not attacks or data.recovery is None:
        return ""
    pieces = []
    for attack in attacks:
        points = data.recovery[data.recovery["attack"] == attack]
        counts = sorted(points["strength"].unique())
        body: list[list[Cell | Content]] = []
        for model in data.models:
            own = points[points["model"] == model.name].groupby("strength")["accuracy_v"].mean()
            if len(own):
                body.append([named(data, model.name), *(Share(own.get(count)) for count in counts)])
        pieces.append(side_by_side(
            figures(
                data, partial(of_attacks.few_texts_figure, attack=attack), "V by the number of texts taught",
                "A line that is high at the left was reminded, not taught. Read every line against the dashed green one, the "
                f"filtered model (mean and {OVER_SEEDS}; the first point is before the attack).",
            ),
            table(Table(
                ("model", "before", *(f"{count:g}" for count in counts if count)), body,
                "V answered after teaching that number of texts, mean over seeds, whatever it costs on benign questions.",
            )),
        ))  # fmt: skip
    return section(
        "From how few texts",
        paragraph(
            "Each number of texts about T is taught from the model's own weights for the same number of steps. V is in none "
            "of them."
        ),
        *pieces,
    )  # fmt: skip


def search(data: ReportData) -> str:
    """The best trial of every search, with its configuration."""
    pieces = []
    for attack in dict.fromkeys(row.attack for row in data.strongest if row.attack in trial_attacks()):
        pieces += [table(attack_tables.strongest(data, attack)), table(attack_tables.speed(data, attack))]
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
    return section("The worst case over all attacks", table(attack_tables.worst(data)))
