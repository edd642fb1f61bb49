"""Diagnose models: what no complete record covers is measured, with controls, each model loaded once.

A diagnostic that fails is listed in :attr:`Comparison.failures` and stops no other.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from brittle import discovery
from brittle.evaluation import multiple_choice_accuracy as accuracy
from brittle.models.references import Located
from brittle.records import Identity, digest_of_source, fingerprint, is_complete, read_record, writing
from brittle.settings import BadInput, with_overrides
from brittle.workflows import controls, knowledge, passes
from brittle.workflows.material import Material, reads_texts

if TYPE_CHECKING:
    from brittle.models.loading import LoadedModel


@dataclass(frozen=True)
class Failure:
    """A diagnostic that gave no result, where, and why."""

    diagnostic: str
    where: str
    problem: Exception

    @property
    def reason(self) -> str:
        """What went wrong and, where it was not foreseen, in which line."""
        if isinstance(self.problem, BadInput):
            return str(self.problem)
        last = traceback.extract_tb(self.problem.__traceback__)[-1:]
        place = "".join(f" ({Path(frame.filename).name}:{frame.lineno})" for frame in last)
        return f"{type(self.problem).__name__}: {self.problem}{place}"


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
    control: Located | None = None
    """An independent retraining of the base, whose comparison with it stands beside every other's."""
    filtered: Located | None = None
    """The model that never saw the data: the yardstick of causal depth."""
    random: bool = True
    """Whether a random update of the same size is measured beside each comparison."""
    standing: Sequence[str] = ()
    """Of ``only``, what merely is read: a record of these models serves whatever its settings were, and is not rewritten."""
    failures: list[Failure] = field(default_factory=list)
    _loaded: dict[str, LoadedModel] = field(default_factory=dict)
    _responses: dict[tuple, Any] = field(default_factory=dict)
    _patches: dict[tuple, Any] = field(default_factory=dict)

    def loaded(self, located: Located) -> LoadedModel:
        """The model, loaded the first time it is asked for."""
        from brittle.models.loading import load

        if located.digest not in self._loaded:
            self._loaded[located.digest] = load(located, self.device, self.dtype)
        return replace(self._loaded[located.digest], name=located.name)

    def forget_loaded(self, keep: Iterable[Located] = ()) -> None:
        """Free every loaded model but those in ``keep``, and what is remembered of the others."""
        kept = {located.digest for located in keep}
        self._loaded = {digest: model for digest, model in self._loaded.items() if digest in kept}
        self._responses = {key: found for key, found in self._responses.items() if key[0] in kept}
        self._patches = {key: found for key, found in self._patches.items() if key[0] in kept}

    def pair(self, a: Located, b: Located) -> Path:
        """All diagnostics of scope ``pair`` for a → b, the control's first; returns the comparison's folder."""
        from brittle.models.loading import check_same_architecture, check_same_vocabulary

        check_same_architecture(a, b)
        check_same_vocabulary(a, b)
        control = self.control if self.control and self.control.digest not in (a.digest, b.digest) else None
        if control is not None and not self.outdir:
            self.pair(a, control)
        folder = self.outputs / f"{a.name}__to__{b.name}"
        beside = self.outputs / f"{a.name}__to__{control.name}" if control else None
        inputs = {"a": a.digest, "b": b.digest, "control": control.digest if control else None, "random": self.random}
        title = f"{a.name} → {b.name}"
        listeners = self._missing("pair", folder, inputs)
        for listener in listeners:
            listener.begin(self.random and listener.needs != ("tables",))
        self._observe(listeners, a, b)
        reading = [listener for listener in listeners if listener.needs == ("tables",)]
        self._finish([listener for listener in listeners if listener not in reading], folder, title, beside)
        for listener in reading:
            self._read_table(listener, folder / "weight_comparison")
        self._finish(reading, folder, title, beside)
        return folder

    def _observe(self, listeners: Sequence[passes.Listener], a: Located, b: Located) -> None:
        texts = dict(self.material.texts)

        def run(kind: str, work: Callable[[list[passes.Listener]], None]) -> None:
            if wanting := passes.wanting(listeners, kind):
                passes.all_fail_together(wanting, lambda: work(wanting))

        def weights(wanting: list[passes.Listener]) -> None:
            from brittle.models.devices import resolve_devices, resolve_dtype

            devices = resolve_devices(self.param_device)
            dtype = None if self.param_dtype == "auto" else resolve_dtype(self.param_dtype, devices[0])
            passes.weights(wanting, a.folder, b.folder, devices, dtype)

        def activations(wanting: list[passes.Listener]) -> None:
            passes.enough(texts)
            passes.activations(wanting, self.loaded(a), self.loaded(b), texts)

        def sensitivity(wanting: list[passes.Listener]) -> None:
            passes.enough(texts)
            passes.sensitivity(wanting, self.loaded(a), self.loaded(b), texts, self._responses)

        def patches(wanting: list[passes.Listener]) -> None:
            filtered = self.filtered if self.filtered and self.filtered.digest != a.digest else None
            models = self.loaded(a), self.loaded(b)
            passes.patches(wanting, *models, filtered, self.loaded, self.material.hazardous, self._patches)

        run("weights", weights)
        run("activations", activations)
        run("sensitivity", sensitivity)
        run("patches", patches)

    def tables(self, folder: Path, table: Path, inputs: Mapping[str, Any]) -> None:
        """The diagnostics that read what step 1 wrote, from any table of that form."""
        listeners = [each for each in self._missing("pair", folder, inputs) if each.needs == ("tables",)]
        for listener in listeners:
            listener.begin(False)
            self._read_table(listener, table.parent, table)
        self._finish(listeners, folder, folder.name.replace("__to__", " → "))

    def _read_table(self, listener: passes.Listener, step_1: Path, table: Path | None = None) -> None:
        random = step_1 / "controls" / "random" / "per_layer.csv"
        if random.is_file():
            listener.begin(True)
        sources = {"fitter": table or step_1 / "per_layer.csv", "control": random}
        for side, path in sources.items():
            fitter = getattr(listener, side)
            if fitter is not None:
                listener.guard(passes.read_table, fitter, path)

    def model(self, located: Located) -> Path:
        """Everything that is asked of one model: evaluation, lens, probes; returns the model's folder."""
        folder = self.outputs / located.name
        inputs = {"model": located.digest}
        try:
            self._evaluate(folder, located, inputs | {"questions": self.material.asked, "dtype": self.dtype})
        except Exception as problem:  # listed; the other diagnostics go on
            self.failures.append(Failure(accuracy.NAME, located.name, problem))
        listeners = self._missing("model", folder, inputs)
        for listener in listeners:
            listener.begin(False)
        wanting = passes.wanting(listeners, "activations")
        if wanting:
            passes.all_fail_together(
                wanting, lambda: passes.activations(wanting, self.loaded(located), None, dict(self.material.texts))
            )
        for listener in passes.wanting(listeners, "questions"):
            listener.guard(self._ask, located, listener)
        self._finish(listeners, folder, located.name)
        return folder

    def _ask(self, located: Located, listener: passes.Listener) -> None:
        from brittle.models import tuned_lens
        from brittle.models.likelihood import score

        settings, loaded = listener.settings, self.loaded(located)
        chosen = self.material.hazardous[: settings.max_samples]
        common = {"batch_size": settings.batch_size, "max_length": settings.max_length}
        if settings.lens == "logit":
            listener.fitter.update(score(loaded, chosen, "all", normalise=False, **common))
            return
        texts = [text for part in self.material.texts.values() for text in part]
        lens = tuned_lens.train(
            loaded,
            texts,
            settings.tuned_lr,
            settings.tuned_epochs,
            settings.tuned_train_frac,
            settings.seeds[0],
            **common,
        )
        scores = score(loaded, chosen, "all", normalise=False, **common, translate=lens.translate)
        listener.fitter.update(replace(scores, lens_divergences=(lens.divergence, lens.divergence_untuned)))

    def _missing(self, scope: str, folder: Path, inputs: Mapping[str, Any]) -> list[passes.Listener]:
        """The diagnostics of a scope that have no complete record."""
        missing = []
        for name, plugin in discovery.plugins("diagnostics").items():
            if plugin.constants["SCOPE"] != scope or (self.only and name not in self.only):
                continue
            module = plugin.load()
            settings = with_overrides(module.Settings, {**self.overrides, **plugin.variant})
            listener = passes.Listener(module, settings, Identity(name, {}, {}))
            read: dict[str, Any] = {"source": digest_of_source(module)}
            if reads_texts(plugin):
                read |= {"texts": self.material.shown, "dtype": self.dtype}
            if {"questions", "patches"} & set(listener.needs):
                read |= {"questions": self.material.asked, "dtype": self.dtype}
            if "patches" in listener.needs:
                read |= {"filtered": self.filtered.digest if self.filtered else None}
            if {"weights", "tables"} & set(listener.needs):
                read |= {"param_dtype": self.param_dtype}
            listener.identity = Identity(name, {**inputs, **read}, vars(settings))
            place = self.place(folder, name)
            if name in self.standing and _stands(place, listener.identity):
                continue
            if self.force or not is_complete(place, listener.identity):
                missing.append(listener)
        return missing

    def _finish(
        self, listeners: Sequence[passes.Listener], folder: Path, title: str, beside: Path | None = None
    ) -> None:
        for listener in listeners:
            listener.finish()
            listener.guard(self._write, listener, folder, title, beside)
            if listener.problem is not None:
                self.failures.append(Failure(listener.identity.kind, title, listener.problem))

    def _write(self, listener: passes.Listener, folder: Path, title: str, beside: Path | None) -> None:
        from brittle.reports.figures import write_declared

        module, own = listener.module, listener.results["own"]
        random = listener.results.get("random")
        name = listener.identity.kind
        retrained = controls.recorded(beside / name) if beside else None
        tables, summary = controls.joined(own, module.FIGURES, {"random": random, "retrained": retrained})
        chosen = bool(self.only) and self.only[0] == name
        with writing(self.place(folder, name), listener.identity) as draft:
            draft.note(**listener.notes)
            controls.write(draft, tables, module.FIGURES)
            if random is not None:
                (draft.folder / "controls" / "random").mkdir(parents=True)
                controls.write(draft, random.tables, module.FIGURES, "controls/random/")
            if summary:
                draft.summary(summary, own.summary_name)
            plots, place = self.plot_outdir if chosen else None, self.place(folder, name).absolute()
            if plots is not None and plots.absolute().is_relative_to(place):  # they are part of the result then
                plots = draft.folder / plots.absolute().relative_to(place)
            write_declared(module.FIGURES, draft.folder, (chosen and self.title) or title, plots)

    def place(self, folder: Path, name: str) -> Path:
        """Where a diagnostic's result goes: the folder of its name, unless the user chose another."""
        return self.outdir if self.outdir and self.only and name == self.only[0] else folder / name

    def raise_failures(self) -> None:
        """For a single diagnostic: what went wrong, as it was raised."""
        for failure in self.failures:
            raise failure.problem

    def _evaluate(self, folder: Path, located: Located, inputs: Mapping[str, Any]) -> None:
        identity = Identity(
            accuracy.NAME, {**inputs, "source": digest_of_source(accuracy)}, {"texts": fingerprint(self.material.texts)}
        )
        place = self.place(folder, accuracy.NAME)
        if (self.only and accuracy.NAME not in self.only) or (not self.force and is_complete(place, identity)):
            return
        with writing(place, identity) as draft:
            knowledge.write_evaluation(draft, self.loaded(located), self.material.questions, self.material.texts)


def _stands(place: Path, wanted: Identity) -> bool:
    """Whether a record of the same two models is there, with other settings or controls perhaps; BadInput if it was made
    from otherwise rounded weights or by other code, so that it neither serves nor may be lost."""
    record = read_record(place) or {}
    inputs = record.get("inputs", {})
    own = Identity(wanted.kind, inputs, record.get("settings", {}))
    if not is_complete(place, own) or any(inputs.get(side) != wanted.inputs[side] for side in ("a", "b")):
        return False
    if any(inputs.get(key) != wanted.inputs[key] for key in ("param_dtype", "source")):
        raise BadInput(
            f"{place} was made with another --dtype or by another version of Brittle; run {wanted.kind} again first"
        )
    return True
