"""Diagnose models: the weight pass, the activation pass and the questions, each model loaded once.

What a complete record of the same fingerprint covers is skipped, and a model is loaded only when a diagnostic that
needs it is missing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from brittle import discovery
from brittle.contracts import Findings
from brittle.data.multiple_choice import Question
from brittle.evaluation import multiple_choice_accuracy as accuracy
from brittle.models.references import Located
from brittle.records import Draft, Identity, digest_of_source, fingerprint, is_complete, writing
from brittle.settings import with_overrides

if TYPE_CHECKING:
    from brittle.models.loading import LoadedModel


@dataclass(frozen=True)
class Material:
    """What models are shown: texts by split (``forget``, ``retain``) and questions by side."""

    texts: Mapping[str, Sequence[str]]
    questions: Mapping[str, Sequence[Question]]


@dataclass
class Comparison:
    """One session over a set of models: settings, where results go, and the models that are loaded."""

    outputs: Path
    material: Material
    param_device: str = "auto"
    param_dtype: str = "auto"
    device: str = "auto"
    dtype: str = "auto"
    force: bool = False
    overrides: Mapping[str, Any] = field(default_factory=dict)
    """Settings by name, for every diagnostic that has a setting of that name."""
    only: Sequence[str] = ()
    """Names of the diagnostics to run; all if empty."""
    outdir: Path | None = None
    """Where the first of ``only`` goes instead of its documented place; likewise its figures and their subtitle:"""
    plot_outdir: Path | None = None
    title: str | None = None
    _loaded: dict[str, LoadedModel] = field(default_factory=dict)

    def loaded(self, located: Located) -> LoadedModel:
        """The model, loaded the first time it is asked for."""
        from brittle.models.loading import load

        if located.digest not in self._loaded:
            self._loaded[located.digest] = load(located, self.device, self.dtype)
        return replace(self._loaded[located.digest], name=located.name)

    def forget_loaded(self, keep: Iterable[Located] = ()) -> None:
        """Free every loaded model but those in ``keep``."""
        kept = {located.digest for located in keep}
        self._loaded = {digest: model for digest, model in self._loaded.items() if digest in kept}

    def pair(self, a: Located, b: Located) -> Path:
        """All diagnostics of scope ``pair`` for a → b; returns the comparison's folder."""
        from brittle.models.loading import check_same_architecture, check_same_vocabulary

        check_same_architecture(a, b)
        check_same_vocabulary(a, b)
        folder = self.outputs / f"{a.name}__to__{b.name}"
        inputs = {"a": a.digest, "b": b.digest}
        self._weights(folder, a, b, self._missing("weights", "pair", folder, inputs | {"dtype": self.param_dtype}))
        texts = fingerprint({split: list(part) for split, part in self.material.texts.items()})
        self._activations(
            folder, a, b, self._missing("activations", "pair", folder, inputs | {"texts": texts, "dtype": self.dtype})
        )
        self.tables(folder, folder / "weight_comparison" / "per_layer.csv", inputs | {"dtype": self.param_dtype})
        return folder

    def tables(self, folder: Path, table: Path, inputs: Mapping[str, Any]) -> None:
        """The diagnostics that read what step 1 wrote."""
        for module, settings, identity in self._missing("tables", "pair", folder, inputs):
            import pandas

            fitter = module.Fitter(settings)
            for row in pandas.read_csv(table).to_dict("records"):
                fitter.update(row)
            self._write(folder, module, identity, fitter.finish(), folder.name.replace("__to__", " → "))

    def model(self, located: Located) -> Path:
        """Steps 0 and 6 for one model; returns the model's folder."""
        folder = self.outputs / located.name
        asked = fingerprint({side: list(questions) for side, questions in self.material.questions.items()})
        inputs = {"model": located.digest, "questions": asked, "dtype": self.dtype}
        self._evaluate(folder, located, inputs)
        from brittle.models.likelihood import score

        for module, settings, identity in self._missing("questions", "model", folder, inputs):
            questions = _forget_questions(self.material)[: settings.max_samples]
            fitter = module.Fitter(settings)
            fitter.update(
                score(self.loaded(located), questions, "all", settings.batch_size, max_length=settings.max_length)
            )
            self._write(folder, module, identity, fitter.finish(), located.name)
        return folder

    def _missing(
        self, needs: str, scope: str, folder: Path, inputs: Mapping[str, Any]
    ) -> list[tuple[ModuleType, Any, Identity]]:
        """The diagnostics of a kind that have no complete record, with their settings and identity."""
        missing = []
        for name, plugin in discovery.plugins("diagnostics").items():
            if (
                plugin.constants["NEEDS"] != needs
                or plugin.constants["SCOPE"] != scope
                or (self.only and name not in self.only)
            ):
                continue
            module = plugin.load()
            settings = with_overrides(module.Settings, self.overrides)
            identity = Identity(name, {**inputs, "source": digest_of_source(module)}, vars(settings))
            if self.force or not is_complete(self.place(folder, name), identity):
                missing.append((module, settings, identity))
        return missing

    def _weights(
        self, folder: Path, a: Located, b: Located, missing: Sequence[tuple[ModuleType, Any, Identity]]
    ) -> None:
        if not missing:
            return
        from brittle.models.checkpoints import matrix_pairs
        from brittle.models.devices import resolve_device, resolve_dtype

        device = resolve_device(self.param_device)
        dtype = None if self.param_dtype == "auto" else resolve_dtype(self.param_dtype, device)
        fitters = [module.Fitter(settings) for module, settings, _ in missing]
        for matrix_pair in matrix_pairs(a.folder, b.folder, device, dtype):
            for fitter in fitters:
                fitter.update(matrix_pair)
        self._write_all(folder, missing, fitters, f"{a.name} → {b.name}")

    def _activations(
        self, folder: Path, a: Located, b: Located, missing: Sequence[tuple[ModuleType, Any, Identity]]
    ) -> None:
        if not missing:
            return
        from brittle.models.observation import observe

        fitters = [module.Fitter(settings) for module, settings, _ in missing]
        settings = missing[0][1]
        texts = {split: list(part)[: settings.max_samples] for split, part in self.material.texts.items()}
        observe(self.loaded(a), self.loaded(b), texts, fitters, settings.batch_size, settings.max_length)
        self._write_all(folder, missing, fitters, f"{a.name} → {b.name}")

    def _write_all(
        self, folder: Path, missing: Sequence[tuple[ModuleType, Any, Identity]], fitters: Sequence[Any], subtitle: str
    ) -> None:
        for (module, _, identity), fitter in zip(missing, fitters):
            self._write(folder, module, identity, fitter.finish(), subtitle)

    def _write(self, folder: Path, module: ModuleType, identity: Identity, findings: Findings, subtitle: str) -> None:
        from brittle.reports.figures import write_declared

        own = bool(self.only) and self.only[0] == module.NAME
        place = self.place(folder, module.NAME)
        with writing(place, identity) as draft:
            for table, rows in findings.tables.items():
                draft.table(table, rows)
            if findings.summary:
                draft.summary(findings.summary, findings.summary_name)
            plots = self.plot_outdir if own else None
            write_declared(module.FIGURES, draft.folder, (own and self.title) or subtitle, plots)

    def place(self, folder: Path, name: str) -> Path:
        """Where a diagnostic's result goes: the folder of its name, unless the user chose another."""
        return self.outdir if self.outdir and self.only and name == self.only[0] else folder / name

    def _evaluate(self, folder: Path, located: Located, inputs: Mapping[str, Any]) -> None:
        identity = Identity(
            accuracy.NAME, {**inputs, "source": digest_of_source(accuracy)}, {"texts": fingerprint(self.material.texts)}
        )
        if (self.only and accuracy.NAME not in self.only) or (
            not self.force and is_complete(self.place(folder, accuracy.NAME), identity)
        ):
            return
        with writing(self.place(folder, accuracy.NAME), identity) as draft:
            self._write_evaluation(draft, self.loaded(located))

    def _write_evaluation(self, draft: Draft, loaded: LoadedModel) -> None:
        """General capability (benign questions) overall and by subject, then each side's accuracy and likelihood."""
        import numpy

        from brittle.models.likelihood import negative_log_likelihood

        material = self.material
        names = {"t": "forget_t", "v": "forget_v", "retain": "retain"}
        asked = {names[side]: accuracy.evaluate(loaded, questions) for side, questions in material.questions.items()}
        summary = asked["retain"]
        correct, number = (
            sum(asked[half][key] for half in ("forget_t", "forget_v")) for key in ("correct", "questions")
        )
        asked["forget"] = accuracy.accuracy_with_interval(correct, number)
        kept = ("accuracy", "interval_low", "interval_high", "questions")
        results: dict[str, dict[str, float]] = {
            name: {key: found[key] for key in kept} for name, found in asked.items()
        }
        for split, texts in material.texts.items():
            values = negative_log_likelihood(loaded, list(texts)[:200], 16)
            results[split]["negative_log_likelihood"] = float(numpy.nanmean(values))
        draft.summary(summary | {"results": results})
        text = accuracy.summary_markdown(summary, title="General capability")
        (draft.folder / "high_level_summary.md").write_text(text)


def _forget_questions(material: Material) -> list[Question]:
    return [question for side in ("t", "v") for question in material.questions[side]]
