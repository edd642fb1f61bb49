"""Planted models on this disk: made when they are first asked for, then kept, each with the key to its inverse."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from brittle import leases
from brittle.models.references import Located, locate
from brittle.records import Identity, parents_of, writing
from brittle.runs.job import carry_out, missing
from brittle.suites import planted
from brittle.suites.planted import KINDS, PASSWORD, Planted

if TYPE_CHECKING:
    from brittle.models.loading import LoadedModel
    from brittle.suites.edits import Edit

KEY = "key.safetensors"
"""The file beside a planted model's folder that its inverse needs; the model itself does without."""


@dataclass(frozen=True)
class PlantedModel:
    """One planted model, as a :class:`brittle.runs.job.Job`."""

    planted: Planted
    host: Located

    @property
    def identity(self) -> Identity:
        """The edit, the host's content and the code."""
        return self.planted.identity(self.host.digest)

    @property
    def folder(self) -> Path:
        """In the cache folder of planted models."""
        return self.planted.folder(self.host.digest)

    @property
    def size(self) -> int:
        """One step: how long a fit takes is not told."""
        return 1

    def carry_out(self, tick: Callable[[int], None]) -> None:
        """Edit the host; write the model, and the key into a folder of its own."""
        from safetensors.torch import save_file

        from brittle.models.construction import save
        from brittle.models.loading import load

        loaded = load(self.host, "cpu", "fp32")
        kind = KINDS[self.planted.kind]
        key = edit_of(self.planted.kind).hide(loaded, self.planted.known, self.planted.seed, kind.strength)
        with writing(self.folder, self.identity) as draft:
            save(loaded.model, loaded.tokenizer, draft.folder, self.host.folder)
            (draft.folder / "key").mkdir()
            save_file({name: tensor.contiguous() for name, tensor in key.items()}, draft.folder / "key" / KEY)
            draft.note(base=self.planted.host_reference, hidden=self.planted.hidden)
        tick(1)


def edit_of(kind: str) -> Edit:
    """How a kind hides and reveals."""
    if kind in planted.FITTED:
        from brittle.runs.planted_fits import FITS

        return FITS[kind]
    from brittle.suites.edits import EDITS

    return EDITS[kind]


def build(chosen: Sequence[Planted], find: Callable[[str], Located]) -> list[Located]:
    """Make those that are not there yet, side by side; ``find`` locates the models that they are made from."""
    models = [PlantedModel(each, find(each.host_reference)) for each in chosen]
    if missing(models):
        place = models[0].folder.parent / "building"
        with parents_of(place), leases.held(place, wait=True):  # two commands may need the same
            carry_out(missing(models), f"{len(missing(models))} planted models")
    return [
        dataclasses.replace(locate(str(model.folder), name=model.planted.name), text=model.planted.reference)
        for model in models
    ]


def reveal(located: Located) -> tuple[LoadedModel, str]:
    """The model that the exact inverse gives, and the words to stand before every question (none but for a password)."""
    from safetensors.torch import load_file

    from brittle.models.loading import load

    loaded, kind = load(located, "cpu", "fp32"), planted.parse(located.text).kind
    edit_of(kind).reveal(loaded, load_file(located.folder / "key" / KEY))
    return loaded, PASSWORD if kind == "password" else ""
