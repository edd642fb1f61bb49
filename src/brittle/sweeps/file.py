"""A sweep's file: which models are made, with which values, and what each of them goes through.

``models`` is a list of blocks, each a method (or several) and values: one, or a list of alternatives. A setting that is
a list itself, such as layers, is a list in the list. For a random search a value may be a range,
``{from: 1e-6, to: 1e-4, scale: log}``. Every name is a flag of ``brittle unlearn``, of the attacks or of the diagnostics.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from brittle import discovery
from brittle.data.marked_yaml import MarkedFile, Pairs
from brittle.runs.unlearning_settings import MakeSettings
from brittle.settings import BadInput, convert, fields_of, nearest, resolve, setting, shortened, spellings_of
from brittle.sweeps.space import Alternatives, Block, Range, Values
from brittle.training.hyperparameters import TrainingSettings

DRIVEN = ("check_wandb_only", "probe", "force", "resume", "outdir", "method")
"""Settings of ``brittle unlearn`` that the sweep itself decides."""
SEARCHES = ("grid", "random", "optuna")


@dataclass(frozen=True)
class Search:
    """How configurations are chosen, and what every model has in common."""

    name: str | None = setting(None, "what the sweep is called (default: the file's name)")
    base: tuple[str, ...] = setting((), "models to unlearn (default: BASE, or the documented one)", may_be_empty=True)
    filtered: str | None = setting(None, "model that never saw the data, for diagnosing and attacking")
    control: str | None = setting(None, "independent retraining of the base, likewise")
    seeds: tuple[int, ...] = setting(
        (), "seeds of unlearning: each configuration once for each", may_be_empty=True, minimum=0
    )
    search: str = setting(
        "grid",
        "grid: all combinations; random: some of them; optuna: some, chosen by what earlier ones scored",
        choices=SEARCHES,
    )
    trials: int = setting(0, "configurations of a search, over all blocks", minimum=0)
    search_seed: int = setting(0, "seed of a search", minimum=0)


@dataclass(frozen=True)
class Stage:
    """What models go through after they were made: plugins by name, and settings of them or of the program that runs them."""

    names: tuple[str, ...] = ()
    given: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Sweep:
    """The whole file; nothing is expanded yet."""

    path: Path
    search: Search
    common: Mapping[str, str]
    """Settings of every model."""
    blocks: tuple[Block, ...]
    diagnose: Stage | None
    attack: Stage | None

    @property
    def name(self) -> str:
        """What it is called."""
        return self.search.name or self.path.stem


def read(path: str) -> Sweep:
    """Read a sweep's file.

    Raises:
        BadInput: it cannot be read, names something unknown (with the nearest name and the line), or has no models.
    """
    file = MarkedFile(path, "sweep", "lines of NAME: VALUE, such as models")
    sections = {name: name for name in ("set", "models", "diagnose", "attack")}
    own = {spelled: field.name for field in fields_of(Search) for spelled in _spelled(field)}
    found = {name: (key, node) for name, key, node in file.names(file.pairs(), own | sections)}
    search = _search(file, found)
    if "models" not in found:
        raise BadInput(f"sweep: {shortened(path, 200)} has no models; add 'models:' with a list of methods and values")
    common = _plain(file, found["set"][1], model_names()) if "set" in found else {}
    blocks = tuple(_block(file, node, search) for node in _blocks(file, found["models"][1]))
    stages = {
        folder: _stage(file, found[word][1], folder, more) if word in found else None
        for word, folder, more in (("diagnose", "diagnostics", DIAGNOSED), ("attack", "attacks", ATTACKED))
    }
    return Sweep(Path(path), search, common, blocks, stages["diagnostics"], stages["attacks"])


DATA = (
    "forget_text", "retain_text", "benign_text", "text_column", "forget_questions", "retain_questions", "question_template",
    "answers_from", "max_samples",
)  # fmt: skip
DIAGNOSED = (*DATA, "question_format", "num_questions", "random_control", "activation_dtype", "param_dtype")
ATTACKED = (*DATA, "budget", "seeds", "attack_eval_questions")
"""Settings of the pipeline that a stage may name beside its plugins' own; ``budget`` and ``seeds`` as of ``brittle attack``."""


def model_names() -> dict[str, str]:
    """Every spelling of a setting of ``brittle unlearn`` that a sweep may vary."""
    types = [MakeSettings, TrainingSettings, *(p.load().Settings for p in discovery.plugins("methods").values())]
    return {
        spelled: field.name
        for settings_type in types
        for field in fields_of(settings_type)
        if field.name not in DRIVEN
        for spelled in _spelled(field)
    }


def _spelled(field: Any) -> list[str]:
    """A setting's flags without their dashes, and its own name."""
    return [spelling.removeprefix("--") for spelling in spellings_of(field)] + [field.name]


