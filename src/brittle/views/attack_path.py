"""Does the attack retrace the unlearning? Its path through weight space, and the diagnostics on the way."""

from __future__ import annotations

import pandas

from brittle import discovery
from brittle.figures import of_attacks
from brittle.results.attack_paths import Path, lead, paths
from brittle.results.outputs import ReportData
from brittle.results.roles import Role
from brittle.views.html import figures, named, paragraph, section, side_by_side, table
from brittle.views.tables import Cell, Content, Share, Table
from brittle.views.words import WAYS, percent


def sentence(data: ReportData, name: str) -> str:
    """The answer for one model, with its figures; empty where no path was recorded."""
    shown = {path.model: path for path in paths(data) if path.attack == lead(data)}
    path = shown.get(name)
    if path is None:
        return ""
    filtered = [shown[model.name] for model in data.of_role(Role.FILTERED) if model.name in shown]
    beside = f" (filtered model: {filtered[0].cosine:.2f})" if filtered else ""
    return (
        f"In {path.step} steps of {path.attack.replace('_', ' ')} the weights moved at a cosine of {path.cosine:.2f}{beside} to the way "
        f"back, undid {_share(path.undone)} of the update and ended at {percent(path.distance)} of the former distance "
        f"to the base: {WAYS[path.way]}."
    )


def trajectory(data: ReportData) -> str:
    """The section: paths, where every attack ended, and the diagnostics at chosen steps."""
    attack, found = lead(data), paths(data)
    if not found:
        return ""
    labels = {model.name: model.label for model in data.judged()}
    answers = [f"{label}: {words}" for name, label in labels.items() if (words := sentence(data, name))]
    return section(
        "Does the attack retrace the unlearning?",
        *(paragraph(answer, "meaning") for answer in answers),
        side_by_side(
            figures(
                data, lambda part: of_attacks.path_figure(part, attack),
                f"The path of {attack.replace('_', ' ')} through weight space",
                "A cosine near 1 is the way straight back to the base; the dashed green line is the filtered model, whose "
                "weights have nothing to go back to. First seed.",
            ),
            _ends(data, found),
        ),
        _diagnostics(data, attack),
    )  # fmt: skip


def _ends(data: ReportData, found: list[Path]) -> str:
    order = [model.name for model in data.models]
    body: list[list[Cell | Content]] = [
        [
            named(data, path.model), path.attack.replace("_", " "), f"{path.step}", path.cosine, _share(path.undone),
            Share(path.distance),
        ]
        for path in sorted(found, key=lambda path: order.index(path.model))
    ]  # fmt: skip
    return table(Table(
        ("model", "attack", "steps", "cosine to −ΔW", "ΔW undone", "distance to base"), body,
        "Where each attack ended (first seed): cosine between the attack's update and the way back −ΔW, share of ΔW undone, "
        "and distance to the base as a share of that before the attack.",
        words=(0, 1), cards=True,
    ))  # fmt: skip


def _diagnostics(data: ReportData, attack: str) -> str:
    """Steps 1, 3 and 6 at the chosen steps, with V at that step of the same seed."""
    assert data.trajectory is not None
    names = {column: words for column, words in _headlines().items() if column in data.trajectory}
    rows = data.trajectory[data.trajectory["attack"] == attack]
    rows = rows.dropna(subset=list(names), how="all") if names else rows[:0]
    body: list[list[Cell | Content]] = []
    for model in data.models:
        for _, row in rows[rows["model"] == model.name].sort_values("step").iterrows():
            cells: list[Content] = [f"{row[column]:.3g}" if row[column] == row[column] else None for column in names]
            body.append([named(data, model.name), f"{row['step']:.0f}", _v_at(data, row), *cells])
    return table(Table(
        ("model", "step", "V then", *names.values()), body,
        f"Diagnostics between the base and the model under {attack.replace('_', ' ')}, at chosen steps of the first seed. Where V returns "
        "and these stay, they do not see what the attack brings back.",
        cards=True,
    ))  # fmt: skip


def _headlines() -> dict[str, str]:
    """What the columns of the trajectory's diagnostics are called."""
    found: dict[str, str] = {}
    for name in ("weight_comparison", "activation_comparison", "wmdp_logit_lens"):
        plugin = discovery.find("diagnostics", name)
        found |= {f"{name}.{headline.key}": headline.words for headline in plugin.load().HEADLINES}
    return found


def _v_at(data: ReportData, row: pandas.Series) -> Share | None:
    if data.recovery is None:
        return None
    same = data.recovery
    for column in ("model", "attack", "seed", "step"):
        same = same[same[column] == row[column]]
    return Share(same["accuracy_v"].iloc[0]) if len(same) and same["accuracy_v"].notna().all() else None


def _share(value: float) -> str:
    return percent(value, 1) if abs(value) < 0.1 else percent(value)
