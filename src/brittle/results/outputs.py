"""Reads everything the report says from the outputs tree. A missing piece is named, never invented."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas

from brittle import progress
from brittle.contracts import ROLES
from brittle.records import RECORD
from brittle.results import attack_kinds, forms
from brittle.results.at_matched_t import MatchedRecovery, matched, said_nothing
from brittle.results.at_strongest import Strongest, WorstCase, strongest, worst_cases
from brittle.results.attack_kinds import matched_attacks
from brittle.results.plan import plan
from brittle.results.reader import Form, Reader, kind_of, number
from brittle.results.recovery_speed import RecoveryNumbers, recovery_numbers

FIRST = "relearning"
"""The attack that the report tells of first, where it was carried out."""


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
    "wmdp_logit_lens": "logit lens", "wmdp_tuned_lens": "tuned lens", "wmdp_linear_lens": "linear lens",
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
    """The paths of attacks through weight space (:mod:`brittle.runs.attack_trajectory`)."""
    records: Mapping[str, Mapping[str, Any]]
    """Records by their folder below the outputs folder."""
    summaries: Mapping[str, Mapping[str, Any]]
    """What diagnostics say of themselves in one object, by the same folders."""
    missing: tuple[str, ...]
    """What was not measured, in words."""
    left_out: tuple[str, ...] = ()
    """Files, or parts of them, that could not be read, and why."""
    diverged: pandas.DataFrame | None = None
    """Attacks that stopped giving numbers (:class:`brittle.contracts.Divergence`)."""

    def say_left_out(self) -> None:
        """Name on standard error what could not be read."""
        for line in self.left_out:
            progress.say(f"left out: {line}")

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
        BadInput: ``comparison.json`` is missing, or names no model in a form that can be read.
    """
    outputs = Path(outputs)
    reader = Reader(outputs)
    entries, pairs = plan(reader)
    models = tuple(_model(reader, entry, label) for entry, label in zip(entries, _labels(entries)))
    models = tuple(sorted(models, key=lambda model: ROLES.index(model.role) if model.role in ROLES else len(ROLES)))
    comparisons = tuple(_comparison(reader, entry) for entry in pairs)
    folder = outputs / "recovery"
    recovery, answers = _points(reader, folder / "recovery.csv"), _answers(reader, folder / "recovery_answers.csv")
    trajectory = reader.table(folder / "trajectory.csv", forms.TRAJECTORY)
    diverged = reader.table(folder / "diverged.csv", forms.DIVERGED)
    missing = tuple(_missing(outputs, models, comparisons, recovery, answers))
    records = _records(reader)
    return ReportData(
        models, comparisons, recovery, *_came_back(models, recovery, answers, diverged), trajectory, records,
        _summaries(reader, records), missing, tuple(reader.left_out), diverged,
    )  # fmt: skip


def _points(reader: Reader, path: Path) -> pandas.DataFrame | None:
    """The recovery table; columns that older runs did not write are empty."""
    table = reader.table(path, forms.RECOVERY)
    if table is None:
        return None
    absent: dict[str, Any] = {
        "strength": 0.0, "tokens_seen": math.nan, "examples_seen": math.nan, "compute": "fp32", "configuration": "",
    }  # fmt: skip
    return table.assign(**{name: value for name, value in absent.items() if name not in table})


def _answers(reader: Reader, path: Path) -> pandas.DataFrame | None:
    """The answers under attack, those that name choices which exist."""
    table = reader.table(path, forms.ANSWERS)
    if table is None:
        return None
    if "choices" in table and not table["choices"].any():
        table = table.drop(columns="choices")
    fits = forms.askable(table)
    if not fits.all():
        reader.leave_out(path, f"{int((~fits).sum())} of {len(table)} rows: their choices are not among the options")
    return table[fits].reset_index(drop=True) if fits.any() else None


def _came_back(
    models: tuple[ModelResult, ...], recovery: pandas.DataFrame | None, answers: pandas.DataFrame | None,
    diverged: pandas.DataFrame | None = None,
) -> tuple[
    tuple[MatchedRecovery, ...], tuple[RecoveryNumbers, ...], tuple[Strongest, ...], tuple[WorstCase, ...]
]:  # fmt: skip
    """What the attacks brought back, read in their three ways, in the order of the models."""
    if recovery is None:
        return (), (), (), ()
    order = {model.name: place for place, model in enumerate(models)}
    known = recovery[recovery["model"].isin(order)]
    told = known[~said_nothing(known, diverged)]

    def of(attacks: set[str], among: pandas.DataFrame = told) -> pandas.DataFrame:
        return among[among["attack"].isin(attacks)]

    teaching = attack_kinds.matched_attacks()
    others = attack_kinds.trial_attacks().union(*map(attack_kinds.strength_attacks, ("nothing", "retain", "T")))
    rows = sorted(matched(of(teaching, known), answers, diverged=diverged), key=lambda row: order[row.model])
    numbers = sorted(recovery_numbers(of(attack_kinds.step_attacks())), key=lambda row: order[row.model])
    by_attack = sorted(strongest(of(others)), key=lambda row: (row.attack, order[row.model]))
    worst = sorted(worst_cases(of(teaching | others)), key=lambda case: order[case.found.model])
    return tuple(rows), tuple(numbers), tuple(by_attack), tuple(worst)


