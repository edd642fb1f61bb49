"""``brittle laboratory``: build a laboratory's models, or define a laboratory of another size."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from brittle.commands.options import Environment, Given, SettingsTypes, shared
from brittle.settings import BadInput, names_in, resolve, setting


@dataclass(frozen=True)
class LaboratorySettings:
    """Build a laboratory, or define a larger one for a GPU."""

    size: str = shared("size", help="embedded size or one defined with --name", environment=None)
    world: int = shared("world", help="seed of the world", environment=None)
    models: str = setting("base,filtered,retrained", "models to build (also: reinitialised, filtered-reinitialised)")
    name: str | None = setting(
        None, "define a size of this name from the flags below, starting from --size, and build it"
    )
    width: int | None = setting(None, "width of the residual stream", minimum=8, maximum=32_768)
    layers: int | None = setting(None, "transformer blocks", minimum=1, maximum=1_000)
    heads: int | None = setting(None, "attention heads", minimum=1, maximum=1_000)
    steps: int | None = setting(None, "training steps", minimum=1, maximum=10_000_000)
    rows: int | None = setting(None, "rows of 128 tokens per step", minimum=1, maximum=10_000)
    lr: float | None = setting(None, "peak learning rate", above=0)
    vocabulary: int | None = setting(None, "largest number of tokens", minimum=300, maximum=1_000_000)
    hazardous_entities: int | None = setting(
        None, "hazardous entities, six facts each; a multiple of 8", minimum=8, maximum=10_000
    )
    benign_entities: int | None = setting(
        None, "entities per benign subject, four facts each; a multiple of 6", minimum=6, maximum=10_000
    )


def laboratory(given: Given, _environment: Environment) -> int:
    """Build the models that are not there yet and say where they lie."""
    from brittle.runs import laboratory_models
    from brittle.suites import laboratory

    settings = resolve(LaboratorySettings, given)
    size = settings.size
    changes = {f.name: given[f.name] for f in dataclasses.fields(laboratory.Recipe) if f.name in given}
    if settings.name:
        start = laboratory.Laboratory(size).recipe
        values = {name: getattr(settings, name) for name in changes}
        laboratory.define(settings.name, dataclasses.replace(start, **values))
        size = settings.name
    elif changes:
        raise BadInput(
            f"--{next(iter(changes)).replace('_', '-')} changes the recipe; give the new laboratory a --name"
        )
    built = laboratory_models.build(laboratory.Laboratory(size, settings.world), names_in(settings.models, "--models"))
    for name, folder in built.items():
        print(f"laboratory:{name}@{size}-{settings.world}  {folder}")
    return 0


def laboratory_settings(_only: str | None = None) -> SettingsTypes:
    """Which laboratory."""
    return [(LaboratorySettings, {})]
