"""The sections of the report on what changed where: weights, hidden states, and the layers that hold the answer."""

from __future__ import annotations

import math

from brittle.figures import of_models
from brittle.results.measures import activation_change, movement, movement_by_layer
from brittle.results.outputs import ReportData
from brittle.views.html import figures, named, paragraph, section, side_by_side, table, together
from brittle.views.sentences import control_sentences
from brittle.views.tables import Cell, Content, Share, Table


def weights(data: ReportData) -> str:
    """Relative update and stable rank, overall and by layer, with what the retrained control makes of them."""
    rows: list[list[Cell | Content]] = []
    for comparison in data.from_base():
        moved, layers = movement(comparison), movement_by_layer(comparison)
        groups: list[Content] = [None, None]
        if layers is not None:
            groups = [float(layers[group].mean()) if group in layers else None for group in ("attn", "mlp")]
        numbers: list[Cell | Content] = (
            [moved.relative_frobenius_norm_all_parameters, Cell(moved.mean_stable_rank, decimals=1)]
            if moved
            else [None, None]
        )
        rows.append([named(data, comparison.b), *numbers, *groups])
    return section(
        "What changed where: weights",
        paragraph(" ".join(control_sentences(data)), "meaning"),
        table(Table(
            ("base →", "relative update", "stable rank", "attention", "MLP"), rows,
            "Relative update ‖ΔW‖/‖W‖ over all matrices; stable rank ‖ΔW‖²/σ₁(ΔW)², mean over matrices; relative "
            "update of attention and of MLP, mean over layers.",
        )),
        side_by_side(
            figures(
                data, of_models.movement_figure, "Weight change by layer",
                "Blue is what training again on the same data gives: read the green line against it, and the unlearned "
                "models, which start from the base's weights, against both.",
            ),
            together(
                _layers_of_weights(data, "relative_frobenius_norm", "Relative update by layer, attention and MLP together.", 2),
                _layers_of_weights(data, "stable_rank", "Stable rank by layer, mean over its matrices.", 1),
            ),
        ),
    )  # fmt: skip


def _layers_of_weights(data: ReportData, column: str, caption: str, decimals: int) -> str:
    tables = [(comparison.b, movement_by_layer(comparison)) for comparison in data.from_base()]
    measured = [(name, part.set_index("layer")[column]) for name, part in tables if part is not None]
    rows: list[list[Cell | Content]] = []
    for layer in sorted({layer for _, part in measured for layer in part.index}):
        cells = [Cell(float(part.get(layer, math.nan)), decimals) for _, part in measured]
        rows.append([str(layer), *cells])
    header = ("layer", *(data.model(name).label for name, _ in measured))
    return table(Table(header, rows, caption, words=()))


def activations(data: ReportData) -> str:
    """How far hidden states moved, by layer and split."""
    rows: list[list[Cell | Content]] = []
    for comparison in data.from_base():
        change = activation_change(comparison)
        if change is not None:
            mean = change.groupby("split")["change"].mean()
            forget, retain = (float(mean.get(split, math.nan)) for split in ("forget", "retain"))
            rows.append([named(data, comparison.b), forget, retain, forget / retain if retain else None])
    return section(
        "What changed where: hidden states",
        side_by_side(
            figures(
                data, of_models.activation_figure, "Change of hidden states by layer",
                "A line that is high on forget texts and low on retain texts belongs to a targeted change; high on "
                "both, to a model that computes differently on everything.",
            ),
            table(Table(
                ("base →", "forget texts", "retain texts", "forget / retain"), rows,
                "Mean over layers of ‖Δh‖₂/‖h‖₂ per token.",
            )),
        ),
    )  # fmt: skip


def lens(data: ReportData) -> str:
    """At which layer each model's own output head reads the answer."""
    measured = [(model, model.lens.set_index("layer")["accuracy"]) for model in data.models if model.lens is not None]
    rows: list[list[Cell | Content]] = []
    for layer in sorted({layer for _, part in measured for layer in part.index}):
        rows.append([str(layer), *(Share(part.get(layer)) for _, part in measured)])
    header = ("layer", *(model.label for model, _ in measured))
    return section(
        "Where the answer can be read: logit lens",
        side_by_side(
            figures(
                data, of_models.lens_figure, "Forget questions answered from each layer",
                "A line above guessing at any layer means the answer can be read there; a line at guessing does not "
                "mean that the knowledge is gone, only that this lens does not see it.",
            ),
            table(Table(header, rows, "The same in numbers.", words=())),
        ),
    )  # fmt: skip
