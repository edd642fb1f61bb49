"""The models that are loaded: few at once for all who use the app, and the one that was not used longest leaves."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import streamlit as st

from brittle.app import imports
from brittle.app.started import started
from brittle.bad_input import BadInput
from brittle.suites.laboratory import PREFIX


@dataclass
class Held:
    """A loaded model. Whoever computes with it holds the lock: hooks of a pass in one session would be felt in another."""

    reference: str
    model: Any
    """:class:`brittle.models.loading.LoadedModel`."""
    lock: threading.RLock = field(default_factory=threading.RLock)
    lenses: dict[str, Any] = field(default_factory=dict)
    """Tuned lenses by what they learned from."""


class ModelSet:
    """At most ``most`` models, by what they are (content, device, number type), the one used last at the end.

    Args:
        find: from a reference to a located model, with its content hash as ``digest``.
        load: from a located model to a loaded one.
    """

    def __init__(self, most: int, find: Callable[[str], Any], load: Callable[[Any], Any]) -> None:
        self.most, self.find, self.load = most, find, load
        self.models: OrderedDict[str, Held] = OrderedDict()
        self._looking, self._loading = threading.Lock(), threading.Lock()

    def get(self, reference: str) -> Held:
        """The model, loaded if it is not there; another leaves first where there is no place.

        Raises:
            BadInput: it cannot be found, does not fit into the memory, or cannot be loaded.
        """
        located = self.find(reference)
        if (held := self._used(located.digest)) is not None:
            return held
        with self._loading:  # one at a time, and never the same one twice
            if (held := self._used(located.digest)) is not None:
                return held
            with self._looking:
                while len(self.models) >= self.most:
                    self.models.popitem(last=False)
            held = Held(reference, self.load(located))
            with self._looking:
                self.models[located.digest] = held
            return held

    def _used(self, digest: str) -> Held | None:
        with self._looking:
            if digest in self.models:
                self.models.move_to_end(digest)
            return self.models.get(digest)

    def references(self) -> list[str]:
        """What is loaded, the model used last first."""
        with self._looking:
            return [held.reference for held in reversed(self.models.values())]


@st.cache_resource
def models() -> ModelSet:
    """The models of this process, shared by all sessions."""
    return ModelSet(started().most_models, find, _load)


def find(reference: str) -> Any:
    """Locate a model. One of a laboratory must be built already, since building takes minutes; a hub model must fit.

    Raises:
        BadInput: what is wrong and what to do.
    """
    imports.models()
    from brittle.models import references, room
    from brittle.runs import laboratory_models

    reference = reference.strip()
    if reference.startswith(PREFIX) and not laboratory_models.is_there(reference):
        _, _, size = reference.partition("@")
        size, _, world = size.partition("-")
        flags = (f" --size {size}" if size else "") + (f" --world {world}" if world else "")
        raise BadInput(
            f"{reference} is not built yet, which takes minutes; build it in a terminal with: uv run brittle laboratory{flags}"
        )
    if not laboratory_models.of_a_suite(reference) and not references.is_local(reference):
        room.check_download_fits(reference, started().device, started().dtype)
    return laboratory_models.find(reference)


def _load(located: Any) -> Any:
    from brittle.models import loading, room

    room.check_fits([located], started().device, started().dtype)
    return loading.load(located, started().device, started().dtype)