def _model(reader: Reader, entry: Mapping[str, Any], label: str) -> ModelResult:
    folder = reader.outputs / entry["name"]
    return ModelResult(
        entry["name"], entry["role"], label, entry.get("reference") or "", entry.get("method") or "",
        entry.get("settings") or {}, reader.object(folder / "evals" / "summary.json"),
        _layers(reader, folder / "wmdp_logit_lens" / "wmdp_lens_results.csv", forms.LENS),
    )  # fmt: skip


def _labels(entries: Sequence[Mapping[str, Any]]) -> list[str]:
    """Role, or method for unlearned models; where that is shared, a number is added."""
    plain = [
        entry.get("method") or entry["name"] if entry["role"] == "unlearned" else entry["role"] for entry in entries
    ]
    plain = ["".join(sign if sign.isprintable() else " " for sign in label) for label in plain]
    shared, seen, labels = Counter(plain), Counter[str](), []
    for label in plain:
        seen[label] += 1
        labels.append(f"{label} {seen[label]}" if shared[label] > 1 else label)
    return labels


def _comparison(reader: Reader, entry: Mapping[str, Any]) -> ComparisonResult:
    folder = reader.outputs / entry["folder"]
    weights, activations = folder / "weight_comparison", folder / "activation_comparison"
    return ComparisonResult(
        entry["folder"], entry["a"], entry["b"], _layers(reader, weights / "per_layer.csv", forms.PER_LAYER),
        reader.table(weights / "per_matrix.csv", forms.PER_MATRIX), reader.object(weights / "summary.json"),
        _layers(reader, activations / "activation_comparison.csv", forms.ACTIVATIONS),
    )  # fmt: skip


def _records(reader: Reader) -> dict[str, Mapping[str, Any]]:
    """Every record below the outputs, with what it says of itself in the form that it belongs."""
    found: dict[str, Mapping[str, Any]] = {}
    for path in sorted(reader.outputs.rglob(RECORD)):
        name = path.parent.relative_to(reader.outputs)
        if any(part.startswith(".") for part in name.parts) or not (record := reader.object(path)):
            continue
        kinds: dict[str, Any] = {"fingerprint": str, "started": str, "versions": dict, "machine": dict, "notes": dict}
        wrong = [key for key, kind in kinds.items() if key in record and not isinstance(record[key], kind)]
        wrong += ["seconds"] if "seconds" in record and math.isnan(number(record["seconds"])) else []
        for key in wrong:
            reader.leave_out(path, f"its {key} is {kind_of(record[key])}")
        found[str(name)] = {key: value for key, value in record.items() if key not in wrong}
    return found


def _summaries(reader: Reader, records: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Of every record, the JSON file beside it."""
    found: dict[str, Mapping[str, Any]] = {}
    for name in records:
        files = [path for path in sorted((reader.outputs / name).glob("*.json")) if path.name != RECORD]
        if files:
            found[name] = reader.object(files[0])
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


def _layers(reader: Reader, path: Path, form: Form) -> pandas.DataFrame | None:
    """A table by layer, without rows that summarise layers (``ALL_MEAN``)."""
    table = reader.table(path, form)
    if table is None:
        return None
    numbers = pandas.to_numeric(table["layer"], errors="coerce")
    numbers = numbers.where(numbers % 1 == 0).dropna()
    return table.loc[numbers.index].assign(layer=numbers.astype(int)).reset_index(drop=True)


def attacks(data: ReportData) -> list[str]:
    """The attacks that are read at matched T and were carried out, in the order of the table; relearning, if done, first."""
    done = [] if data.recovery is None else [str(name) for name in data.recovery["attack"].unique()]
    return sorted((name for name in done if name in matched_attacks()), key=lambda name: name != FIRST)


def matched_rows(data: ReportData, attack: str) -> list[MatchedRecovery]:
    """V at matched T under one attack, in the order of the models."""
    return [row for row in data.matched if row.attack == attack]
