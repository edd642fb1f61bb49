"""The sections of the report that say what was compared, what it knows, what follows and what was left out."""

from __future__ import annotations

from html import escape

from brittle.results.measures import knowledge
from brittle.results.outputs import ReportData, attacks
from brittle.results.reader import number
from brittle.views.html import Cell, Markup, model_name, paragraph, section, table
from brittle.views.sentences import summary_lines
from brittle.views.words import percent, several


def summary(data: ReportData) -> str:
    """Ten lines of plain language."""
    lines = "\n".join(f"<li>{escape(line)}</li>" for line in summary_lines(data))
    return section("In ten lines", f'<ol class="summary">\n{lines}\n</ol>')


def models(data: ReportData) -> str:
    """What each model is and what it knows before any attack."""
    header = ["model", "role", "forget T", "forget V", "retain", "NLL forget", "NLL retain", "reference and settings"]
    rows: list[list[Cell]] = []
    for model in data.models:
        known = knowledge(data, model)
        settings = ", ".join(f"{key} {value}" for key, value in model.settings.items())
        accuracies = [percent(value) for value in (known.forget_t, known.forget_v, known.retain)]
        made = escape(model.reference or model.name)
        if settings:
            made += f"<details><summary>settings</summary>{escape(settings)}</details>"
        rows.append(
            [
                model_name(data, model.name),
                model.role,
                *accuracies,
                known.nll_forget,
                known.nll_retain,
                Markup(f"<span>{made}</span>"),
            ]
        )
    lacking = [place for place in (5, 6) if all(row[place] is None for row in rows)]
    shown = [place for place in range(len(header)) if place not in lacking]
    return section(
        "The models before any attack",
        table(
            [header[place] for place in shown], [[row[place] for place in shown] for row in rows],
            "Accuracy; guessing among four choices gives 25 %. T is the half of the hazardous facts that the attack "
            "will teach, V the half it never shows; NLL is the negative log-likelihood in nats per token.",
            words=(0, 1, len(shown) - 1), cards=True,
        ),
        paragraph(f"Not measured: {several([header[place] for place in lacking])}.", "note") if lacking else "",
    )  # fmt: skip


def limits(data: ReportData) -> str:
    """What this comparison cannot say, and what was not measured."""
    lines = []
    if data.recovery is not None:
        done = list(dict.fromkeys(str(attack) for attack in data.recovery["attack"]))
        taught = data.recovery[data.recovery["attack"].isin(attacks(data))]
        seeds = f", {taught.groupby('model')['seed'].nunique().min()} seeds" if len(taught) else ""
        lines += [
            f"Attacks: {several([name.replace('_', ' ') for name in done])}{seeds}. A model that withstood them may yield to another.",
            "Intervals are over seeds of the attack only: not over questions, trainings of the models, or worlds.",
        ]
    counts = several([f"{len(data.of_role(role))} {role}" for role in ("base", "filtered", "retrained")])
    lines.append(f"Reference models: {counts}. One of a kind shows no spread between trainings.")
    lines += [f"Not measured: {words}." for words in data.missing]
    lines += [f"left out: {words}" for words in data.left_out]
    items = "\n".join(f"<li>{escape(line)}</li>" for line in lines)
    return section("Limits, and what was not measured", f"<ul>\n{items}\n</ul>")


def records(data: ReportData) -> str:
    """The records behind the page."""
    rows: list[list[Cell]] = [
        [
            folder,
            record.get("fingerprint", ""),
            str(record.get("started", "")),
            f"{number(record.get('seconds', 0)):.1f}",
        ]
        for folder, record in data.records.items()
    ]
    listed = table(["folder", "fingerprint", "started", "seconds"], rows, words=(0, 1, 2), cards=True)
    return section("Records behind this page", f"<details><summary>{len(rows)} records</summary>{listed}</details>")
