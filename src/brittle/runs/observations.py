"""One pass, many listeners: weights, activations, responses to noise. A listener that fails does not stop the others."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, MutableMapping, Sequence
from dataclasses import dataclass, field
from types import ModuleType
from typing import TYPE_CHECKING, Any

from brittle import progress, source
from brittle.contracts import OBSERVATIONS, Findings
from brittle.mathematics.storage import Storage
from brittle.records import Identity
from brittle.runs import controls
from brittle.runs.work_time import WorkTime, working
from brittle.settings import BadInput

PASSES = {
    "weights": "brittle.models.checkpoints", "activations": "brittle.models.observation",
    "sensitivity": "brittle.models.sensitivity", "questions": "brittle.models.lenses", "patches": "brittle.models.patching",
}  # fmt: skip
"""The module behind each kind of observation; ``tables`` has none."""

if TYPE_CHECKING:
    from pathlib import Path

    import torch

    from brittle.models.loading import LoadedModel
    from brittle.models.prepared_questions import Asked
    from brittle.models.references import Located
    from brittle.runs.material import Material


@dataclass
class Listener:
    """A diagnostic at work: its fitter, the same fitter for the random control, and what went wrong."""

    module: ModuleType
    settings: Any
    identity: Identity
    fitter: Any = None
    control: Any = None
    problem: Exception | None = None
    results: dict[str, Findings] = field(default_factory=dict)
    notes: dict[str, Any] = field(default_factory=dict)
    """What its record says of what it was shown."""
    time: WorkTime = field(init=False)
    """What it took."""

    def __post_init__(self) -> None:
        self.time = WorkTime(self.identity.kind if self.identity else "")

    def begin(self, random: bool) -> None:
        """Make the fitters."""
        self.fitter = self.guard(lambda: self.module.Fitter(self.settings))
        self.control = self.guard(lambda: self.module.Fitter(self.settings)) if random else None

    def guard(self, work: Callable[..., Any], *arguments: Any) -> Any:
        """Do the work unless something went wrong before; keep what goes wrong."""
        if self.problem is None:
            try:
                with working(self.time):
                    return work(*arguments)
            except Exception as problem:  # one diagnostic's trouble; the session lists it and goes on
                self.problem = problem
        return None

    def finish(self) -> None:
        """Have the fitters say what they found."""
        for kind, fitter in (("own", self.fitter), ("random", self.control)):
            if fitter is not None and (found := self.guard(fitter.finish)):
                self.results[kind] = found

    @property
    def needs(self) -> tuple[str, ...]:
        """The kinds of observation it is shown, in order."""
        needs = self.module.NEEDS
        return (needs,) if isinstance(needs, str) else needs


class Feed:
    """What a pass calls: hands observations to one side's fitters of several listeners."""

    def __init__(self, listeners: Sequence[Listener], side: str = "fitter", texts: int | None = None) -> None:
        self.listeners, self.side, self.texts = listeners, side, texts

    def update(self, observation: Any) -> None:
        """Hand it on."""
        for listener in self.listeners:
            fitter = getattr(listener, self.side)
            if fitter is not None:
                listener.guard(fitter.update, observation)


def wanting(listeners: Iterable[Listener], kind: str) -> list[Listener]:
    """Those that want this kind of observation and are still well."""
    assert kind in OBSERVATIONS
    return [listener for listener in listeners if kind in listener.needs and listener.problem is None]


def all_fail_together(listeners: Sequence[Listener], work: Callable[[], Any]) -> None:
    """Run a pass; what breaks the pass itself is every listener's problem, and what it takes is every listener's time."""
    try:
        with working(*(listener.time for listener in listeners)):
            work()
    except Exception as problem:  # listed by the session, which goes on with the next pass
        for listener in listeners:
            listener.problem = listener.problem or problem


def weights(listeners: Sequence[Listener], a: Path, b: Path, devices: Sequence[str], dtype: torch.dtype | None) -> None:
    """Every pair of matrices to every listener, and the base with a random change of the same size to its control."""
    from brittle.models.checkpoints import matrix_names, matrix_pairs

    names = matrix_names(a)
    for listener in listeners:
        for fitter in (listener.fitter, listener.control):
            if hasattr(fitter, "expect"):
                listener.guard(fitter.expect, names)
    everything = [listener for listener in listeners if getattr(listener.module, "EVERY_PARAMETER", False)]
    storage = Storage()
    with progress.work(f"weights of {a.name} and {b.name}", len(names), "matrix") as bar:
        for pair in matrix_pairs(a, b, devices, dtype, everything=bool(everything)):
            storage.update(pair)
            shown = listeners if pair.layer >= 0 else everything
            Feed(shown).update(pair)
            if any(listener.control is not None for listener in shown):
                Feed(shown, "control").update(controls.random_pair(pair))
            bar.update(pair.layer >= 0)
    for listener in listeners:
        listener.notes |= storage.finish()


