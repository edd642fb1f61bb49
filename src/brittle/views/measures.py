"""OpenUnlearning's measures of several models as one table."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from brittle.views.tables import Cell, Content, Share, Table

COLUMNS = {
    "forget_probability": "forget probability", "forget_rouge_l_recall": "forget ROUGE-L recall",
    "forget_rouge_l": "forget ROUGE-L F1", "memorisation_extraction_strength": "extraction strength",
    "memorisation_exact_memorisation": "exact memorisation", "verbatim_rouge_l": "verbatim ROUGE-L F1",
    "forget_truth_ratio_of_the_paper": "truth ratio", "forget_quality_of_the_paper": "forget quality",
    "privacy_leakage_min_k": "privacy leakage, min-k", "privacy_leakage_loss": "privacy leakage, loss",
    "model_utility_of_the_paper": "model utility", "retain_rouge_l": "retain ROUGE-L F1",
}  # fmt: skip
"""What is shown of ``measures.csv``: the paper's version where there are two."""
SIGNIFICANT = {"forget_quality_of_the_paper"}
"""Spread over many powers of ten: shown with two significant digits."""


def table(folder: Path) -> Table:
    """One row per model, of the measures that were taken."""
    found = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    rows: list[dict[str, Any]] = found["models"]
    shown = [name for name in COLUMNS if any(row.get(name) is not None for row in rows)]
    caption = f"Measures on {found['suite']}"
    if found["retain_model"]:
        caption += f"; forget quality and privacy leakage beside {found['retain_model']}"
    return Table(
        ["model", *(COLUMNS[name] for name in shown)],
        [[row["model"], *(_cell(name, row.get(name)) for name in shown)] for row in rows],
        caption,
    )


def _cell(name: str, value: float | None) -> Cell | Content:
    if value is not None and name in SIGNIFICANT:
        return f"{value:.2g}"
    return Share(value) if name.startswith("privacy_leakage") else Cell(value)
