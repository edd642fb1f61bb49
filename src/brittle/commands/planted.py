"""``brittle planted``: build planted models, measure and attack them as any others, and score every measure against the truth."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from brittle.commands import pipeline
from brittle.commands.options import Environment, Given, SettingsTypes, shared
from brittle.commands.pages import check_pages
from brittle.commands.pipeline_settings import PipelineSettings
from brittle.records import check_file, write_text
from brittle.settings import BadInput, names_in, nearest, resolve, seeds_in, setting


@dataclass(frozen=True)
class PlantedSettings:
    """Which planted models, and how they are examined."""

    size: str = shared("size", help="size of the laboratory that they are planted in")
    worlds: str = setting("0", "seeds of the worlds, with commas between them")
    kinds: str = setting("all", "kinds of hiding, with commas between them (all: every one)")
    hosts: str = setting("base,retrained,filtered", "laboratory models that are edited")
    draws: str = setting("0", "seeds of the edits, with commas between them")
    attacks: str = setting(
        "relearning,benign_relearning,quantization,weight_noise,few_shot",
        "the attacks that are scored (see: brittle attacks)",
    )
    max_samples: int = setting(500, "texts per split that diagnostics read", minimum=1)
    seeds: str = shared("seeds", help="seeds of attacks and diagnostics", environment=None)
    outroot: str = shared("outroot", default="outputs/planted", help="folder for results", environment=None)
    page: str | None = shared("page", help="also write the page of what deserves trust to this Markdown file")


def planted(given: Given, environment: Environment) -> int:
    """Build, measure, score; what has a complete record is not done again."""
    from brittle.results import meta_evaluation
    from brittle.suites.laboratory import ROLES
    from brittle.suites.planted import KINDS
    from brittle.views import meta_evaluation_page as view
    from brittle.views.tables import terminal

    settings = resolve(PlantedSettings, given, environment)
    outputs, every = Path(settings.outroot), settings.kinds == "all"
    kinds = list(KINDS) if every else _among(settings.kinds, "--kinds", KINDS, "kind of hiding")
    hosts = _among(settings.hosts, "--hosts", ROLES, "laboratory model")
    check_pages(settings.page)
    check_file(outputs / "trust.csv")
    failed = sum(_world(settings, world, kinds, hosts, outputs) for world in seeds_in(settings.worlds))
    worlds = meta_evaluation.worlds_of(outputs)
    rows = [row for world in worlds for row in meta_evaluation.judged(world)]
    write_text(outputs / "trust.csv", view.frame(rows).to_csv(index=False))
    print("\n".join([*terminal(view.built(worlds)), "", *terminal(view.trusted(rows)), f"-> {outputs / 'trust.csv'}"]))
    if settings.page:
        for path in view.write(Path(settings.page), worlds, rows, KINDS):
            print(f"-> {path}")
    return 1 if failed else 0


def _world(settings: PlantedSettings, world: int, kinds: list[str], hosts: list[str], outputs: Path) -> int:
    """Everything in one world; returns how many measures gave no result."""
    from brittle import progress
    from brittle.runs import job, laboratory_models, planted_models
    from brittle.runs.planted_truth import Truth
    from brittle.suites.laboratory import DIAGNOSED, Laboratory
    from brittle.suites.planted import Planted

    own, find = Laboratory(settings.size, world), laboratory_models.find
    laboratory_models.build(own)
    chosen = [Planted(kind, host, draw, own) for kind in kinds for host in hosts for draw in seeds_in(settings.draws)]
    models = planted_models.build(chosen, find)
    folder = outputs / f"{own.size}-{own.seed}"
    checks = [Truth(model, find(each.host_reference), folder / "truth") for model, each in zip(models, chosen)]
    job.carry_out(job.missing(checks), "the truth about planted models")
    place = f"@{own.size}-{own.seed}"
    run = PipelineSettings(
        base=f"laboratory:base{place}", filtered=f"laboratory:filtered{place}", control=f"laboratory:retrained{place}",
        unlearned=",".join(model.text for model in models), enable_attacks=True, attacks=settings.attacks,
        random_control=False, max_samples=settings.max_samples, seeds=settings.seeds, outroot=str(folder),
    )  # fmt: skip
    _, failures = pipeline.run(run, given=DIAGNOSED)
    for failure in failures:
        progress.error(f"no result: {failure.diagnostic} of {failure.where}: {failure.reason}")
    return len(failures)


def _among(text: str, flag: str, known: Collection[str], what: str) -> list[str]:
    names = names_in(text, flag)
    if unknown := [name for name in names if name not in known]:
        raise BadInput(f"{flag}: there is no {what} '{unknown[0]}'; {nearest(unknown[0], known)}")
    return names


def planted_settings(_only: str | None = None) -> SettingsTypes:
    """Which planted models."""
    return [(PlantedSettings, {})]
