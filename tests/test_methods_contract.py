"""What every file in ``methods/`` declares: its docstring, needs, settings and presets, and the names of its runs."""

from __future__ import annotations

import dataclasses
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from brittle import discovery
from brittle.contracts import MethodNeeds
from brittle.settings import check, fields_of, folder_tags, from_folder_tags, with_overrides
from brittle.training.hyperparameters import VOCABULARY, TrainingSettings

PLUGINS = discovery.plugins("methods")
METHODS = {name: plugin.load() for name, plugin in PLUGINS.items()}


@pytest.fixture(params=sorted(METHODS))
def name(request) -> str:
    return request.param


def test_the_file_says_what_it_is(name) -> None:
    method = METHODS[name]
    assert PLUGINS[name].summary.endswith(".")
    assert re.search(r"\bL +=", method.__doc__), "the docstring shows no equation L = …"
    assert "Source" in method.__doc__
    assert isinstance(method.NEEDS, MethodNeeds)
    assert set(method.NEEDS.reference_hidden_states) <= set(method.NEEDS.splits) <= {"forget", "refusal", "retain"}
    with pytest.raises(dataclasses.FrozenInstanceError):
        method.Settings().anything = 1
    assert method.Settings.__doc__ and method.loss.__doc__
    assert ("layer_id" in {field.name for field in fields_of(method.Settings)}) == method.NEEDS.layers


def test_every_hyperparameter_is_the_one_of_the_vocabulary(name) -> None:
    for field in fields_of(METHODS[name].Settings):
        assert field.default == VOCABULARY[field.name]["default"]
        assert field.metadata["help"] == VOCABULARY[field.name]["help"]


def test_every_method_is_among_the_values_worked_out_by_hand(name) -> None:
    files = Path(__file__).parent.glob("test_methods_values_*.py")
    assert any(f'"{name}"' in path.read_text() for path in files)


def test_presets_name_real_fields_and_allowed_values(name) -> None:
    method = METHODS[name]
    types = (TrainingSettings, method.Settings)
    known = {field.name: field for kind in types for field in fields_of(kind)}
    for preset in method.PRESETS.values():
        assert set(preset) <= set(known)
        for kind in types:
            check(with_overrides(kind, preset))


def test_listing_and_importing_methods_needs_no_torch() -> None:
    code = (
        "import sys; from brittle import discovery; [p.load() for p in discovery.plugins('methods').values()]; "
        "print([m for m in ('torch', 'transformers', 'numpy') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"


def another_value(field: Any) -> Any:
    """A value that is allowed and is not the default."""
    if choices := field.metadata["choices"]:
        return next(choice for choice in choices if choice != field.default)
    if isinstance(field.default, tuple):
        return ("qkv", "proj") if field.name == "train_only" else (0, 3, 11)
    return field.default + 1 if isinstance(field.default, int) else field.default * 0.3e-3 or 0.5


@pytest.mark.parametrize("changed", [False, True])
def test_settings_survive_the_name_of_their_folder(name, changed) -> None:
    def chosen(kind):
        return kind(**{field.name: another_value(field) for field in fields_of(kind) if changed and tagged(field)})

    def tagged(field):
        return field.metadata["tag"] or field.metadata["tag_if_changed"]

    training, method = chosen(TrainingSettings), chosen(METHODS[name].Settings)
    tags = folder_tags(training, method)
    assert from_folder_tags(TrainingSettings, tags) == training
    assert from_folder_tags(METHODS[name].Settings, tags) == method


def test_no_two_settings_share_a_folder_name(name) -> None:
    training, settings = TrainingSettings(), METHODS[name].Settings()
    found = [folder_tags(training, settings)]
    for field in fields_of(type(settings)):
        found.append(folder_tags(training, dataclasses.replace(settings, **{field.name: another_value(field)})))
    assert len(set(found)) == len(found)


def test_the_pages_are_those_of_the_files() -> None:
    from brittle.views.plugin_pages import page

    root = Path(__file__).parent.parent
    written = (root / "docs" / "methods.md").read_text()
    assert written == page(root / "benchmarks" / "results" / "methods.csv", "doses.png"), (
        "uv run brittle methods --page docs/methods.md"
    )
