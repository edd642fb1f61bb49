"""Diagnose models: what no complete record covers is measured, with controls, each model loaded once.

A diagnostic that fails is listed in :attr:`Comparison.failures` and stops no other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from brittle import progress, source
from brittle.evaluation import multiple_choice_accuracy as accuracy
from brittle.models.references import Located
from brittle.records import Identity, fingerprint, is_complete, writing
from brittle.runs import controls, evaluation, observations
from brittle.runs.chosen import chosen
from brittle.runs.failures import Failure, check_places, stands
from brittle.runs.material import Material, reads_texts
from brittle.suites import laboratory

if TYPE_CHECKING:
    from brittle.models.loading import LoadedModel


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
    _responses: dict[tuple[Any, ...], Any] = field(default_factory=dict)
    _patches: dict[tuple[Any, ...], Any] = field(default_factory=dict)

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
        control = self._control_of(a, b)
        if control is not None and not self.outdir:
            self.pair(a, control)
        folder, listeners = self._missing((a, b))
        beside = self.outputs / f"{a.name}__to__{control.name}" if control else None
        title = f"{a.name} → {b.name}"
        for listener in listeners:
            listener.begin(self.random and listener.needs != ("tables",))
        self._observe(listeners, a, b)
        reading = [listener for listener in listeners if listener.needs == ("tables",)]
        self._finish([listener for listener in listeners if listener not in reading], folder, title, beside)
        for listener in reading:
            self._read_table(listener, folder / "weight_comparison")
        self._finish(reading, folder, title, beside)
        return folder

    def _observe(self, listeners: Sequence[observations.Listener], a: Located, b: Located) -> None:
        texts = dict(self.material.texts)

        def run(kind: str, work: Callable[[list[observations.Listener]], None]) -> None:
            if wanting := observations.wanting(listeners, kind):
                observations.all_fail_together(wanting, lambda: work(wanting))

        def weights(wanting: list[observations.Listener]) -> None:
            from brittle.models.devices import resolve_devices, resolve_dtype

            devices = resolve_devices(self.param_device)
            dtype = None if self.param_dtype == "auto" else resolve_dtype(self.param_dtype, devices[0])
            observations.weights(wanting, a.folder, b.folder, devices, dtype)

        def activations(wanting: list[observations.Listener]) -> None:
            observations.enough(texts)
            observations.activations(wanting, self.loaded(a), self.loaded(b), texts)

        def sensitivity(wanting: list[observations.Listener]) -> None:
            observations.enough(texts)
            observations.sensitivity(wanting, self.loaded(a), self.loaded(b), texts, self._responses)

        def patches(wanting: list[observations.Listener]) -> None:
            filtered = self.filtered if self.filtered and self.filtered.digest != a.digest else None
            models = self.loaded(a), self.loaded(b)
            observations.patches(wanting, *models, filtered, self.loaded, self.material.hazardous, self._patches)

        run("weights", weights)
        run("activations", activations)
        run("sensitivity", sensitivity)
        run("patches", patches)

    def tables(self, folder: Path, table: Path, inputs: Mapping[str, Any]) -> None:
        """The diagnostics that read what step 1 wrote, from any table of that form."""
        listeners = [each for each in self._listeners("pair", folder, inputs) if each.needs == ("tables",)]
        check_places(self._places(folder, listeners))
        for listener in listeners:
            listener.begin(False)
            self._read_table(listener, table.parent, table)
        self._finish(listeners, folder, folder.name.replace("__to__", " → "))

    def _read_table(self, listener: observations.Listener, step_1: Path, table: Path | None = None) -> None:
        random = step_1 / "controls" / "random" / "per_layer.csv"
        if random.is_file():
            listener.begin(True)
        sources = {"fitter": table or step_1 / "per_layer.csv", "control": random}
        for side, path in sources.items():
            fitter = getattr(listener, side)
            if fitter is not None:
                listener.guard(observations.read_table, fitter, path)

    def model(self, located: Located) -> Path:
        """Everything that is asked of one model: evaluation, lens, probes; returns the model's folder."""
        try:
            self._evaluate(located)
        except Exception as problem:  # listed; the other diagnostics go on
            self.failures.append(Failure(accuracy.NAME, located.name, problem))
        folder, listeners = self._missing((located,))
        for listener in listeners:
            listener.begin(False)
        wanting = observations.wanting(listeners, "activations")
        if wanting:
            observations.all_fail_together(
                wanting,
                lambda: observations.activations(wanting, self.loaded(located), None, dict(self.material.texts)),
            )
        for listener in observations.wanting(listeners, "questions"):
            listener.guard(observations.questions, listener, self.loaded, located, self.material)
        self._finish(listeners, folder, located.name)
        return folder

    def check(self, parts: Iterable[tuple[Located, ...]]) -> None:
        """Refuse, before any work, models that cannot be compared and places that cannot be written to."""
        from brittle.models.loading import check_same_architecture, check_same_vocabulary

        for part in parts:
            if len(part) > 1:
                check_same_architecture(*part)
                check_same_vocabulary(*part)
                laboratory.check_same_world(*part)
            folder, listeners = self._missing(part)
            places = self._places(folder, listeners)
            if len(part) == 1 and self._evaluation_of(part[0]) is not None:
                places[self.place(folder, accuracy.NAME)] = []
            check_places(places)

    def _places(self, folder: Path, listeners: Iterable[observations.Listener]) -> dict[Path, list[Path]]:
        """The folders that records will be written to, each with the figures that will lie outside it."""
        from brittle.figures.declared import outside

        places: dict[Path, list[Path]] = {}
        for listener in listeners:
            place = self.place(folder, listener.identity.kind)
            places[place] = outside(listener.module.FIGURES, place, self._plots(listener.identity.kind))
        return places

    def _control_of(self, a: Located, b: Located) -> Located | None:
        return self.control if self.control and self.control.digest not in (a.digest, b.digest) else None

    def _missing(self, part: tuple[Located, ...]) -> tuple[Path, list[observations.Listener]]:
        """The folder of a model or a pair, and its diagnostics that have no complete record."""
        if len(part) == 1:
            folder, inputs = self.outputs / part[0].name, {"model": part[0].digest}
            return folder, self._listeners("model", folder, inputs)
        a, b = part
        control = self._control_of(a, b)
        of_pair = {"a": a.digest, "b": b.digest, "control": control.digest if control else None, "random": self.random}
        folder = self.outputs / f"{a.name}__to__{b.name}"
        return folder, self._listeners("pair", folder, of_pair)

    def _listeners(self, scope: str, folder: Path, inputs: Mapping[str, Any]) -> list[observations.Listener]:
        missing = []
        for plugin, settings in chosen(self.overrides, self.only, scope):
            module, name = plugin.load(), plugin.name
            listener = observations.Listener(module, settings, Identity(name, {}, {}))
            read: dict[str, Any] = {"source": observations.code_of(module.__name__, listener.needs)}
            if reads_texts(plugin):
                read |= {"texts": self.material.shown, **self.ran}
            if {"questions", "patches"} & set(listener.needs):
                read |= {"questions": self.material.asked, **self.ran}
            if "patches" in listener.needs:
                read |= {"filtered": self.filtered.digest if self.filtered else None}
            if {"weights", "tables"} & set(listener.needs):
                read |= {"param_dtype": self.param_dtype}
            listener.identity = Identity(name, {**inputs, **read}, vars(settings))
            place = self.place(folder, name)
            if name in self.standing and stands(place, listener.identity):
                continue
            if self.force or not is_complete(place, listener.identity):
                missing.append(listener)
        return missing

    @cached_property
    def ran(self) -> dict[str, str]:
        """On what kind of device and in which number type models are run, whatever words asked for it."""
        from brittle.models.devices import DTYPES, resolve_device, resolve_dtype

        device = resolve_device(self.device)
        words = {number_type: word for word, number_type in DTYPES.items()}
        return {"device": device.partition(":")[0], "dtype": words[resolve_dtype(self.dtype, device)]}

    def _finish(
        self, listeners: Sequence[observations.Listener], folder: Path, title: str, beside: Path | None = None
    ) -> None:
        for listener in listeners:
            listener.finish()
            listener.guard(self._write, listener, folder, title, beside)
            if listener.problem is not None:
                self.failures.append(Failure(listener.identity.kind, title, listener.problem))
        if done := [listener.identity.kind for listener in listeners if listener.problem is None]:
            progress.step(f"{title}: measured {', '.join(done)}")

    def _write(self, listener: observations.Listener, folder: Path, title: str, beside: Path | None) -> None:
        from brittle.figures.declared import write_declared

        module, own = listener.module, listener.results["own"]
        random = listener.results.get("random")
        name = listener.identity.kind
        retrained = controls.recorded(beside / name) if beside else None
        tables, summary = controls.joined(own, module.FIGURES, {"random": random, "retrained": retrained})
        with writing(self.place(folder, name), listener.identity) as draft:
            draft.note(**listener.notes)
            draft.took(listener.time.seconds, listener.time.shared, listener.time.shared_with)
            controls.write(draft, tables, module.FIGURES)
            if random is not None:
                (draft.folder / "controls" / "random").mkdir(parents=True)
                controls.write(draft, random.tables, module.FIGURES, "controls/random/")
            if summary:
                draft.summary(summary, own.summary_name)
            if set(listener.needs) - {"weights", "tables"}:
                draft.note(**self.ran)
            subtitle = self.title if self.title and self._named(name) else title
            write_declared(module.FIGURES, draft.folder, self.place(folder, name), subtitle, self._plots(name))

    def _named(self, name: str) -> bool:
        """Whether it is the diagnostic that ``outdir``, ``plot_outdir`` and ``title`` speak of."""
        return bool(self.only) and self.only[0] == name

    def _plots(self, name: str) -> Path | None:
        return self.plot_outdir if self._named(name) else None

    def place(self, folder: Path, name: str) -> Path:
        """Where a diagnostic's result goes: the folder of its name, unless the user chose another."""
        return self.outdir if self.outdir and self._named(name) else folder / name

    def raise_failures(self) -> None:
        """For a single diagnostic: what went wrong, as it was raised."""
        for failure in self.failures:
            raise failure.problem

    def _evaluation_of(self, located: Located) -> Identity | None:
        """The identity of the model's evaluation; None where it is not asked for or has a complete record."""
        if self.only and accuracy.NAME not in self.only:
            return None
        code = source.digest_of(accuracy.__name__, files=("brittle.runs.evaluation",))
        read: dict[str, Any] = {"model": located.digest, "questions": self.material.asked, **self.ran}
        read |= {"forms": dict(self.material.forms), "source": code}
        identity = Identity(accuracy.NAME, read, {"texts": fingerprint(self.material.texts)})
        place = self.place(self.outputs / located.name, accuracy.NAME)
        return identity if self.force or not is_complete(place, identity) else None

    def _evaluate(self, located: Located) -> None:
        if identity := self._evaluation_of(located):
            with writing(self.place(self.outputs / located.name, accuracy.NAME), identity) as draft:
                evaluation.write_evaluation(draft, self.loaded(located), self.material)
                draft.note(**self.ran)
