"""The passes: what diagnostics can be shown, each a function of all that listen and of what is looked at.

:data:`PASSES` is the one list of them. A new kind is a function here and its entry there; diagnostics ask for it by name in
``NEEDS``, and what enters their fingerprints, which flags they read and when they run follows from the entry.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from brittle import progress
from brittle.mathematics.storage import Storage
from brittle.runs import controls
from brittle.runs.listeners import Feed, Listener
from brittle.runs.session import Session, Subject
from brittle.runs.work_time import working
from brittle.settings import BadInput


def weights(listeners: Sequence[Listener], subject: Subject) -> None:
    """Every pair of matrices to every listener, and the base with a random change of the same singular values to its control."""
    from brittle.models.checkpoints import matrix_names, matrix_pairs
    from brittle.models.devices import resolve_devices, resolve_dtype

    a, b = (model.folder for model in subject.models)
    word = subject.session.param_dtype
    devices = resolve_devices(subject.session.param_device)
    dtype = None if word == "auto" else resolve_dtype(word, devices[0])
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


def activations(listeners: Sequence[Listener], subject: Subject) -> None:
    """Hidden states to every listener. Those that read as many texts share one pass."""
    from brittle.models.observation import observe

    texts = _texts(subject)
    a, *others = map(subject.session.loaded, subject.models)
    b = others[0] if others else None

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


def sensitivity(listeners: Sequence[Listener], subject: Subject) -> None:
    """Responses to noise, of each model once: the session keeps those of a base that stands in several comparisons."""
    from brittle.models.sensitivity import observe_sensitivity

    texts, known = _texts(subject), subject.session.responses
    a, b = map(subject.session.loaded, subject.models)
    chosen: dict[str, Sequence[str]] = {split: texts[split] for split in ("forget", "retain") if split in texts}
    for listener in listeners:
        with working(listener.time):
            observe_sensitivity(a, b, chosen, [Feed([listener])], listener.settings, known)
            if listener.control is not None:
                moved = controls.random_model(a, b)
                observe_sensitivity(a, moved, chosen, [Feed([listener], "control")], listener.settings, known)


def questions(listeners: Sequence[Listener], subject: Subject) -> None:
    """Answers to the hazardous questions at every depth; a lens that learns first reads the texts."""
    from brittle.models.lenses import score_through_lens

    material, (located,) = subject.session.material, subject.models
    texts = [text for part in material.texts.values() for text in part]
    for listener in listeners:
        chosen, loaded = material.hazardous[: listener.settings.max_samples], subject.session.loaded(located)
        listener.fitter.update(score_through_lens(loaded, chosen, texts, listener.settings))


def patches(listeners: Sequence[Listener], subject: Subject) -> None:
    """Answers of A with B's hidden states inside; A's own and the filtered model's part are computed once."""
    from brittle.models.patching import PatchObservation, answer_log_probabilities, answer_rows

    session, known = subject.session, subject.session.patches
    a, b = map(session.loaded, subject.models)
    filtered, again = (
        model if model and model.digest != a.digest else None for model in (session.filtered, session.filtered_again)
    )

    def found(settings: Any, rows: Mapping[str, Any], digest: str | None, donor: Callable[[], Any]) -> Any:
        key = (a.digest, digest, settings.max_length, tuple(rows))
        if key not in known:
            known[key] = answer_log_probabilities(a, donor(), rows, settings.batch_size)
        return known[key]

    for listener in listeners:
        with working(listener.time):
            settings = listener.settings
            rows = answer_rows(a, session.material.hazardous[: settings.max_samples], settings.max_length)
            answers = partial(found, settings, rows)
            clean = answers(None, lambda: None)[0]
            yardstick, second = (
                answers(model.digest, partial(session.loaded, model)) if model else None for model in (filtered, again)
            )
            for side in ("fitter", "control"):
                if getattr(listener, side) is not None:
                    donor = b if side == "fitter" else controls.random_model(a, b)
                    patched = answers(donor.digest, lambda donor=donor: donor)  # type: ignore[misc]
                    names = a.name, donor.name, filtered.name if filtered else ""
                    more = second, again.name if again else ""
                    Feed([listener], side).update(
                        PatchObservation(tuple(rows), clean, patched, yardstick, *names, *more)
                    )


def tables(listeners: Sequence[Listener], subject: Subject) -> None:
    """Every row of a table of step 1, and of the random update's beside it where there is one."""
    import pandas

    random = subject.step_1.parent / "controls" / "random" / "per_layer.csv"
    for listener in listeners:
        listener.begin(random.is_file())
        for fitter, path in ((listener.fitter, subject.step_1), (listener.control, random)):
            if fitter is not None:
                for row in pandas.read_csv(path).to_dict("records"):
                    fitter.update(row)


def _texts(subject: Subject) -> dict[str, Sequence[str]]:
    """The session's texts. BadInput for a comparison on a split with fewer than two: no statistic has an interval there."""
    texts = dict(subject.session.material.texts)
    for split, part in texts.items():
        if subject.scope == "pair" and len(part) < 2:
            raise BadInput(f"the {split} texts are {len(part)}; a comparison needs at least two, one a line")
    return texts


@dataclass(frozen=True)
class Pass:
    """One kind of observation."""

    show: Callable[[Sequence[Listener], Subject], None]
    """Hands what the subject gives to all that listen."""
    code: str | None
    """The module whose code decides what is shown; none where it was written before."""
    reads: tuple[str, ...]
    """Which of :data:`READ` it depends on besides the models."""
    scopes: tuple[str, ...] = ("pair",)
    """Whether it can be shown of a ``pair``, of one ``model`` or of both."""
    alone: bool = False
    """Whether each listener has a pass of its own, so that what breaks it or takes time is nobody else's."""
    recorded: bool = False
    """Whether it shows what other diagnostics of the same models wrote, so that they go first."""


READ: dict[str, Callable[[Session], dict[str, Any]]] = {
    "texts": lambda session: {"texts": session.material.shown, **session.ran},
    "questions": lambda session: {"questions": session.material.asked, **session.ran},
    "filtered": lambda session: {
        "filtered": [model.digest for model in (session.filtered, session.filtered_again) if model]
    },
    "param_dtype": lambda session: {"param_dtype": session.param_dtype},
}
"""What passes read besides the models, as it enters a fingerprint."""
PASSES: Mapping[str, Pass] = {
    "weights": Pass(weights, "brittle.models.checkpoints", ("param_dtype",)),
    "activations": Pass(activations, "brittle.models.observation", ("texts",), ("pair", "model")),
    "sensitivity": Pass(sensitivity, "brittle.models.sensitivity", ("texts",)),
    "questions": Pass(questions, "brittle.models.lenses", ("questions",), ("model",), alone=True),
    "patches": Pass(patches, "brittle.models.patching", ("questions", "filtered")),
    "tables": Pass(tables, None, ("param_dtype",), alone=True, recorded=True),
}
"""What a diagnostic can be shown, in the order in which it is shown: pairs of weight matrices; hidden states; responses to
perturbed inputs; answers at every depth; answers after hidden states of another model were put in; rows of step 1."""
