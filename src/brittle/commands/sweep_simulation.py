"""``brittle sweep FILE --simulate nodes=100,gpus=8``: what a sweep would cost there, from measured constants."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from brittle import discovery, progress
from brittle.commands.pipeline_settings import PipelineSettings
from brittle.commands.sweep_groups import configuration_of, planned
from brittle.commands.sweep_stages import attack_settings
from brittle.lists import seeds_in
from brittle.percentages import percent
from brittle.runs.unlearning_plan import optimizer_steps, read_texts, split_for_evaluation
from brittle.runs.unlearning_settings import MakeSettings
from brittle.settings import BadInput, fields_of
from brittle.sweeps.configurations import Configuration
from brittle.sweeps.costs import Machine, known
from brittle.sweeps.file import Stage, Sweep
from brittle.sweeps.memory import GIB
from brittle.sweeps.simulation import Replayed, replay
from brittle.sweeps.workload import Attack, Training, Work, training_of

HOUR, TB = 3600, 1e12


def simulated(
    sweep: Sweep, own: Sequence[Configuration], machine: Machine, gpus_per_job: int | None = None
) -> list[str]:
    """The table that is printed; nothing is loaded and nothing written.

    Raises:
        BadInput: a model fits no node, or its size cannot be had.
    """
    no_save = all(each.resolved.make.no_save for each in own)
    attacks = attacks_of(sweep.attack, machine)
    works = [_work(sweep, each, attacks, machine) for each in own]
    first, beside = _references(sweep, works)
    phases = [[work.job(machine, gpus_per_job) for work in phase] for phase in (first, [*beside, *works]) if phase]
    return [*_assumed(works, machine, gpus_per_job), *lines(replay(phases, machine, no_save), no_save)]


def _work(sweep: Sweep, one: Configuration, attacks: Sequence[Attack], machine: Machine) -> Work:
    found = one.resolved
    training = found.training
    parameters, each = (machine.parameters, 2) if machine.parameters else _size(one)
    plan = None if machine.parameters else planned(one, on_gpu=True)
    row = min(training.max_length, machine.tokens or training.max_length)
    splits = len(found.module.NEEDS.splits)
    tokens = splits * training.batch_size * training.grad_accum_steps * row
    forget, retain = _texts(found.make, training.eval_split, machine.texts)
    made = training_of(
        training.lora_rank, training.weight_dtype, found.module.NEEDS.logits, found.make.dtype != "fp32",
        optimizer_steps(training, forget, retain), tokens, None if plan is None or isinstance(plan, str) else plan.total,
        training.grad_accum_steps,
    )  # fmt: skip
    diagnosed, merged = sweep.diagnose is not None, found.make.merge or not training.lora_rank
    return Work(one.title, parameters, each * parameters, made, diagnosed, attacks, merged)


def _size(one: Configuration) -> tuple[float, float]:
    """Parameters of the base, and bytes of one in its files."""
    try:
        return _counted(configuration_of(one))
    except BadInput as problem:
        raise BadInput(
            f"--simulate: the size of {one.resolved.make.model} cannot be had ({problem}); add parameters=7e9"
        ) from None


@functools.cache
def _counted(folder: Any) -> tuple[float, float]:
    from brittle.models.configuration import skeleton

    model = skeleton(folder)
    return sum(each.numel() for each in model.parameters()), model.dtype.itemsize


@functools.lru_cache(maxsize=64)
def _counts(model: str, forget: str | None, retain: str | None, column: str | None, share: float) -> tuple[int, int]:
    chosen = replace(MakeSettings(), model=model, forget_data=forget, retain_data=retain, text_column=column)
    splits = read_texts(chosen).splits
    counts = [len(split_for_evaluation(splits[split], share, 0)[0]) for split in ("forget", "retain")]
    return counts[0], counts[1]


def _texts(make: MakeSettings, share: float, assumed: float) -> tuple[int, int]:
    """Texts that are trained on, without those held out; as many as the machine says where no file can be read."""
    try:
        return _counts(make.model, make.forget_data, make.retain_data, make.text_column, share)
    except BadInput as problem:
        progress.say(f"note: {assumed:,.0f} forget texts are assumed: {problem}", once=True)
        return int(assumed), int(assumed)


def attacks_of(stage: Stage | None, machine: Machine) -> list[Attack]:
    """Every attack with its runs on one model."""
    if stage is None:
        return []
    usual = str(next(each.default for each in fields_of(PipelineSettings) if each.name == "seeds"))
    seeds = 1 if stage.given.get("budget") == "quick" else len(seeds_in(stage.given.get("seeds", usual)))
    found = []
    for name, settings in attack_settings(stage).items():
        constants = discovery.find("attacks", name).constants
        trials = constants.get("TRIALS")
        runs = getattr(settings, trials) if trials else seeds if constants.get("RANDOM", True) else 1
        found.append(Attack(name, runs, _attack_training(settings, machine)))
    return found


def _attack_training(settings: Any, machine: Machine) -> Training | None:
    steps = getattr(settings, "attack_steps", 0)
    if not steps or not hasattr(settings, "attack_batch_size"):
        return None
    longest = settings.attack_max_length
    tokens = settings.attack_batch_size * min(longest, machine.tokens or longest)
    rank = getattr(settings, "attack_lora_rank", 0)
    return training_of(rank, "", True, getattr(settings, "attack_dtype", "fp32") != "fp32", steps, tokens)


def _references(sweep: Sweep, works: Sequence[Work]) -> tuple[list[Work], list[Work]]:
    """The control, which comes first, and the references beside the models, for the first base."""
    if not (sweep.diagnose or sweep.attack):
        return [], []
    search = sweep.search
    bare = [
        replace(works[0], title=f"reference: {role}", made=None, diagnosed=works[0].diagnosed and role != "base")
        for role, name in {"retrained": search.control, "base": "base", "filtered": search.filtered}.items()
        if name and name != "none"
    ]
    first = [work for work in bare if work.title.endswith("retrained")]
    return first, [work for work in bare if work not in first]


def _assumed(works: Sequence[Work], machine: Machine, gpus_per_job: int | None) -> list[str]:
    """What was imagined, and how the groups came about."""
    groups = sorted({work.group(machine, gpus_per_job) for work in works})
    hungriest = max(works, key=lambda work: work.needed)
    size = hungriest.parameters
    kinds = {
        training.kind for work in works for training in work.trainings if not known(training.kind, work.parameters)
    }
    named = "; ".join(sorted(kind.words for kind in kinds))
    beyond = [f"note: scaled by their parameters, not measured at this size: {named}"] if kinds else []
    return [
        f"imagined: {progress.several(int(machine.nodes), 'node')} of {machine.gpus:.0f} GPUs with {machine.memory:g} GiB; disk {machine.disk:g} GB/s, "
        f"network {machine.network:g} GB/s a node; {size / 1e6:,.1f} million parameters",
        f"GPUs a model: {', '.join(map(str, groups))} (the hungriest training needs {hungriest.needed / GIB:,.1f} GiB)",
        *beyond,
    ]


def lines(found: Replayed, no_save: bool) -> list[str]:
    """What a replay gave."""
    loads = ", ".join(f"{name} {percent(load)}" for name, load in found.loads(no_save).items())
    stages = ", ".join(f"{name} {seconds / HOUR:,.1f}" for name, seconds in found.stages.items())
    left = [f"{progress.several(found.left, 'job')} never begin: the disk has no room for them"] if found.left else []
    return [
        f"makespan: {found.makespan / HOUR:,.2f} hours",
        f"utilisation: GPUs held {percent(found.share(found.held))}, not waiting for files {percent(found.share(found.computing))}, "
        f"each at work {percent(found.share(found.at_work))}",
        f"GPU-hours: {stages}",
        f"read {found.read / TB:,.2f} TB, written {found.written / TB:,.2f} TB",
        f"disk space: {found.kept / TB:,.2f} TB with weights kept, {found.at_once / TB:,.2f} TB with NO_SAVE=1",
        f"busiest: {found.busiest(no_save)} ({loads})",
        *left,
    ]


__all__ = ["attacks_of", "lines", "simulated"]
