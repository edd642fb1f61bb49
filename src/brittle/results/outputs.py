"""Reads everything the report says from the outputs tree. A missing piece is named, never invented."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas

from brittle import progress
from brittle.results import attack_kinds, forms, questions, trainings
from brittle.results.at_matched_t import MatchedRecovery, matched, said_nothing
from brittle.results.at_strongest import Strongest, WorstCase, strongest, worst_cases
from brittle.results.attack_kinds import Reading, matched_attacks
from brittle.results.attack_records import DIVERGED, TRAJECTORY, read_answers, read_points, recovery_table
from brittle.results.damage import NOT_MEASURED, Damage, Health, damage
from brittle.results.missing import not_measured
from brittle.results.plan import plan
from brittle.results.questions import Asked
from brittle.results.reader import Form, Reader
from brittle.results.record_files import read_records, read_summaries
from brittle.results.recovery_speed import RecoveryNumbers, recovery_numbers
from brittle.results.roles import ORDER, REFERENCES, Role
from brittle.results.trainings import Told

FIRST = "relearning"
"""The attack that the report tells of first, where it was carried out."""


@dataclass(frozen=True)
class ModelResult:
    """One model and what was measured on it alone."""

    name: str
    role: str
    label: str
    """Short and unique: the role, or the method of an unlearned model; a damaged model is called so."""
    reference: str = ""
    method: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    evaluation: Mapping[str, Any] = field(default_factory=dict)
    lens: pandas.DataFrame | None = None
    benign: pandas.DataFrame | None = None
    """What held-out benign texts cost it, text by text."""
    damage: Damage = NOT_MEASURED


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
    asked: Mapping[str, Asked] = field(default_factory=lambda: defaultdict(Asked))
    """What is known of the questions, by side: ``t``, ``v``, ``forget`` (both) and ``retain``."""
    example: str = ""
    """One of the hazardous questions; empty where none is recorded."""
    answers: pandas.DataFrame | None = None
    """Rows of ``recovery_answers.csv``: what was answered under attack (:mod:`brittle.results.facts`)."""
    told: Mapping[str, Told] = field(default_factory=dict)
    """By measure what several trainings of the references say of it; empty where there is one of each."""

    @cached_property
    def before_attacks(self) -> Mapping[str, pandas.DataFrame]:
        """The points at step 0, by model."""
        if self.recovery is None:
            return {}
        return {str(name): part for name, part in self.recovery[self.recovery["step"] == 0].groupby("model")}

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

    def judged(self) -> list[ModelResult]:
        """The models that the question is about: all but references."""
        return [model for model in self.models if model.role not in REFERENCES]

    def only(self, names: Collection[str]) -> ReportData:
        """The same of these models alone."""
        return replace(
            self, models=tuple(model for model in self.models if model.name in names),
            comparisons=tuple(pair for pair in self.comparisons if {pair.a, pair.b} <= set(names)),
            matched=tuple(row for row in self.matched if row.model in names),
            numbers=tuple(row for row in self.numbers if row.model in names),
            strongest=tuple(row for row in self.strongest if row.model in names),
            worst=tuple(case for case in self.worst if case.found.model in names),
        )  # fmt: skip

    def from_base(self) -> list[ComparisonResult]:
        """Comparisons whose first model is the base, in the order of the models."""
        bases = {model.name for model in self.of_role("base")}
        order = {model.name: place for place, model in enumerate(self.models)}
        chosen = [comparison for comparison in self.comparisons if comparison.a in bases]
        return sorted(chosen, key=lambda comparison: order.get(comparison.b, len(order)))


def listed(outputs: Path) -> tuple[list[ModelResult], list[str]]:
    """The models that an outputs folder names, with roles, labels and settings but without anything measured; and what was left out.

    Raises:
        BadInput: as :func:`gather`.
    """
    entries, _ = plan(reader := Reader(Path(outputs)))
    return _ordered(map(_named, entries, _labels(entries))), reader.left_out


def healths(outputs: Path) -> dict[str, Health]:
    """Whether each model still works, by name; little is read for it."""
    entries, _ = plan(reader := Reader(Path(outputs)))
    return {
        model.name: model.damage.health for model in _judged([_known(reader, _named(each, "")) for each in entries])
    }


def gather(outputs: Path, only: Collection[str] | None = None) -> ReportData:
    """Read the tree of results below ``outputs``: whatever stands there, as long as there is one record.

    Args:
        only: the names of the models to read, of many; references should be among them, which others are judged by.

    Raises:
        BadInput: there is no record, or ``comparison.json`` names no model in a form that can be read.
    """
    outputs = Path(outputs)
    reader = Reader(outputs)
    entries, pairs = plan(reader)
    chosen = [(e, label) for e, label in zip(entries, _labels(entries)) if only is None or e["name"] in only]
    models = tuple(_ordered(_judged([_model(reader, entry, label) for entry, label in chosen])))
    labels = {model.name: model.label for model in models}
    pairs = [pair for pair in pairs if {pair["a"], pair["b"]} <= labels.keys()]
    comparisons = tuple(_comparison(reader, entry) for entry in pairs)
    recovery, answers = read_points(reader), read_answers(reader, only)
    trajectory, diverged = (recovery_table(reader, *table) for table in (TRAJECTORY, DIVERGED))
    pairs_by_folder = {each.folder: f"{labels[each.a]} → {labels[each.b]}" for each in comparisons}
    roles = {model.role for model in models}
    missing = tuple(not_measured(outputs, roles, labels, pairs_by_folder, recovery, answers))
    folders = None if only is None else {*labels, *pairs_by_folder}
    records = read_records(reader, folders)
    told = trainings.told_apart(reader.table(outputs / trainings.TABLE, trainings.FORM))
    return ReportData(
        models, comparisons, recovery, *_came_back(models, recovery, answers, diverged), trajectory, records,
        read_summaries(reader, records), missing, tuple(reader.left_out), diverged,
        questions.asked(answers, (model.evaluation for model in models)), questions.example(answers, records.values()),
        answers, told,
    )  # fmt: skip


def _ordered(models: Iterable[ModelResult]) -> list[ModelResult]:
    """References first, by their roles."""
    return sorted(models, key=lambda model: ORDER.index(model.role) if model.role in ORDER else len(ORDER))


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
    others = attack_kinds.attacks_read(Reading.TRIALS) | attack_kinds.attacks_read(Reading.STRONGEST)
    rows = sorted(matched(of(teaching, known), answers, diverged=diverged), key=lambda row: order[row.model])
    numbers = sorted(recovery_numbers(of(attack_kinds.step_attacks()), diverged), key=lambda row: order[row.model])
    by_attack = sorted(strongest(of(others)), key=lambda row: (row.attack, order[row.model]))
    worst = sorted(worst_cases(of(teaching | others), answers=answers), key=lambda case: order[case.found.model])
    return tuple(rows), tuple(numbers), tuple(by_attack), tuple(worst)


def _named(entry: Mapping[str, Any], label: str) -> ModelResult:
    """A model as the plan names it."""
    return ModelResult(
        entry["name"], entry["role"], label, entry.get("reference") or "", entry.get("method") or "",
        entry.get("settings") or {},
    )  # fmt: skip


def _known(reader: Reader, model: ModelResult) -> ModelResult:
    """The same with what evaluations say of it."""
    folder = reader.outputs / model.name / "evals"
    return replace(
        model, evaluation=reader.object(folder / "summary.json"),
        benign=reader.table(folder / "benign_likelihood.csv", forms.BENIGN_LIKELIHOOD),
    )  # fmt: skip


def _model(reader: Reader, entry: Mapping[str, Any], label: str) -> ModelResult:
    model = _known(reader, _named(entry, label))
    path = reader.outputs / model.name / "wmdp_logit_lens" / "wmdp_lens_results.csv"
    return replace(model, lens=_layers(reader, path, forms.LENS))


def _judged(models: Sequence[ModelResult]) -> tuple[ModelResult, ...]:
    """The models, each with what is known of its health beside the first base; the label calls a damaged one so."""
    base = next((model for model in models if model.role == Role.BASE), None)
    found = []
    for model in models:
        own = damage(model.benign, model.evaluation, base.benign if base else None, base.evaluation if base else {})
        label = f"{model.label} (damaged)" if own.health == Health.DAMAGED else model.label
        found.append(replace(model, damage=own, label=label))
    return tuple(found)


def _labels(entries: Sequence[Mapping[str, Any]]) -> list[str]:
    """Role, or method for unlearned models; where that is shared, a number is added."""
    named = (Role.UNLEARNED, Role.UNKNOWN)
    plain = [entry.get("method") or entry["name"] if entry["role"] in named else entry["role"] for entry in entries]
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
