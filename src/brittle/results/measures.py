"""Numbers of the report that are computed from tables: what a model knows, how far a comparison moved the weights."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pandas

from brittle.results.outputs import ComparisonResult, ModelResult, ReportData
from brittle.results.reader import below, number

ACCURACY_KEYS = ("accuracy", "acc", "acc,none")
LIKELIHOOD_KEYS = ("negative_log_likelihood", "nll")


@dataclass(frozen=True)
class Knowledge:
    """What a model knows before any attack: accuracies (0 to 1) and mean negative log-likelihoods in nats per token."""

    forget_t: float | None
    forget_v: float | None
    forget: float | None
    retain: float | None
    nll_forget: float | None
    nll_retain: float | None


def knowledge(data: ReportData, model: ModelResult) -> Knowledge:
    """From ``evals/summary.json`` (``results.SPLIT.accuracy`` …), else from step 0 of the attack, else None."""

    def value(split: str, keys: tuple[str, ...], side: str | None = None) -> float | None:
        results = below(model.evaluation, "results", split)
        found = next((number(results[key]) for key in keys if not math.isnan(number(results.get(key)))), None)
        return found if found is not None else _before_attack(data, model.name, side)

    forget_t, forget_v = value("forget_t", ACCURACY_KEYS, "t"), value("forget_v", ACCURACY_KEYS, "v")
    return Knowledge(
        forget_t, forget_v, value("forget", ACCURACY_KEYS), value("retain", ACCURACY_KEYS, "retain"),
        value("forget", LIKELIHOOD_KEYS), value("retain", LIKELIHOOD_KEYS),
    )  # fmt: skip


def forget_accuracy(data: ReportData, model: ModelResult) -> float | None:
    """Accuracy on all forget questions; the mean of T and V where only those are known."""
    known = knowledge(data, model)
    if known.forget is not None:
        return known.forget
    halves = [value for value in (known.forget_t, known.forget_v) if value is not None]
    return sum(halves) / len(halves) if halves else None


def _before_attack(data: ReportData, name: str, side: str | None) -> float | None:
    rows = data.before_attacks.get(name)
    if rows is None or side is None:
        return None
    return float(rows[f"accuracy_{side}"].mean()) if rows[f"accuracy_{side}"].notna().any() else None


def diverged(data: ReportData, name: str) -> dict[str, bool]:
    """The attacks under which a model stopped giving numbers, and whether nothing after their start could be asked."""
    if data.diverged is None or data.recovery is None:
        return {}
    attacks = data.diverged[data.diverged["model"] == name]["attack"].unique()
    after = data.recovery[(data.recovery["model"] == name) & (data.recovery["step"] > 0)]
    return {str(attack): not (after["attack"] == attack).any() for attack in attacks}


@dataclass(frozen=True)
class Movement:
    """How far, and in how many directions, a comparison moved the weights."""

    relative_frobenius_norm_all_parameters: float
    """‖ΔW‖_F / ‖W‖_F over all parameters together (over the matrices, where only those are known)."""
    mean_stable_rank: float
    """Mean over the blocks' matrices of ‖ΔW‖_F² / σ₁(ΔW)²."""


def movement(comparison: ComparisonResult) -> Movement | None:
    """From ``weight_comparison/summary.json``, else recomputed from ``per_matrix.csv``, else None."""
    summary, table = comparison.weight_summary, comparison.per_matrix
    update, rank = (
        number(summary.get("relative_frobenius_norm_all_parameters")),
        number(summary.get("mean_stable_rank")),
    )
    if not math.isnan(update) and not math.isnan(rank):
        return Movement(update, rank)
    if table is None or table.empty:
        return None
    update = math.sqrt((table["dW_fro"] ** 2).sum()) / math.sqrt((table["W_fro"] ** 2).sum())
    return Movement(update, float(table[table["group"].isin(("attn", "mlp"))]["dW_stable_rank"].mean()))


def movement_by_layer(comparison: ComparisonResult) -> pandas.DataFrame | None:
    """One row per layer: ``relative_frobenius_norm`` and ``stable_rank`` of attn and mlp together, and the update of each."""
    table = comparison.per_layer
    if table is None or table.empty:
        return None
    rows = []
    for layer, part in table.groupby("layer"):
        update = math.sqrt((part["dW_fro_layer"] ** 2).sum()) / math.sqrt((part["W_fro_layer"] ** 2).sum())
        rank = float((part["mean_dW_stable_rank"] * part["count_mats"]).sum() / part["count_mats"].sum())
        row = {"layer": layer, "relative_frobenius_norm": update, "stable_rank": rank}
        row |= dict(zip(part["group"], part["dW_fro_layer_rel"]))
        rows.append(row)
    return pandas.DataFrame(rows)


def activation_change(comparison: ComparisonResult) -> pandas.DataFrame | None:
    """One row per (layer, split): ``change`` = mean ‖Δh‖₂ over mean ‖h‖₂ of model a, per token."""
    table = comparison.activations
    if table is None or table.empty:
        return None
    change = table["mean_dh_L2"] / table["model_a_norm_L2"].where(table["model_a_norm_L2"] > 0)
    return table[["layer", "split"]].assign(change=change)
