"""What the records say of every model: those of unlearned models, of evaluations, comparisons and attacks below several folders.

A record that cannot be read is named and costs what it holds, not the model.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from brittle.bad_input import BadInput
from brittle.places import RECORD
from brittle.results import forms
from brittle.results.no_effect import effect
from brittle.results.outputs import gather
from brittle.results.ranking import Candidate, key_of
from brittle.results.ranking_metrics import (
    Known,
    distance,
    method_in,
    metrics_in,
    questions_asked,
    role_in,
    shortened,
    verdict,
)
from brittle.results.reader import Reader, below, number
from brittle.results.roles import Role
from brittle.results.unplanned import BETWEEN, EVALUATION, record_folders, recovery_tables
from brittle.tracking import MODEL, Finished, numbers

BENCHMARKS, WEIGHTS = "benchmarks", "weight_comparison"


class Models:
    """All models that were found, each once: unlearned ones by the fingerprint of their record, others by name.

    Args:
        digest_of: the content hash of a model's folder, or None where its weights are gone; names in outputs end in six
            digits of it.
    """

    def __init__(self, digest_of: Callable[[Path], str | None] = lambda _: None) -> None:
        self.reader = Reader(Path())
        self.unlearned: dict[str, Known] = {}
        """By the fingerprint of their record."""
        self.others: dict[str, Known] = {}
        """By name, as folders spell it."""
        self.inside: dict[Path, Known] = {}
        self.broken: set[Path] = set()
        self.described: dict[str, dict[str, Any]] = {}
        self.digest_of = digest_of

    def read(self, roots: Sequence[Path], outroots: Sequence[Path]) -> None:
        """Take in the records below all folders: unlearned models first, which the others are about."""
        folders = list(dict.fromkeys((*roots, *outroots)))
        found = {place.resolve(): place for folder in folders for place in record_folders(folder)}
        records = {place: record for place in found.values() if (record := self._record(place))}
        for place, record in records.items():
            if record["kind"] == MODEL:
                self._model(place, record)
        for folder in folders:
            for path in sorted(folder.rglob("comparison.json")):
                self.described |= self._named(path)
        for place, record in records.items():
            self._measured(place, record)
        for tree in dict.fromkeys(tree for folder in folders for tree in _attacked(folder)):
            self._attacks(tree)

    def _record(self, place: Path) -> dict[str, Any] | None:
        record = self.reader.object(place / RECORD)
        if record and record.get("status", "complete") != "complete":
            self.reader.leave_out(place / RECORD, "is not complete")
            record = {}
        if not record:
            self.broken.add(place.resolve())
            return None
        kind = record.get("kind") or place.resolve().name
        return record | {"kind": str(kind), "fingerprint": str(record.get("fingerprint") or "")}

    def _model(self, place: Path, record: Mapping[str, Any]) -> None:
        settings, notes, name = below(record, "settings"), below(record, "notes"), place.resolve().name
        made = Known(
            name, Role.UNLEARNED, str(settings.get("method") or method_in(name)), str(notes.get("base") or ""),
            record["fingerprint"], folder=place, settings=settings, digest=str(notes.get("digest") or ""),
        )  # fmt: skip
        model = self.unlearned.setdefault(made.fingerprint or str(place), made)
        self.inside[place.resolve()] = model
        model.fingerprints.add(record["fingerprint"])
        summary = self.reader.object(place / "summary.json")
        model.learn(metrics_in(dict(numbers(summary))))
        model.learn_training(summary)
        if not math.isnan(distance := number(notes.get("l2_distance"))):
            model.learn({"l2_distance": distance})
        model.questions = questions_asked(below(notes, "benchmarks").get("limit"))

    def _named(self, path: Path) -> dict[str, dict[str, Any]]:
        """The models that a comparison names, by name."""
        listed = self.reader.object(path).get("models", [])
        listed = listed if isinstance(listed, list) else []
        good = [each for each in listed if isinstance(each, dict) and isinstance(each.get("name"), str)]
        if len(good) < len(listed):
            self.reader.leave_out(path, f"{len(listed) - len(good)} of its models have no name")
        return {each["name"]: each for each in good}

    def _measured(self, place: Path, record: Mapping[str, Any]) -> None:
        """One record about a model that stands elsewhere, or in the folder above."""
        kind, about = record["kind"], place.resolve().parent.name
        if kind not in (EVALUATION, BENCHMARKS, WEIGHTS) or place.resolve().parent in self.broken:
            return
        summary = self.reader.object(place / "summary.json")
        if kind == WEIGHTS:
            base, between, about = about.partition(BETWEEN)
            role = self.described.get(base, {}).get("role") or role_in(base)
            model = self.owner(about) if between and role in (Role.BASE, Role.UNKNOWN) else None
            if model and not math.isnan(change := distance(summary)):
                model.learn({"l2_distance": change})
            return
        model = self.inside.get(place.resolve().parent) or self.owner(about)
        if model is None:
            return
        values = metrics_in({path: value for path, value in numbers(summary) if path.startswith("results/")})
        model.fingerprints.add(record["fingerprint"])
        if kind == BENCHMARKS:
            model.questions = questions_asked(below(record, "settings").get("limit"))
        else:
            model.evaluation = model.evaluation or summary
            table = self.reader.table(place / "benign_likelihood.csv", forms.BENIGN_LIKELIHOOD)
            model.benign = table if model.benign is None else model.benign
            model.values |= values  # step 0 asks more questions than a training does
        model.learn(values)

    def _attacks(self, tree: Path) -> None:
        """V in the worst case over the attacks of one outputs folder; of several folders the highest."""
        try:
            data = gather(tree)
        except BadInput as problem:
            self.reader.leave_out(tree / "recovery", str(problem))
            return
        self.reader.left_out += [
            line for each in data.left_out if (line := f"{tree}/{each}") not in self.reader.left_out
        ]
        for case in data.worst:
            if case.excess is not None and (model := self.owner(case.found.model)):
                known = model.values.get("excess_recovery", -math.inf)
                model.values["excess_recovery"] = max(known, case.excess)

    def owner(self, name: str, source: str = "local") -> Known | None:
        """The model that outputs call so; None where several unlearned models could be meant."""
        entry = self.described.get(name, {})
        fitting = [each for each in self.unlearned.values() if each.name == name] or self._shortened(name, entry)
        if len(fitting) > 1:
            self.reader.leave_out(
                Path(name), f"{len(fitting)} unlearned models are called so; which one cannot be told"
            )
            return None
        if fitting:
            return fitting[0]
        role = entry.get("role") if entry.get("role") in set(Role) else None
        method = entry.get("method") if isinstance(entry.get("method"), str) else method_in(name)
        reference = entry.get("reference") if isinstance(entry.get("reference"), str) else name
        part = Role(role) if role else role_in(str(reference))
        made = Known(name, part, str(method), source=source, settings=below(entry, "settings"))
        return self.others.setdefault(key_of(name), made)

    def _shortened(self, name: str, entry: Mapping[str, Any]) -> list[Known]:
        """Unlearned models whose folder's name, cut and with six digits of their content, is this one."""
        stem, _, digits = name.rpartition("-")
        if not re.fullmatch("[0-9a-f]{6}", digits):
            return []
        settings = below(entry, "settings")
        fitting = [each for each in self.unlearned.values() if shortened(each.name) == stem]
        fitting = [each for each in fitting if not settings or each.settings == settings]
        known = {id(each): each.digest or (each.folder and self.digest_of(each.folder)) or "" for each in fitting}
        same = [each for each in fitting if known[id(each)].startswith(digits)]
        return same or [each for each in fitting if not known[id(each)]]

    def join(self, runs: Iterable[Finished]) -> None:
        """Take in finished runs of W&B: what the local records lack of a model, and models that are not here."""
        for run in sorted(runs, key=lambda run: run.kind != MODEL):
            values = metrics_in(run.numbers)
            if not values or run.kind not in ("", MODEL, EVALUATION, BENCHMARKS):
                continue
            name = run.name.removesuffix(f"/{EVALUATION}").removesuffix(f"/{BENCHMARKS}")
            if (about := self._of_run(run, name)) is None:
                continue
            if about.source == "local":
                about.source = "local, W&B"
            about.learn(values)
            if run.kind in ("", MODEL):
                about.learn_training(run.numbers)

    def _of_run(self, run: Finished, name: str) -> Known | None:
        same = [each for each in self._all() if run.fingerprint and run.fingerprint in each.fingerprints]
        same = same or [each for each in self.unlearned.values() if not run.fingerprint and each.name == name]
        if same:
            return same[0]
        if run.kind in (EVALUATION, BENCHMARKS) or not (run.kind == MODEL or "__ep" in name):
            model = self.owner(name, "W&B")
            if model is not None and model.source == "W&B":
                model.questions = questions_asked(run.settings.get("limit"))
            return model
        method = run.settings.get("method")
        made = Known(
            name, Role.UNLEARNED, method if isinstance(method, str) else method_in(name), fingerprint=run.fingerprint,
            source="W&B", settings=run.settings, fingerprints={run.fingerprint},
        )  # fmt: skip
        return self.unlearned.setdefault(run.fingerprint or f"W&B {name}", made)

    def _all(self) -> list[Known]:
        return [*self.unlearned.values(), *self.others.values()]

    def judged(self) -> list[Candidate]:
        """All models, with what their bases' texts cost and whether they are damaged."""
        models = self._all()
        named = {key_of(each.name): each for each in self.others.values()}
        for model in self.unlearned.values():
            base = named.get(key_of(model.base)) if model.base else None
            if base is not None:
                base.role = Role.BASE
                base.learn(model.before)
        first = next((each for each in self.others.values() if each.role == Role.BASE), None)
        for model in models:
            base = named.get(key_of(model.base)) or first
            model.damage = verdict(model, base)
            model.nothing_unlearned = bool(effect(model.training).nothing_unlearned)
        return [each for each in models if each.is_unlearned or each.values]


def _attacked(folder: Path) -> list[Path]:
    """The outputs folders at or below a folder that have tables of attacks."""
    below_it = (path.parent for path in sorted(folder.rglob("recovery")) if path.is_dir())
    return [tree for tree in dict.fromkeys((folder, *below_it)) if recovery_tables(tree)]
