"""``brittle laboratory``: build a laboratory's models, several trainings of each, or define a laboratory of another size."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from brittle import progress
from brittle.commands.options import Environment, Given, SettingsTypes, shared
from brittle.settings import BadInput, names_in, resolve, setting


@dataclass(frozen=True)
class LaboratorySettings:
    """Build a laboratory, or define a larger one for a GPU."""

    size: str = shared("size", help="embedded size or one defined with --name", environment=None)
    world: int = shared("world", help="seed of the world", environment=None)
    models: str = setting("base,filtered,retrained", "models to build (also: reinitialised, filtered-reinitialised)")
    references: int | None = setting(
        None, "build as many trainings each of base, filtered, retrained and reinitialised, over three worlds",
        minimum=1, maximum=1_000,
    )  # fmt: skip
    diagnose: str | None = setting(
        None, "with --references: compare them and write references.csv to this outputs folder, for its marks"
    )
    page: str | None = shared("page", help="with --diagnose: also write what the trainings say to this Markdown file")
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
    own_words: bool = setting(
        False, "give the names of every block of entities words of their own, so that none of V shares one with T"
    )


def laboratory(given: Given, _environment: Environment) -> int:
    """Build the models that are not there yet and say where they lie."""
    from brittle.runs import laboratory_models
    from brittle.suites import laboratory

    settings = resolve(LaboratorySettings, given)
    for flag, other in (("models", "references"), ("references", "diagnose"), ("diagnose", "page")):
        if flag == "models" and flag in given and settings.references is not None:
            raise BadInput("--references builds base, filtered, retrained and reinitialised; leave --models out")
        if flag != "models" and other in given and getattr(settings, flag) is None:
            raise BadInput(f"--{other} is read with --{flag} only; add it or leave --{other} out")
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
    if settings.references is not None:
        return references(settings, size)
    built = laboratory_models.build(laboratory.Laboratory(size, settings.world), names_in(settings.models, "--models"))
    for name, folder in built.items():
        print(f"laboratory:{name}@{size}-{settings.world}  {folder}")
    return 0


def references(settings: LaboratorySettings, size: str) -> int:
    """Build several trainings of each reference; compare them and write the page where that is asked for."""
    from brittle.commands.pages import check_pages
    from brittle.records import write_text
    from brittle.runs import trainings
    from brittle.views import references_page

    check_pages(settings.page)
    chosen = trainings.spread(size, settings.references or 1, settings.world)
    for reference, folder in trainings.build(chosen).items():
        print(f"{reference}  {folder}")
    if settings.diagnose is None:
        return 0
    path, failures = trainings.diagnose(chosen, Path(settings.diagnose))
    print(f"-> {path}")
    if settings.page:
        write_text(Path(settings.page), references_page.page(path))
        print(f"-> {settings.page}")
    for failure in failures:
        progress.error(f"no result: {failure.diagnostic} of {failure.where}: {failure.reason}")
    return 1 if failures else 0


def laboratory_settings(_only: str | None = None) -> SettingsTypes:
    """Which laboratory."""
    return [(LaboratorySettings, {})]
