"""What a sweep's file comes to: every configuration once, with settings that fit its method; nothing is loaded for it."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from brittle.runs.unlearning_plan import Resolved, resolved
from brittle.settings import BadInput, as_dictionary, shortened
from brittle.sweeps.file import Sweep
from brittle.sweeps.space import Given, corners, drawn, grid

MOST = 10_000
"""Configurations that need no ``--yes``."""


@dataclass(frozen=True)
class Configuration:
    """One model's settings as they would be typed, and what they come to."""

    given: Given
    title: str
    """The method and what tells it from others, for people."""
    resolved: Resolved
    environment: Mapping[str, str]
    """What settings that are not given are read from."""


def configurations(sweep: Sweep, environment: Mapping[str, str] | None, yes: bool = False) -> list[Configuration]:
    """Every configuration of a sweep, in its order; those that come to the same settings once.

    A search by Optuna chooses while it runs: of it the corners of its space, where what does not fit shows.

    Raises:
        BadInput: a value is of the wrong type or out of range, a method does not read a setting, or there are more than
            :data:`MOST` and ``yes`` is not set.
    """
    search = sweep.search
    if search.search == "optuna":
        return [configuration(sweep, given, environment) for given in corners(sweep.blocks, search.base)]
    number = search.trials if search.search == "random" else sum(block.size for block in sweep.blocks)
    number *= max(1, len(search.seeds)) * (max(1, len(search.base)) if search.search == "grid" else 1)
    if number > MOST and not yes:
        raise BadInput(f"sweep: {sweep.path} has {number:,} configurations, more than {MOST:,}; --yes takes them all")
    if search.search == "random":
        every = drawn(sweep.blocks, search.base, search.seeds, search.trials, search.search_seed)
    else:
        every = grid(sweep.blocks, search.base, search.seeds)
    found: dict[str, Configuration] = {}
    for given in every:
        made = configuration(sweep, given, environment)
        found.setdefault(repr(_settings(made)), made)
    return list(found.values())


def configuration(sweep: Sweep, given: Given, environment: Mapping[str, str] | None) -> Configuration:
    """One configuration of a sweep; ``given`` is what tells it from others.

    Raises:
        BadInput: as :func:`configurations`.
    """
    whole, title = {**sweep.common, **given}, _title(given, sweep.search.base)
    try:
        made = Configuration(whole, title, resolved(whole, environment), dict(environment or {}))
        _check_stages(sweep, made)
    except BadInput as problem:
        raise BadInput(f"sweep: {sweep.path}, {shortened(title, 120)}: {problem}") from None
    return made


def _title(given: Given, bases: Sequence[str]) -> str:
    alike = ("method", "model") if len(bases) < 2 else ("method",)
    told = {name: value for name, value in given.items() if name not in alike}
    return " ".join([given["method"], *(f"{name}={value}" for name, value in told.items())])


def _check_stages(sweep: Sweep, configuration: Configuration) -> None:
    found = configuration.resolved
    if (sweep.diagnose or sweep.attack) and found.training.lora_rank and not found.make.merge:
        raise BadInput("adapters alone cannot be diagnosed or attacked; add 'merge: true' to set")


def _settings(configuration: Configuration) -> list[object]:
    """What tells configurations apart: which model, and every setting after defaults and presets."""
    found = configuration.resolved
    return [
        found.make.method,
        *(sorted(as_dictionary(each).items()) for each in (found.make, found.training, found.method)),
    ]


def share(every: Sequence[Configuration], shard: str | None) -> list[Configuration]:
    """The part of a job array's member: of ``3/16`` the third configuration of every sixteen.

    Raises:
        BadInput: it is not of that form.
    """
    if shard is None:
        return list(every)
    number, slash, of = shard.partition("/")
    if not (slash and number.isdigit() and of.isdigit() and 1 <= int(number) <= int(of)):
        raise BadInput(f"--shard: '{shortened(shard)}' must be a number and how many there are, from 1/16 to 16/16")
    return list(itertools.islice(every, int(number) - 1, None, int(of)))
