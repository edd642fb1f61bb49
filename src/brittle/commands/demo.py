"""``brittle demo``: the main job in the laboratory, in one world, or in several and with several seeds of unlearning.

Of several, each world and seed has an outputs folder of its own, ``world-1/seed-43``, complete in itself; at the end one table
says what they show together, and over what each of its intervals is.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from brittle import discovery
from brittle.commands import pipeline
from brittle.commands.options import Environment, Given
from brittle.commands.pipeline_settings import DemoSettings, PipelineSettings
from brittle.records import check_file, write_text
from brittle.runs import attack
from brittle.runs.carried_over import carry_over
from brittle.settings import BadInput, as_dictionary, names_in, resolve, seeds_in

TABLE, PAGE = "levels.csv", "levels.md"
Runs = Mapping[tuple[int, int], Path]
"""The outputs folder of every world and seed of unlearning."""


def demo(given: Given, environment: Environment) -> int:
    """The whole job, once or for each world and seed."""
    chosen = resolve(DemoSettings, given, environment)
    job: Given = {"laboratory": True, **as_dictionary(chosen)}
    del job["worlds"], job["model_seeds"]
    if chosen.worlds is None and chosen.model_seeds is None:
        return pipeline.pipeline(job, None)
    if chosen.worlds is not None and "world" in given:
        raise BadInput("--world names one world and --worlds several; leave one of the two out")
    outroot = Path(chosen.outroot)
    runs = _runs(chosen, outroot)
    failed = 0
    for number, ((world, seed), folder) in enumerate(runs.items()):
        print("\n" * bool(number) + f"world {world}, seed of unlearning {seed}:")
        first = next(other for (of, _), other in runs.items() if of == world)
        if first != folder and not chosen.force:
            carry_over(first, folder)
        failed |= pipeline.pipeline({**job, "world": world, "model_seed": seed, "outroot": str(folder)}, None)
    _together(runs, outroot)
    return failed


def _runs(chosen: DemoSettings, outroot: Path) -> Runs:
    """Each folder; what can be refused is refused before any work."""
    worlds = [chosen.world] if chosen.worlds is None else seeds_in(chosen.worlds, "--worlds")
    seeds = (
        [PipelineSettings.model_seed] if chosen.model_seeds is None else seeds_in(chosen.model_seeds, "--model-seeds")
    )
    seeds_in(chosen.seeds)
    for name in names_in(chosen.methods, "--methods"):
        discovery.find("methods", name)
    runs = {(world, seed): outroot / f"world-{world}" / f"seed-{seed}" for world in worlds for seed in seeds}
    for path in (outroot / TABLE, outroot / PAGE, *(folder / "report.html" for folder in runs.values())):
        check_file(path)
    for folder in runs.values():
        attack.check_outputs(folder)
    return runs


def _together(runs: Runs, outroot: Path) -> None:
    """The table over all runs: on the terminal, as ``levels.csv`` and as ``levels.md``."""
    from brittle.results.levels import Place, over_levels
    from brittle.views import levels

    rows = over_levels([Place(folder, str(world)) for (world, _), folder in runs.items()])
    write_text(outroot / TABLE, levels.frame(rows).to_csv(index=False))
    write_text(outroot / PAGE, levels.page(rows, [folder.relative_to(outroot).as_posix() for folder in runs.values()]))
    print("\n".join(["", *levels.lines(rows), f"-> {outroot / TABLE}", f"-> {outroot / PAGE}"]))
