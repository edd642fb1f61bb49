"""Which diagnostics run, with which settings: what was asked for by name reaches every diagnostic that has the setting."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

from brittle import discovery
from brittle.discovery import Plugin
from brittle.models.references import Located
from brittle.runs.observations import needs_of
from brittle.settings import BadInput, suggestion, with_overrides


def chosen(
    overrides: Mapping[str, Any], only: Collection[str] = (), scope: str | None = None
) -> Iterator[tuple[Plugin, Any]]:
    """Every diagnostic that runs and its settings. BadInput if one of them cannot take a value or needs what nothing shows.

    Of a file that declares several (``VARIANTS``), those whose settings contradict what was asked for are left out:
    ``lens = "tuned"`` leaves the tuned lens alone. What its file lists in ``ON_REQUEST`` runs only if it is asked for.
    """
    for name, plugin in discovery.plugins("diagnostics").items():
        if (only and name not in only) or scope not in (None, plugin.constants["SCOPE"]):
            continue
        if plugin.on_request and name not in only and not plugin.variant.keys() & overrides.keys():
            continue
        needs_of(plugin)
        asked = with_overrides(plugin.load().Settings, overrides)
        if not any(getattr(asked, key) != value for key, value in plugin.variant.items() if key in overrides):
            yield plugin, with_overrides(plugin.load().Settings, {**overrides, **plugin.variant})


def check_layers(overrides: Mapping[str, Any], only: Collection[str], *models: Located | int) -> None:
    """Refuse layers that a model does not have, given as a number of blocks or located; nothing is loaded."""
    from brittle.models.configuration import number_of_layers

    for plugin, settings in chosen(overrides, only):
        if getattr(settings, "layers_to_analyze", ()):
            for model in models:
                blocks = model if isinstance(model, int) else number_of_layers(model.folder)
                plugin.load().check_layers(settings, blocks)


def from_environment(own: Iterable[dataclasses.Field[Any]], environment: Mapping[str, str] | None) -> dict[str, str]:
    """The settings among a diagnostic's own that environment variables set, as text."""
    words = {field.name: field.metadata["environment"] for field in own if field.metadata["environment"]}
    return {name: environment[word] for name, word in words.items() if environment and environment.get(word)}


def refuse_unknown(given: Iterable[str], known: Collection[str], reader: str) -> None:
    """Refuse a setting that ``reader`` does not have, with the nearest that it has."""
    if unknown := sorted(set(given) - set(known)):
        near = suggestion(unknown[0], known).replace("mean ", "mean --").replace("_", "-")
        hint = near or " (see its --help)"
        raise BadInput(f"{flag(unknown[0])} is not used by {reader}{hint}")


def flag(name: str) -> str:
    """A setting's name as it is typed."""
    return "--" + name.replace("_", "-")
