"""OpenUnlearning's measures of models: a record per model, and a table of all beside a model that never saw the data.

A model's record depends on nothing but the model, what is measured and how; what is compared (forget quality, privacy
leakage, scores beside a reference) is taken from records. So a model is measured once, whatever it is set beside.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from brittle import source
from brittle.data.measuring_set import MeasuringSet
from brittle.evaluation import measures
from brittle.models.references import Located
from brittle.records import Draft, Identity, fingerprint, writing
from brittle.runs.executor import Tick

if TYPE_CHECKING:
    import pandas

    from brittle.models.loading import LoadedModel

CODE = ("brittle.evaluation.measures", "brittle.evaluation.question_measures", "brittle.evaluation.text_measures")
TABLES = ("questions", "memorisation", "verbatim", "membership")
FOLDER = "measures"


@dataclass(frozen=True)
class How:
    """How models are measured."""

    template: str
    answer_tokens: int
    stops: tuple[str, ...]
    """Where a free answer ends before that."""
    verbatim_tokens: int
    min_k_share: float
    gradients: bool
    batch_size: int
    max_length: int | None
    device: str
    dtype: str

    @property
    def deciding(self) -> dict[str, Any]:
        """What a number can depend on: rows that share a pass differ by rounding alone, and a device is named by what runs."""
        from brittle.models.devices import what_runs

        named = {key: value for key, value in asdict(self).items() if key not in ("batch_size", "device", "dtype")}
        return named | what_runs(self.device, self.dtype)


@dataclass(frozen=True)
class Measurement:
    """All measures of one model, as a :class:`brittle.runs.job.Job`."""

    suite: str
    shown: MeasuringSet
    located: Located
    how: How
    outputs: Path

    @property
    def identity(self) -> Identity:
        """The model, what is measured, the code, and how."""
        read = {
            "model": self.located.digest,
            "shown": fingerprint(asdict(self.shown)),
            "source": source.digest_of(*CODE),
        }
        return Identity(FOLDER, read, {"suite": self.suite, **self.how.deciding})

    @property
    def folder(self) -> Path:
        """``<model>/measures_<suite>``."""
        return self.outputs / self.located.name / f"{FOLDER}_{self.suite}"

    @property
    def size(self) -> int:
        """One record."""
        return 1

    def carry_out(self, tick: Tick) -> None:
        """Load the model, measure it, write the record."""
        from brittle.models.loading import load

        loaded = load(self.located, self.how.device, self.how.dtype)
        with writing(self.folder, self.identity) as draft:
            for name, rows in _rows(loaded, self.shown, self.how).items():
                draft.table(name, rows)
            found = measures.summary_of(tables_in(draft.folder))
            draft.summary({"model": self.located.text, "suite": self.suite, "results": found})
            draft.note(**self.how.deciding)
        tick(1)


def _rows(loaded: LoadedModel, shown: MeasuringSet, how: How) -> dict[str, list[Any]]:
    """The rows of every table for which there is something to measure."""
    from brittle.evaluation import question_measures, text_measures

    passes, shown = (how.batch_size, how.max_length), shown.worded(how.template)
    questions = [
        row
        for name, asked in {"forget": shown.forget, **shown.kept}.items()
        if asked
        for row in question_measures.question_rows(
            loaded, name, asked, how.template, how.answer_tokens, how.stops, shown.examples.get(name, ()), *passes
        )
    ]
    found: dict[str, list[Any]] = {"questions": questions}
    if shown.memorised:
        found["memorisation"] = text_measures.memorisation_rows(loaded, shown.memorised, *passes)
    if shown.verbatim:
        found["verbatim"] = text_measures.verbatim_rows(loaded, shown.verbatim, how.verbatim_tokens, how.batch_size)
    if shown.members and shown.held_out:
        found["membership"] = [
            row
            for member, texts in ((True, shown.members), (False, shown.held_out))
            for row in text_measures.membership_rows(loaded, texts, member, how.min_k_share, how.gradients, *passes)
        ]
    return {name: rows for name, rows in found.items() if rows}


def tables_in(folder: Path) -> dict[str, pandas.DataFrame]:
    """The tables of a model's record by name."""
    import pandas

    return {name: pandas.read_csv(path) for name in TABLES if (path := folder / f"{name}.csv").is_file()}


@dataclass(frozen=True)
class Comparison:
    """Measured models in one table, beside the retain model and perhaps a reference, as a job."""

    suite: str
    measured: Sequence[Measurement]
    retain: Measurement | None
    reference: Measurement | None
    outputs: Path

    @property
    def identity(self) -> Identity:
        """The records that it is made of."""
        roles = {"retain": self.retain, "reference": self.reference}
        read: dict[str, Any] = {role: each.identity.fingerprint for role, each in roles.items() if each}
        read["models"] = [each.identity.fingerprint for each in self.measured]
        return Identity("measures of models", read | {"source": source.digest_of(CODE[0])}, {"suite": self.suite})

    @property
    def folder(self) -> Path:
        """``measures_<suite>`` beside the models' own folders."""
        return self.outputs / f"{FOLDER}_{self.suite}"

    @property
    def size(self) -> int:
        """One record."""
        return 1

    def carry_out(self, tick: Tick) -> None:
        """Read the records, write the table: one row per model, its columns the measures."""
        read = {each.located.digest: tables_in(each.folder) for each in self._all}
        with writing(self.folder, self.identity) as draft:
            self._write(draft, read)
        tick(1)

    @property
    def _all(self) -> list[Measurement]:
        return [*self.measured, *(each for each in (self.retain, self.reference) if each)]

    def _write(self, draft: Draft, read: Mapping[str, Mapping[str, pandas.DataFrame]]) -> None:
        retain, reference = (read[each.located.digest] if each else None for each in (self.retain, self.reference))
        rows = []
        for each in self.measured:
            own = read[each.located.digest]
            numbers = flattened(measures.summary_of(own))
            if reference and "membership" in own:
                areas = measures.areas_of(own["membership"], reference["membership"])
                numbers |= {f"membership_areas_{name}": value for name, value in areas.items()}
            numbers |= measures.beside_the_retain_model(own, retain, reference) if retain else {}
            rows.append({"model": each.located.text, "name": each.located.name, **numbers})
        draft.table("measures", rows)
        named = {"retain_model": self.retain, "reference": self.reference}
        chosen = {role: each.located.text if each else None for role, each in named.items()}
        draft.summary({"suite": self.suite, **chosen, "models": rows})


def flattened(found: Mapping[str, Any], before: str = "") -> dict[str, float]:
    """Nested numbers under one name each, the parts joined by ``_``; ``questions`` and its sets lose that word."""
    flat: dict[str, float] = {}
    for name, value in found.items():
        word = before if name == "questions" else f"{before}{name}"
        flat |= flattened(value, f"{word}_" if word else "") if isinstance(value, Mapping) else {word: value}
    return flat