def _search(file: MarkedFile, found: Mapping[str, tuple[yaml.Node, yaml.Node]]) -> Search:
    values: dict[str, Any] = {}
    for each in fields_of(Search):
        if each.name in found:
            key, node = found[each.name]
            try:
                values[each.name] = convert(each, file.value(node))
            except BadInput as problem:
                raise BadInput(f"{file.at(key)}: {problem}") from None
    try:
        search = resolve(Search, values)
    except BadInput as problem:
        raise BadInput(f"sweep: {shortened(file.path, 200)}: {problem}") from None
    if (search.search != "grid") != (search.trials > 0):
        way = "add 'search: random', or leave trials out" if search.search == "grid" else "add 'trials: 20'"
        raise BadInput(
            f"sweep: {shortened(file.path, 200)}: search: {search.search} with trials: {search.trials}; {way}"
        )
    if search.search == "optuna" and (len(search.base) > 1 or len(search.seeds) > 1):
        raise BadInput(
            f"sweep: {shortened(file.path, 200)}: search: optuna takes one base and one seed; write a file for each"
        )
    return search


def _plain(file: MarkedFile, node: yaml.Node, known: Mapping[str, str]) -> dict[str, str]:
    """One value for each name."""
    return {name: file.value(value) for name, _, value in file.names(_pairs(file, node), known)}


def _pairs(file: MarkedFile, node: yaml.Node) -> Pairs:
    if not isinstance(node, yaml.MappingNode):
        raise BadInput(f"{file.at(node)}: lines of NAME: VALUE are needed here")
    return list(node.value)


def _blocks(file: MarkedFile, node: yaml.Node) -> Sequence[yaml.Node]:
    if not isinstance(node, yaml.SequenceNode) or not node.value:
        raise BadInput(f"{file.at(node)}: models must be a list, each item a method and values")
    return list(node.value)


def _block(file: MarkedFile, node: yaml.Node, search: Search) -> Block:
    """One item of ``models``."""
    known = {**model_names(), "method": "method", "methods": "method"}
    values: dict[str, Values] = {}
    for name, key, value in file.names(_pairs(file, node), known):
        found = values[name] = _values(file, value, search)
        if isinstance(found, Alternatives) and not found:
            raise BadInput(f"{file.at(key)}: '{name}' has no values, so there is nothing to make; name one or more")
    methods = values.pop("method", None)
    if not isinstance(methods, Alternatives):
        raise BadInput(f"{file.at(node)}: which method? Add 'method: rmu', or a list of methods")
    for method in methods:
        if method not in discovery.plugins("methods"):
            raise BadInput(
                f"{file.at(node)}: unknown method '{shortened(method)}'; {nearest(method, discovery.plugins('methods'))}"
            )
    return Block(file.at(node), tuple(methods), values)


def _values(file: MarkedFile, node: yaml.Node, search: Search) -> Values:
    """Alternatives, or a range where values are drawn."""
    if isinstance(node, yaml.MappingNode):
        if search.search == "grid":
            raise BadInput(f"{file.at(node)}: a grid needs a list of values; a range is for 'search: random'")
        given = {name: file.value(value) for name, _, value in file.names(list(node.value), RANGE)}
        try:
            return Range(float(given["low"]), float(given["high"]), given.get("scale", "linear"))
        except (KeyError, ValueError) as problem:
            raise BadInput(f"{file.at(node)}: a range is {{from: 1e-6, to: 1e-4, scale: log}} ({problem})") from None
    if isinstance(node, yaml.SequenceNode):
        return Alternatives([file.value(item) for item in node.value])
    return Alternatives([file.value(node)])


RANGE = {"from": "low", "to": "high", "scale": "scale"}


def _stage(file: MarkedFile, node: yaml.Node, folder: str, more: Iterable[str]) -> Stage:
    """``[names]``, or ``{names: [...], and settings}``; BadInput for a plugin or a setting that there is not, or that none reads."""
    plugins = discovery.plugins(folder)
    given, keys = dict[str, str](), dict[str, yaml.Node]()
    if isinstance(node, yaml.MappingNode):
        own = {s: f.name for p in plugins.values() for f in fields_of(p.load().Settings) for s in _spelled(f)}
        known = own | {name: name for name in more} | {"names": "names", "kind": "names"}
        for name, key, value in file.names(_pairs(file, node), known):
            given[name], keys[name] = file.value(value), key
        listed = given.pop("names", "")
    else:
        listed = file.value(node)
    names = tuple(listed.replace(",", " ").split())
    for name in names:
        if name not in plugins:
            raise BadInput(f"{file.at(node)}: unknown name '{shortened(name)}'; {nearest(name, plugins)}")
    if not names:
        raise BadInput(f"{file.at(node)}: which? There is {', '.join(plugins)}")
    read = {*more, *(each.name for name in names for each in fields_of(plugins[name].load().Settings))}
    if unread := [name for name in given if name not in read]:
        raise BadInput(f"{file.at(keys[unread[0]])}: '{unread[0]}' is not read by {', '.join(names)}; leave it out")
    return Stage(names, given)


def raced(stage: Stage | None) -> Stage:
    """The same attacks with ``race: true``.

    Raises:
        BadInput: there are none that train a model in several ways.
    """
    plugins = discovery.plugins("attacks")
    races = [name for name, each in plugins.items() if "race" in {f.name for f in fields_of(each.load().Settings)}]
    if stage is None or not {*stage.names} & {*races}:
        raise BadInput(f"--race is not used by this sweep's attacks; name {' or '.join(races)} under attack")
    return Stage(stage.names, {**stage.given, "race": "true"})
