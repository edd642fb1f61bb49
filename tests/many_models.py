"""An outputs folder with as many unlearned models as one likes: the numbers of ``reports_tree``, written by the project's own writers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas
import reports_tree
from reports_tree import HOLDS_V, LAYERS, MOVED, kind, point, right_at

from brittle.records import Identity, write_json, write_text, writing

REFERENCES = {name: role for name, role in reports_tree.ROLES.items() if role != "unlearned"}
BASE = "laboratory_base"


def build(outputs: Path, number: int, seeds: int = 3) -> Path:
    """References and ``number`` models, half of ``cb_lat`` and half of ``wt_dist``, each compared, asked and attacked."""
    models: list[dict[str, Any]] = [
        {"name": n, "role": r, "reference": n.replace("_", ":", 1)} for n, r in REFERENCES.items()
    ]
    for place in range(number):
        method = ("cb_lat", "wt_dist")[place % 2]
        settings = {"lr": [1e-3, 3e-3, 1e-2][place % 3], "seed": place}
        name = f"{BASE}__{method}__ep1_lr{settings['lr']:g}_bs8_s{place}"
        models.append({"name": name, "role": "unlearned", "reference": name, "method": method, "settings": settings})
    names = [model["name"] for model in models]
    pairs = [{"folder": f"{BASE}__to__{name}", "a": BASE, "b": name} for name in names if name != BASE]
    for pair in pairs:
        _weights(outputs / pair["folder"] / "weight_comparison", *MOVED[kind(pair["b"])])
    points, answers = [], []
    for model in models:
        _lens(outputs / model["name"] / "wmdp_logit_lens", kind(model["name"]))
        for seed in range(seeds):
            rows = [point(model["name"], model["role"], seed, step) for step in range(0, 121, 10)]
            step = next(row["step"] for row in rows if row["accuracy_t"] >= 0.95)
            points += rows
            answers += [
                reports_tree.answer(model["name"], seed, step, each) | right_at(rows, each)
                for each in range(reports_tree.QUESTIONS)
            ]
    write_text(outputs / "recovery" / "recovery.csv", pandas.DataFrame(points).to_csv(index=False))
    write_text(outputs / "recovery" / "recovery_answers.csv", pandas.DataFrame(answers).to_csv(index=False))
    write_json(outputs / "comparison.json", {"models": models, "comparisons": pairs})
    return outputs


def _weights(folder: Path, update: float, rank: float) -> None:
    rows = [
        {"layer": layer, "group": group, "dW_fro_layer": update * norm, "W_fro_layer": norm, "dW_fro_layer_rel": update,
         "mean_dW_stable_rank": rank, "count_mats": 2}
        for layer in range(LAYERS) for group, norm in (("attn", 8.0), ("mlp", 12.0))
    ]  # fmt: skip
    matrices = [{"name": f"{row['layer']}.{row['group']}", "dW_fro": row["dW_fro_layer"], "W_fro": row["W_fro_layer"],
                 "dW_stable_rank": rank} for row in rows]  # fmt: skip
    with writing(folder, Identity("weight_comparison", {"folder": folder.parent.name}, {})) as draft:
        draft.table("per_layer", rows)
        draft.table("per_matrix", matrices)
        draft.summary({"relative_frobenius_norm": update, "mean_stable_rank": rank})


def _lens(folder: Path, model: str) -> None:
    accuracy = 0.25 + 0.72 * HOLDS_V[model]
    rows = [
        {"layer": layer, "accuracy": accuracy, "correct": int(accuracy * 240), "total": 240}
        for layer in range(LAYERS + 1)
    ]
    with writing(folder, Identity("wmdp_logit_lens", {"folder": folder.parent.name}, {})) as draft:
        draft.table("wmdp_lens_results", rows)
        draft.summary({"best_layer_accuracy": accuracy, "chance": 0.25})