def activations(
    listeners: Sequence[Listener], a: LoadedModel, b: LoadedModel | None, texts: MutableMapping[str, Sequence[str]]
) -> None:
    """Hidden states to every listener. Those that read as many texts share one pass."""
    from brittle.models.observation import observe

    def amount(listener: Listener) -> tuple[int, int]:
        return listener.settings.max_samples, listener.settings.max_length

    moved = controls.random_model(a, b) if b and any(each.control is not None for each in listeners) else None
    for (most, length), group in itertools.groupby(sorted(listeners, key=amount), amount):
        members = list(group)
        sites = sorted({site for each in members for site in getattr(each.module, "SITES", ())})
        size = max(each.settings.batch_size for each in members)
        chosen = {split: list(part)[:most] for split, part in texts.items()}
        with working(*(each.time for each in members)):
            observe(a, b, chosen, [Feed(members)], size, length, sites=sites)
        controlled = [each for each in members if each.control is not None]
        if moved is not None and controlled:
            with working(*(each.time for each in controlled)):
                observe(a, moved, chosen, [Feed(controlled, "control")], size, length, sites=sites)


def sensitivity(
    listeners: Sequence[Listener], a: LoadedModel, b: LoadedModel, texts: MutableMapping[str, Sequence[str]],
    known: MutableMapping[tuple[Any, ...], Any],
) -> None:  # fmt: skip
    """Responses to noise, of each model once: ``known`` keeps those of a base that stands in several comparisons."""
    from brittle.models.sensitivity import observe_sensitivity

    chosen = {split: texts[split] for split in ("forget", "retain") if split in texts}
    for listener in listeners:
        with working(listener.time):
            observe_sensitivity(a, b, chosen, [Feed([listener])], listener.settings, known)
            if listener.control is not None:
                moved = controls.random_model(a, b)
                observe_sensitivity(a, moved, chosen, [Feed([listener], "control")], listener.settings, known)


def questions(listener: Listener, load: Callable[[Located], LoadedModel], located: Located, material: Material) -> None:
    """Answers to the hazardous questions at every depth; a lens that learns first reads the texts."""
    from brittle.models.lenses import score_through_lens

    chosen = material.hazardous[: listener.settings.max_samples]
    texts = [text for part in material.texts.values() for text in part]
    listener.fitter.update(score_through_lens(load(located), chosen, texts, listener.settings))


def patches(
    listeners: Sequence[Listener], a: LoadedModel, b: LoadedModel, filtered: Located | None,
    load: Callable[[Located], LoadedModel], asked: Sequence[Asked], known: MutableMapping[tuple[Any, ...], Any],
) -> None:  # fmt: skip
    """Answers of A with B's hidden states inside; A's own and the filtered model's part are computed once."""
    from brittle.models.patching import PatchObservation, answer_log_probabilities, answer_rows

    for listener in listeners:
        with working(listener.time):
            settings = listener.settings
            rows = answer_rows(a, asked[: settings.max_samples], settings.max_length)

            def found(digest: str | None, donor: Callable[[], LoadedModel | None]) -> Any:
                key = (a.digest, digest, settings.max_length, tuple(rows))  # noqa: B023 (called in this turn of the loop)
                if key not in known:
                    known[key] = answer_log_probabilities(a, donor(), rows, settings.batch_size)  # noqa: B023
                return known[key]

            clean = found(None, lambda: None)[0]
            yardstick = found(filtered.digest, lambda: load(filtered)) if filtered else None
            for side in ("fitter", "control"):
                if getattr(listener, side) is not None:
                    donor = b if side == "fitter" else controls.random_model(a, b)
                    patched = found(donor.digest, lambda donor=donor: donor)  # type: ignore[misc]
                    names = a.name, donor.name, filtered.name if filtered else ""
                    Feed([listener], side).update(PatchObservation(tuple(rows), clean, patched, yardstick, *names))


def enough(texts: MutableMapping[str, Sequence[str]]) -> None:
    """Refuse a split with fewer than two texts: no statistic has an interval there."""
    for split, part in texts.items():
        if len(part) < 2:
            raise BadInput(f"the {split} texts are {len(part)}; a comparison needs at least two, one a line")


def read_table(fitter: Any, table: Path) -> None:
    """Every row of a table of step 1 to one fitter."""
    import pandas

    for row in pandas.read_csv(table).to_dict("records"):
        fitter.update(row)


def code_of(diagnostic: str, needs: Iterable[str]) -> str:
    """The hash of the code behind a diagnostic: its own module and the passes that it listens to."""
    passes = [PASSES[need] for need in needs if need in PASSES]
    return source.digest_of(diagnostic, *passes, files=("brittle.runs.observations", "brittle.runs.controls"))
