"""What an attack is refused for before a laboratory is built, a worker starts or a file is written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from brittle import discovery
from brittle.contracts import AttackFacts
from brittle.models.references import Located
from brittle.records import read_record
from brittle.results.reader import below
from brittle.runs.attack_material import Battlefield
from brittle.runs.roles import Arm
from brittle.settings import BadInput, fields_of, flag_of
from brittle.suites import laboratory
from brittle.training.teaching import TeachingSettings, check_teaching

LABORATORY_WINDOW = 512
"""Positions of every laboratory model."""
Part = tuple[str, str]
"""A model's reference and its role."""


def check_parts(parts: Sequence[Part]) -> None:
    """Refuse, by what was written alone, a model in two parts and models of two laboratory worlds."""
    for number, (reference, role) in enumerate(parts):
        if same := next((other for text, other in parts[:number] if text == reference), None):
            raise BadInput(f"{reference} is named as {same} and as {role}; a model plays one part")
    worlds = {reference: own for reference, _ in parts if (own := laboratory.behind(reference))}
    first = next(iter(worlds), "")
    if other := next((reference for reference, own in worlds.items() if own != worlds[first]), None):
        raise BadInput(
            f"{first} and {other} come from different laboratories, whose facts are different; name models of one size and world"
        )


def check_arms(arms: Sequence[Arm]) -> None:
    """Refuse models that are one and the same, that would share a name in the tables, or that the base does not fit."""
    from brittle.models.loading import check_same_architecture, check_same_vocabulary

    by_digest: dict[str, Arm] = {}
    by_name: dict[str, Arm] = {}
    for arm in arms:
        if same := by_digest.get(arm.located.digest):
            raise BadInput(
                f"{same.located.text} ({same.role}) and {arm.located.text} ({arm.role}) have the same weights and tokenizer; "
                "name each model once"
            )
        if same := by_name.get(arm.located.name):
            raise BadInput(
                f"{same.located.text} and {arm.located.text} would both be written as '{arm.located.name}'; "
                "give their folders different names"
            )
        by_digest[arm.located.digest] = by_name[arm.located.name] = arm
    base = next((arm.located for arm in arms if arm.role == "base"), None)
    made = below(read_record(base.folder) or {}, "inputs") if base else {}
    if base and (origin := next((arm for arm in arms if arm.located.digest == made.get("base")), None)):
        raise BadInput(
            f"{base.text} was made from {origin.located.text}, so it cannot be the base of it; are base and model swapped?"
        )
    for arm in arms:
        if base is not None:
            check_same_architecture(base, arm.located)
            check_same_vocabulary(base, arm.located)


def facts_of(field: Battlefield, models: Sequence[str | Located]) -> AttackFacts:
    """What bounds an attack's settings; a laboratory model that is not built yet is known by its recipe."""
    asked = [*field.questions["t"], *field.questions["v"]]
    shapes = [_shape(model) for model in models]
    layers, width, window = (min(part) for part in zip(*shapes))
    entities = {question.entity or question.fact or question.question for question in asked}
    return AttackFacts(layers, width, window, len(field.texts), len(field.retain_texts), len(entities))


def _shape(model: str | Located) -> tuple[int, int, int]:
    """Layers, width and positions."""
    if isinstance(model, str):
        recipe = laboratory.parse(model)[1].recipe
        return recipe.layers, recipe.width, LABORATORY_WINDOW
    from brittle.models.configuration import configuration

    found = configuration(model.folder)
    return found.num_hidden_layers, found.hidden_size, getattr(found, "max_position_embeddings", None) or 1 << 30


def check_settings(chosen: Mapping[str, Any], facts: AttackFacts) -> None:
    """Refuse settings that no worker could carry out: strengths that are none or twice, and what an attack's own ``check`` knows."""
    for name, settings in chosen.items():
        plugin = discovery.find("attacks", name)
        if strengths := plugin.constants.get("STRENGTHS"):
            flag = next(flag_of(field) for field in fields_of(type(settings)) if field.name == strengths)
            values = getattr(settings, strengths)
            if not values:
                raise BadInput(f"{flag}: names nothing to try with {name}; give one or more with commas between them")
            if twice := next((value for value in values if values.count(value) > 1), None):
                raise BadInput(f"{flag}: {twice} stands there twice; name each once")
        if isinstance(settings, TeachingSettings):
            check_teaching(settings, facts)
        if check := getattr(plugin.load(), "check", None):
            check(settings, facts)
