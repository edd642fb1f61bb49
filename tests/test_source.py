"""Fingerprints cover the code that decides a result, however far below the plugin it lies, and no other code."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from brittle import source
from brittle.records import Identity
from brittle.runs import unlearning_identity
from brittle.runs.passes import PASSES
from brittle.suites.laboratory import CODE

ROOTS = {
    "relearning": ("brittle.attacks.relearning", "brittle.models.likelihood"),
    "weights": ("brittle.diagnostics.weight_comparison", PASSES["weights"].code),
    "lens": ("brittle.diagnostics.layerwise_accuracy", PASSES["questions"].code),
    "sensitivity": ("brittle.diagnostics.local_lipschitzness", PASSES["sensitivity"].code),
    "benchmark": ("brittle.evaluation.multiple_choice_accuracy",),
    "unlearning": ("brittle.methods.negative_preference", *unlearning_identity.TRAINING),
    "laboratory": CODE,
}


@pytest.fixture(scope="module")
def package(tmp_path_factory) -> Path:
    ignored = shutil.ignore_patterns("__pycache__")
    return Path(shutil.copytree(source.PACKAGE, tmp_path_factory.mktemp("code") / "brittle", ignore=ignored))


def touched(package: Path, name: str) -> set[str]:
    """Which results are made anew when this file changes."""
    path = package / name
    before = {kind: source.digest_of(*roots, package=package) for kind, roots in ROOTS.items()}
    content = path.read_bytes()
    path.write_bytes(content + b"\nCHANGED = True\n")
    try:
        return {kind for kind, roots in ROOTS.items() if source.digest_of(*roots, package=package) != before[kind]}
    finally:
        path.write_bytes(content)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("training/teaching.py", {"relearning"}),
        ("mathematics/spectra.py", {"weights"}),
        ("models/likelihood.py", {"relearning", "lens", "benchmark", "unlearning"}),
        ("models/encoding.py", set(ROOTS) - {"weights"}),
        ("training/optimizers.py", {"relearning", "unlearning", "laboratory"}),
        ("attacks/relearning.py", {"relearning"}),
        ("methods/negative_preference.py", {"unlearning"}),
        ("data/world.py", {"laboratory"}),
        ("models/perturbation.py", {"sensitivity"}),
    ],
)
def test_a_change_below_makes_what_rests_on_it_anew(package: Path, name: str, expected: set[str]) -> None:
    assert expected <= touched(package, name)


@pytest.mark.parametrize("name", ["leases.py", "places.py", "command_line.py", "figures/style.py", "views/report.py"])
def test_what_computes_nothing_leaves_results_alone(package: Path, name: str) -> None:
    assert touched(package, name) == set()


@pytest.mark.parametrize(
    "name", ["attacks/quantization.py", "diagnostics/mlp_nullspace.py", "methods/representation_misdirection.py"]
)
def test_another_plugin_leaves_results_alone(package: Path, name: str) -> None:
    assert touched(package, name) == set()


def test_a_file_counts_alone_and_a_missing_module_is_named(package: Path) -> None:
    alone = source.digest_of("brittle.contracts", files=("brittle.runs.diagnosis",), package=package)
    assert alone != source.digest_of("brittle.contracts", package=package)
    assert source.closure(("brittle.contracts",), package) == {"brittle.contracts"}
    with pytest.raises(KeyError, match=r"brittle\.nowhere"):
        source.digest_of("brittle.nowhere", package=package)


def test_the_digest_is_a_function_of_names_and_contents_alone(package: Path) -> None:
    """Where the package lies, and in which order modules are named, says nothing about a result."""
    for roots in ROOTS.values():
        assert source.digest_of(*roots, package=package) == source.digest_of(*reversed(roots))
    assert Identity("a", {"source": source.digest_of(*CODE)}, {}).fingerprint
