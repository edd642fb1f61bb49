"""Are the changes concentrated in the MLP (knowledge storage) or in attention (routing)?

Per layer, ‖ΔW‖_F of the MLP over ‖ΔW‖_F of attention. A random update of equal size per entry does not give 1 but the
root of the ratio of entry counts, √(n_mlp / n_attn): √2 on GPT-NeoX. ``expected_ratio`` is that number, and a ratio
says something only beside it. Where attention did not change there is no ratio (an empty cell).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from brittle.contracts import Figure, Findings, Headline
from brittle.records import column
from brittle.settings import setting

NAME = "mlp_attn_analysis"
STEP = 4
PROGRAM = "analyze_mlp_vs_attn"
NEEDS = "tables"
SCOPE = "pair"


@dataclass(frozen=True)
class Settings:
    """It reads the rows of ``weight_comparison/per_layer.csv``: of the comparison, or of the table that is named."""

    per_layer_csv: str | None = setting(None, "table of step 1 to read, instead of --model-a and --model-b")


@dataclass(frozen=True)
class Row:
    """``mlp_attn_summary.csv``: one layer."""

    layer: int = column("layer, from 0")
    mlp_frobenius: float = column("‖ΔW‖_F over the layer's MLP matrices")
    attn_frobenius: float = column("‖ΔW‖_F over its attention matrices")
    ratio_mlp_attn: float = column("mlp_frobenius / attn_frobenius; empty where attention did not change")
    mlp_stable_rank: float = column("mean stable rank of ΔW over the MLP matrices")
    attn_stable_rank: float = column("mean stable rank of ΔW over the attention matrices")
    expected_ratio: float = column("ratio that a random update of equal size per entry gives: √(n_mlp / n_attn)")


FIGURES = (
    Figure(
        "mlp_vs_attn_magnitude", "mlp_attn_summary", "layer", ("mlp_frobenius", "attn_frobenius"),
        "Change of MLP and attention by layer",
        "Absolute size of the change; the MLP has more entries, so equal care per entry already makes it larger.",
    ),
    Figure(
        "mlp_vs_attn_detailed", "mlp_attn_summary", "layer",
        ("ratio_mlp_attn", "mlp_stable_rank", "attn_stable_rank"),
        "MLP over attention, and the ranks of both",
        "A ratio above the expected one leans to the MLP, below it to attention.",
        expected={"ratio_mlp_attn": "expected_ratio"},
    ),
)  # fmt: skip
HEADLINES = (Headline("ratio_mlp_attn", "MLP update over attention update", None, "below", log=True),)


class Fitter:
    """Takes the rows of ``per_layer.csv`` as dictionaries, one per layer and group."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.groups: dict[int, dict[str, Mapping[str, Any]]] = {}

    def update(self, row: Mapping[str, Any]) -> Fitter:
        """Take in one row."""
        self.groups.setdefault(int(row["layer"]), {})[row["group"]] = row
        return self

    def finish(self) -> Findings:
        """One row per layer that has both groups; the summary is over all of them together."""
        layers = sorted(layer for layer, groups in self.groups.items() if {"mlp", "attn"} <= groups.keys())
        rows = [_row(layer, **self.groups[layer]) for layer in layers]
        mlp, attn = (math.hypot(*(getattr(row, name) for row in rows)) for name in ("mlp_frobenius", "attn_frobenius"))
        elements = {g: sum(self.groups[layer][g]["elements"] for layer in layers) for g in ("mlp", "attn")}
        summary = {
            "mlp_frobenius": mlp,
            "attn_frobenius": attn,
            "ratio_mlp_attn": mlp / attn if attn > 0 else math.nan,
            "expected_ratio": math.sqrt(elements["mlp"] / elements["attn"]) if rows else math.nan,
        }
        return Findings({"mlp_attn_summary": rows}, summary)


def _row(layer: int, mlp: Mapping[str, Any], attn: Mapping[str, Any]) -> Row:
    change_mlp, change_attn = mlp["dW_fro_layer"], attn["dW_fro_layer"]
    return Row(
        layer, change_mlp, change_attn, change_mlp / change_attn if change_attn > 0 else math.nan,
        mlp["mean_dW_stable_rank"], attn["mean_dW_stable_rank"], math.sqrt(mlp["elements"] / attn["elements"]),
    )  # fmt: skip
