"""Reads everything the report says from the outputs tree. A missing piece is named, never invented."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas

from brittle.contracts import ROLES
from brittle.records import RECORD, read_record
from brittle.reports import readings
from brittle.reports.recovery import MatchedRecovery, matched
from brittle.reports.recovery_numbers import RecoveryNumbers, recovery_numbers
from brittle.reports.strongest import Strongest, WorstCase, strongest, worst_cases
from brittle.settings import BadInput

PAIR_DIAGNOSTICS = {
    "weight_comparison": "weight changes", "activation_comparison": "activation changes",
    "mlp_attn_analysis": "MLP against attention", "null_space_analysis": "null space and subspaces",
    "activation_separation": "activation separation", "activation_covariance": "activation covariance",
    "mlp_nullspace": "MLP null-space alignment", "row_space_projection": "row-space projection",
    "lipschitzness": "local Lipschitz constants", "causal_depth": "causal depth",
    "representation_similarity": "likeness of hidden states", "singular_value_spectra": "singular-value spectra",
}  # fmt: skip
MODEL_DIAGNOSTICS = {
    "evals": "evaluation", "linear_probes": "linear probes",
    "wmdp_logit_lens": "logit lens", "wmdp_tuned_lens": "tuned lens",
}  # fmt: skip


@dataclass(frozen=True)
class ModelResult:
    """One model and what was measured on it alone."""

    name: str
    role: str
    label: str
    """Short and unique: the role, or the method of an unlearned model."""
    reference: str = ""
    method: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    evaluation: Mapping[str, Any] = field(default_factory=dict)
    lens: pandas.DataFrame | None = None


@dataclass(frozen=True)
class ComparisonResult:
    """One pair of models, a -> b, and what was measured on it."""

    folder: str
    a: str
    b: str
    per_layer: pandas.DataFrame | None = None
    per_matrix: pandas.DataFrame | None = None
    weight_summary: Mapping[str, Any] = field(default_factory=dict)
    activations: pandas.DataFrame | None = None


@dataclass(frozen=True)
class ReportData:
    """All that the report is made from."""

    models: tuple[ModelResult, ...]
    comparisons: tuple[ComparisonResult, ...]
    recovery: pandas.DataFrame | None
    matched: tuple[MatchedRecovery, ...]
    """V at matched T of every attacked model, by attack, in the order of the models."""
    numbers: tuple[RecoveryNumbers, ...]
    """How fast each model came back under each attack that trains."""
    strongest: tuple[Strongest, ...]
    """Each model under each attack that is read at its strongest, attack by attack."""
    worst: tuple[WorstCase, ...]
    """The worst case of each attacked model over all attacks."""
    trajectory: pandas.DataFrame | None
    """The paths of attacks through weight space (:mod:`brittle.workflows.trajectory`)."""
    records: Mapping[str, Mapping[str, Any]]
    """Records by their folder below the outputs folder."""
    summaries: Mapping[str, Mapping[str, Any]]
    """What diagnostics say of themselves in one object, by the same folders."""
    missing: tuple[str, ...]
    """What was not measured, in words."""

    def model(self, name: str) -> ModelResult:
        """The model of that name."""
        return next(model for model in self.models if model.name == name)

    def of_role(self, role: str) -> list[ModelResult]:
        """The models of one role, in order."""
        return [model for model in self.models if model.role == role]

    def from_base(self) -> list[ComparisonResult]:
        """Comparisons whose first model is the base, in the order of the models."""
        bases = {model.name for model in self.of_role("base")}
        order = {model.name: place for place, model in enumerate(self.models)}
        chosen = [comparison for comparison in self.comparisons if comparison.a in bases]
        return sorted(chosen, key=lambda comparison: order.get(comparison.b, len(order)))


def gather(outputs: Path) -> ReportData:
    """Read the tree of results below ``outputs``; ``comparison.json`` there says which models and pairs it holds.

    Raises:
        BadInput: ``comparison.json`` is missing, lists no models or compares one that it does not list.
    """
    outputs = Path(outputs)
    plan = _json(outputs / "comparison.json")
    if not plan.get("models"):
        raise BadInput(
            f"{outputs / 'comparison.json'} is missing or lists no models; run the pipeline or brittle demo first"
        )
    models = tuple(_model(outputs, entry, label) for entry, label in zip(plan["models"], _labels(plan["models"])))
    models = tuple(sorted(models, key=lambda model: ROLES.index(model.role) if model.role in ROLES else len(ROLES)))
    comparisons = tuple(_comparison(outputs, entry) for entry in plan.get("comparisons", []))
    unlisted = {name for c in comparisons for name in (c.a, c.b)} - {model.name for model in models}
    if unlisted:
        first = sorted(unlisted)[0]
        raise BadInput(
            f"{outputs / 'comparison.json'} compares {first}, which it does not list; run the pipeline again"
        )
    recovery = _points(outputs / "recovery" / "recovery.csv")
    answers = _table(outputs / "recovery" / "recovery_answers.csv")
    trajectory = _table(outputs / "recovery" / "trajectory.csv")
    missing = tuple(_missing(outputs, models, comparisons, recovery, answers))
    return ReportData(
        models, comparisons, recovery, *_came_back(models, recovery, answers), trajectory, _records(outputs),
        _summaries(outputs), missing,
    )  # fmt: skip


def _points(path: Path) -> pandas.DataFrame | None:
    """The recovery table; columns that older runs did not write are empty."""
    table = _table(path)
    if table is None:
        return None
    absent: dict[str, Any] = {"strength": 0.0, "tokens_seen": math.nan, "compute": "fp32", "configuration": ""}
    table = table.assign(**{name: value for name, value in absent.items() if name not in table})
    return table.assign(configuration=table["configuration"].fillna(""))


def _came_back(
    models: tuple[ModelResult, ...], recovery: pandas.DataFrame | None, answers: pandas.DataFrame | None
) -> tuple[
    tuple[MatchedRecovery, ...], tuple[RecoveryNumbers, ...], tuple[Strongest, ...], tuple[WorstCase, ...]
]:  # fmt: skip
    """What the attacks brought back, read in their three ways, in the order of the models."""
    if recovery is None:
        return (), (), (), ()
    order = {model.name: place for place, model in enumerate(models)}
    known = recovery[recovery["model"].isin(order)]

    def of(attacks: set[str]) -> pandas.DataFrame:
        return known[known["attack"].isin(attacks)]

    teaching = readings.matched_attacks()
    others = readings.trial_attacks().union(*map(readings.strength_attacks, ("nothing", "retain", "T")))
    rows = sorted(matched(of(teaching), answers), key=lambda row: order[row.model])
    numbers = sorted(recovery_numbers(of(readings.step_attacks())), key=lambda row: order[row.model])
    by_attack = sorted(strongest(of(others)), key=lambda row: (row.attack, order[row.model]))
    worst = sorted(worst_cases(of(teaching | others)), key=lambda case: order[case.found.model])
    return tuple(rows), tuple(numbers), tuple(by_attack), tuple(worst)


def _model(outputs: Path, entry: Mapping[str, Any], label: str) -> ModelResult:
    folder = outputs / entry["name"]
    return ModelResult(
        entry["name"], entry["role"], label, entry.get("reference") or "", entry.get("method") or "",
        entry.get("settings") or {}, _json(folder / "evals" / "summary.json"),
        _layers(folder / "wmdp_logit_lens" / "wmdp_lens_results.csv"),
    )  # fmt: skip


def _labels(entries: list[Mapping[str, Any]]) -> list[str]:
    """Role, or method for unlearned models; where that is shared, a number is added."""
    plain = [
        entry.get("method") or entry["name"] if entry["role"] == "unlearned" else entry["role"] for entry in entries
    ]
    shared, seen, labels = Counter(plain), Counter[str](), []
    for label in plain:
        seen[label] += 1
        labels.append(f"{label} {seen[label]}" if shared[label] > 1 else label)
    return labels


def _comparison(outputs: Path, entry: Mapping[str, Any]) -> ComparisonResult:
    folder = outputs / entry["folder"]
    weights = folder / "weight_comparison"
    return ComparisonResult(
        entry["folder"], entry["a"], entry["b"], _layers(weights / "per_layer.csv"), _table(weights / "per_matrix.csv"),
        _json(weights / "summary.json"), _layers(folder / "activation_comparison" / "activation_comparison.csv"),
    )  # fmt: skip


def _records(outputs: Path) -> dict[str, Mapping[str, Any]]:
    found: dict[str, Mapping[str, Any]] = {}
    for path in sorted(outputs.rglob(RECORD)):
        name = path.parent.relative_to(outputs)
        record = None if any(part.startswith(".") for part in name.parts) else read_record(path.parent)
        if record:
            found[str(name)] = record
    return found


def _summaries(outputs: Path) -> dict[str, Mapping[str, Any]]:
    """Of every record, the JSON file beside it."""
    found: dict[str, Mapping[str, Any]] = {}
    for name in _records(outputs):
        files = [path for path in sorted((outputs / name).glob("*.json")) if path.name != RECORD]
        if files:
            found[name] = _json(files[0])
    return found


def _missing(
    outputs: Path,
    models: tuple[ModelResult, ...],
    comparisons: tuple[ComparisonResult, ...],
    recovery: pandas.DataFrame | None,
    answers: pandas.DataFrame | None,
) -> list[str]:
    lines = [f"no {role} model" for role in ROLES if role not in {model.role for model in models}]
    labels = {model.name: model.label for model in models}
    pairs = {c.folder: f"{labels[c.a]} → {labels[c.b]}" for c in comparisons}
    nowhere = []
    for kinds, places in ((PAIR_DIAGNOSTICS, pairs), (MODEL_DIAGNOSTICS, labels)):
        for folder, words in kinds.items():
            without = [label for place, label in places.items() if not any((outputs / place / folder).glob("*"))]
            if len(without) == len(places):
                nowhere.append(words)
            elif without:
                lines.append(f"{words} of {', '.join(without)}")
    lines += [", ".join(nowhere)] if nowhere else []
    if recovery is None:
        lines.append("recovery under attack")
    elif answers is None:
        lines.append("answers under attack, so V is not tested against chance")
    attacked = set(recovery["model"]) if recovery is not None else set(labels)
    spared = [label for name, label in labels.items() if name not in attacked]
    return lines + ([f"recovery under attack of {', '.join(spared)}"] if spared else [])


def _json(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except json.JSONDecodeError as error:
        raise BadInput(f"{path} is not valid JSON ({error.msg}); delete it and run the pipeline again") from None


def _table(path: Path) -> pandas.DataFrame | None:
    try:
        return pandas.read_csv(path)
    except FileNotFoundError:
        return None
    except (pandas.errors.EmptyDataError, pandas.errors.ParserError):
        raise BadInput(f"{path} is empty or no CSV; delete its folder and run the pipeline again") from None


def _layers(path: Path) -> pandas.DataFrame | None:
    """A table by layer, without rows that summarise layers (``ALL_MEAN``)."""
    table = _table(path)
    if table is None:
        return None
    numbers = pandas.to_numeric(table["layer"], errors="coerce")
    return table[numbers.notna()].assign(layer=numbers.dropna().astype(int)).reset_index(drop=True)
