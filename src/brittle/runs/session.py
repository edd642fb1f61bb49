"""What the diagnoses of one command share: settings, what models are shown, where results go, and the models, each loaded once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from brittle.models.references import Located
from brittle.records import digest_of_file
from brittle.runs.failures import Failure
from brittle.runs.material import Material

if TYPE_CHECKING:
    from brittle.models.loading import LoadedModel


@dataclass
class Session:
    """Settings, where results go, and the models that are loaded. It travels to other processes without the models."""

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
    filtered_again: Located | None = None
    """A second one, trained apart: what it shows beside the first is what two trainings differ by."""
    random: bool = True
    """Whether a random update with the same singular values is measured beside each comparison."""
    standing: Sequence[str] = ()
    """Of ``only``, what merely is read: a record of these models serves whatever its settings were, and is not rewritten."""
    failures: list[Failure] = field(default_factory=list)
    _loaded: dict[str, LoadedModel] = field(default_factory=dict)
    responses: dict[tuple[Any, ...], Any] = field(default_factory=dict)
    """Responses to noise of models that stand in several comparisons; their digest is the first part of the key."""
    patches: dict[tuple[Any, ...], Any] = field(default_factory=dict)
    """Answers after patches, likewise."""

    def __getstate__(self) -> dict[str, Any]:
        return vars(self) | {"failures": [], "_loaded": {}, "responses": {}, "patches": {}}

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
        self.responses = {key: found for key, found in self.responses.items() if key[0] in kept}
        self.patches = {key: found for key, found in self.patches.items() if key[0] in kept}

    @cached_property
    def ran(self) -> dict[str, str]:
        """On what kind of device and in which number type models are run, whatever words asked for it."""
        from brittle.models.devices import what_runs

        return what_runs(self.device, self.dtype)

    def is_named(self, name: str) -> bool:
        """Whether it is the diagnostic that ``outdir``, ``plot_outdir`` and ``title`` speak of."""
        return bool(self.only) and self.only[0] == name

    def place(self, folder: Path, name: str) -> Path:
        """Where a diagnostic's result goes: the folder of its name, unless the user chose another."""
        return self.outdir if self.outdir and self.is_named(name) else folder / name

    def plots(self, name: str) -> Path | None:
        """Where its figures go, if the user chose."""
        return self.plot_outdir if self.is_named(name) else None


@dataclass(frozen=True)
class Subject:
    """What a pass shows: one model, a pair of models (the second compared with the first), or a table of step 1."""

    session: Session
    models: tuple[Located, ...] = ()
    table: Path | None = None
    """A table that the user named, where there are no models."""

    @property
    def scope(self) -> str:
        """``model`` or ``pair``: which diagnostics look at it."""
        return "model" if len(self.models) == 1 else "pair"

    @property
    def folder(self) -> Path:
        """Where the results of its diagnostics lie."""
        if self.table is not None:
            return self.table.resolve().parent.parent
        return self.session.outputs / "__to__".join(model.name for model in self.models)

    @property
    def title(self) -> str:
        """In words."""
        names = [model.name for model in self.models] or self.folder.name.split("__to__")
        return " → ".join(names)

    @property
    def control(self) -> Located | None:
        """The retraining whose comparison stands beside this one: none beside itself, nor beside that of one model."""
        control = self.session.control if len(self.models) == 2 else None
        return control if control and control.digest not in [model.digest for model in self.models] else None

    @property
    def beside(self) -> Path | None:
        """The folder of that comparison."""
        control = self.control
        return self.session.outputs / f"{self.models[0].name}__to__{control.name}" if control else None

    @property
    def random(self) -> bool:
        """Whether a random update with the same singular values is shown too."""
        return len(self.models) == 2 and self.session.random

    @property
    def step_1(self) -> Path:
        """The table that step 1 wrote of it."""
        return self.table or self.folder / "weight_comparison" / "per_layer.csv"

    @property
    def inputs(self) -> dict[str, Any]:
        """What every diagnosis of it depends on, whatever else it reads."""
        if self.table is not None:
            return {"table": digest_of_file(self.table)}
        if self.scope == "model":
            return {"model": self.models[0].digest}
        a, b = self.models
        control = self.control.digest if self.control else None
        return {"a": a.digest, "b": b.digest, "control": control, "random": self.session.random}
